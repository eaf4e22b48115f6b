// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import XMPPCore

/// What C2S and SM tell each other about a client's session: one wrapper (`docs/protocols.md`, section 2).
///
/// `SessionMessage+Codec.swift` reads and writes it.
package struct SessionMessage: Sendable {
    /// The session's name, 128 random bits in base32; empty for `register`, `registered` and
    /// `features`, which have no session.
    package var session: String
    /// How often the session was attached to a connection, from 1; what carries an old number is dropped.
    package var attach: UInt64
    /// What is said.
    package var content: Content

    /// Makes a message about the session `session` at its attach number `attach`.
    package init(session: String, attach: UInt64, _ content: Content) {
        self.session = session
        self.attach = attach
        self.content = content
    }

    /// Makes a message that belongs to no session (`register`, `registered`, `features`).
    package init(_ content: Content) {
        self.init(session: "", attach: 0, content)
    }

    /// The wrapper's only child.
    package enum Content: Sendable {
        /// A stanza of the client (C2S → SM) or for it (SM → C2S). `number` is `n`: absent towards a client that has
        /// no stream management. `fault` is what C2S found wrong with the client's stanza, which SM answers with it.
        case stanza(Stanza, number: UInt64?, fault: StanzaError.Condition? = nil)

        /// C2S → SM: a client authenticated and binds a resource.
        case open(Open)
        /// C2S → SM: the client sent `<enable/>` (XEP-0198) after `number` stanzas.
        case enable(resume: Bool, max: UInt32?, number: UInt64)
        /// C2S → SM: the client sent `<resume/>`.
        case resume(Resume)
        /// C2S → SM: the client's `<a/>`, checked against what was sent to it.
        case acknowledged(h: UInt32)
        /// C2S → SM: the connection broke.
        case detached
        /// C2S → SM: the client ended its stream cleanly.
        case close
        /// C2S → SM: an IQ of XEP-0077 before login.
        case register(Register)

        /// SM → C2S: the answer to `open`.
        case opened(JID)
        /// SM → C2S: the answer to `open` that ends the session before it began.
        case refused(StanzaError)
        /// SM → C2S: the answer to `enable`; without a token the session cannot be resumed.
        case enabled(token: String?, max: UInt32?)
        /// SM → C2S: the answer to `resume`.
        case resumed(Resumed)
        /// SM → C2S: the other answer to `resume`; `h` if the session was known.
        case resumeFailed(h: UInt32?)
        /// SM → C2S: the session's stanzas up to `number` are settled.
        case settled(number: UInt64)
        /// SM → C2S: the session is over.
        case end(End)
        /// SM → C2S: what SM adds to the stream features after login at a domain, as bytes in their final form.
        case features(domain: String, ByteBuffer)
        /// SM → C2S: the answer to `register`.
        case registered(request: String, iq: Stanza)

        /// What makes sessions outlive their SM.
        case handover(Handover)
    }
}

extension SessionMessage {
    /// `<open/>`.
    package struct Open: Sendable, Equatable {
        /// The account's bare JID.
        package var user: BareJID
        /// The resource that the client asks for; nil: the server chooses.
        package var resource: String?
        /// The client's network address, for lists and logs.
        package var address: String
        /// The version of TLS, `TLSv1.3`.
        package var tls: String
        /// The mechanism of SASL that the client used.
        package var mechanism: String

        /// Makes the request to open a session.
        package init(user: BareJID, resource: String?, address: String, tls: String, mechanism: String) {
            self.user = user
            self.resource = resource
            self.address = address
            self.tls = tls
            self.mechanism = mechanism
        }
    }

    /// `<resume/>`: `session` of the message is the name of the fresh, unbound connection.
    package struct Resume: Sendable, Equatable {
        /// The account that authenticated on the new connection.
        package var user: BareJID
        /// What `<enabled/>` gave to the client as `id`.
        package var token: String
        /// The number of stanzas that the client has handled, modulo 2^32.
        package var h: UInt32
        /// The client's network address.
        package var address: String
        /// The version of TLS.
        package var tls: String

        /// Makes the request to resume a session.
        package init(user: BareJID, token: String, h: UInt32, address: String, tls: String) {
            self.user = user
            self.token = token
            self.h = h
            self.address = address
            self.tls = tls
        }
    }

    /// `<resumed/>`: the connection takes the session's name and its new attach number.
    package struct Resumed: Sendable, Equatable {
        /// The session's own name.
        package var session: String
        /// Its attach number from here on.
        package var attach: UInt64
        /// The full JID that is bound.
        package var jid: JID
        /// What the client is told: the stanzas of its own that the server has handled, modulo 2^32.
        package var h: UInt32
        /// The number `n` of the client's next stanza.
        package var next: UInt64
        /// The number of the last stanza that the client has acknowledged; those that follow start behind it.
        package var sent: UInt64
        /// The stable ids of the messages that it acknowledged lately, the last one last.
        package var lately: [String]

        /// Makes the answer to a resume.
        package init(
            session: String,
            attach: UInt64,
            jid: JID,
            h: UInt32,
            next: UInt64,
            sent: UInt64,
            lately: [String] = []
        ) {
            self.session = session
            self.attach = attach
            self.jid = jid
            self.h = h
            self.next = next
            self.sent = sent
            self.lately = lately
        }
    }

    /// `<end/>`.
    package struct End: Sendable, Equatable {
        /// The stream error for the client (RFC 6120 §4.9.3); nil: a plain close.
        package var condition: StreamError.Condition?
        /// A sentence for the client.
        package var text: String?

        /// Makes the end of a session.
        package init(condition: StreamError.Condition? = nil, text: String? = nil) {
            self.condition = condition
            self.text = text
        }
    }

    /// `<register/>`.
    package struct Register: Sendable {
        /// The token that the answer repeats.
        package var request: String
        /// The domain of the client's stream.
        package var domain: String
        /// The client's network address, for limits.
        package var address: String
        /// The client's IQ.
        package var iq: Stanza

        /// Makes the request to handle an IQ before login.
        package init(request: String, domain: String, address: String, iq: Stanza) {
            self.request = request
            self.domain = domain
            self.address = address
            self.iq = iq
        }
    }
}
