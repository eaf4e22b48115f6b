// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import XMPPCore

extension SessionMessage {
    /// What is said so that sessions and stanzas outlive the SM that owned them (`docs/protocols.md`, section 5).
    package enum Handover: Sendable {
        /// SM → C2S, SM → SM: who owns whom from here on. The C2S presents its passports to who sent it, and then what
        /// its clients sent and is unsettled.
        case map(OwnershipMap)
        /// C2S → SM: that is all of what was to be presented under the map of this epoch.
        case presented(epoch: UInt64)
        /// SM → SM: the sender holds nothing any more of users who are not its own under the map of this epoch.
        case released(epoch: UInt64)
        /// C2S → SM: a session that has its connection here, or had it when it broke.
        case passport(Passport)
        /// C2S → SM, after its passport: what the session's client was sent and has not acknowledged.
        case unacknowledged(Unacknowledged)
        /// C2S → SM: it has sessions that are the receiver's, by the map, and nobody has asked for them.
        case wanted
        /// SM → C2S: it does not have this session, or not as one that is there; it is to be presented.
        case unknown
        /// SM → C2S: what the C2S said of the end of the session's connection is taken, and a successor of the SM would
        /// know it: the C2S may forget the session.
        case taken
        /// SM → C2S: SM's own state of the session, as bytes that C2S keeps unread and returns in the passport.
        case state(ByteBuffer)
        /// SM → SM, S2S → SM: a stanza for a user of the receiver. SM → S2S: one for another server.
        case forwarded(Forwarded)
        /// S2S → SM: the forwarded stanzas with these tokens are about to be written to a socket.
        case sent([UInt64])
        /// The answer to `forwarded`: the stanzas with these tokens are settled.
        case settled([UInt64])
        /// The other answer to `forwarded`: the stanza with this token is answered with this error.
        case failed(token: UInt64, stanza: Stanza)
    }

    /// `<passport/>`: what C2S knows of a session.
    package struct Passport: Sendable, Equatable {
        /// The full JID that is bound.
        package var jid: JID
        /// The client's network address.
        package var address: String
        /// The version of TLS.
        package var tls: String
        /// The mechanism of SASL that the client used.
        package var mechanism: String
        /// Stream management, if it is on.
        package var management: Management?
        /// How many stanzas the client has sent, all counted: without stream management none of them comes again.
        package var received: UInt64
        /// What SM said last of its own.
        package var state: ByteBuffer

        /// Makes a passport.
        package init(
            jid: JID,
            address: String,
            tls: String,
            mechanism: String,
            management: Management?,
            received: UInt64,
            state: ByteBuffer
        ) {
            self.jid = jid
            self.address = address
            self.tls = tls
            self.mechanism = mechanism
            self.management = management
            self.received = received
            self.state = state
        }
    }

    /// The counters of stream management, in the numbers of `docs/protocols.md` section 2.
    package struct Management: Sendable, Equatable {
        /// With it the session can be resumed; nil: it cannot.
        package var token: String?
        /// For so many seconds.
        package var max: UInt32?
        /// How many stanzas the client sent before `<enable/>`.
        package var base: UInt64
        /// Up to this number the client's stanzas are settled; those behind it come again.
        package var settled: UInt64
        /// Up to this number the client has acknowledged what it was sent.
        package var acknowledged: UInt64
        /// The number of the last stanza that was written to it.
        package var sent: UInt64
        /// The stable ids of the messages that it acknowledged lately, the last one last.
        package var lately: [String]

        /// Makes the counters.
        package init(
            token: String?,
            max: UInt32?,
            base: UInt64,
            settled: UInt64,
            acknowledged: UInt64,
            sent: UInt64,
            lately: [String]
        ) {
            self.token = token
            self.max = max
            self.base = base
            self.settled = settled
            self.acknowledged = acknowledged
            self.sent = sent
            self.lately = lately
        }
    }

    /// `<unacknowledged/>`.
    package struct Unacknowledged: Sendable {
        /// Its number among all that the session's client was sent.
        package var number: UInt64
        /// Its stable id, if it is a message that is kept.
        package var id: String?
        /// For how long whoever presents it has had it, in microseconds: it is older than what came meanwhile.
        package var age: Int64
        /// The stanza.
        package var stanza: Stanza

        /// Makes one.
        package init(number: UInt64, id: String?, age: Int64, stanza: Stanza) {
            self.age = age
            self.number = number
            self.id = id
            self.stanza = stanza
        }
    }

    /// `<forwarded/>`.
    package struct Forwarded: Sendable {
        /// What the answer names it by; of the sender, never used twice.
        package var token: UInt64
        /// The epoch of the map that named the receiver.
        package var epoch: UInt64
        /// The stanza's stable id.
        package var id: String
        /// When the server got it, in microseconds since 1970.
        package var received: Int64
        /// Its sender sees acknowledgements: it is in custody until it is safe.
        package var isCounted: Bool
        /// The stanza.
        package var stanza: Stanza

        /// Makes one.
        package init(token: UInt64, epoch: UInt64, id: String, received: Int64, isCounted: Bool, stanza: Stanza) {
            self.token = token
            self.epoch = epoch
            self.id = id
            self.received = received
            self.isCounted = isCounted
            self.stanza = stanza
        }
    }
}
