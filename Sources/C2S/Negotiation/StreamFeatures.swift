// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SASL
import XML
import XMPPCore

/// The `<stream:features/>` of each stage of a stream (RFC 6120 §4.3.2).
enum StreamFeatures {
    /// What a stream may carry, for XEP-0478 (version 0.2.0).
    struct Announcement: Equatable, Sendable {
        var maxBytes: Int
        /// After so long a silence the client is probed, or before login dropped.
        var idleSeconds: Int?
    }

    /// In the clear: TLS and nothing else.
    static func writeClear(_ limits: Announcement, to buffer: inout ByteBuffer) {
        buffer.writeStaticString(
            "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
        )
        write(limits, to: &buffer)
        buffer.writeStaticString("</stream:features>")
    }

    /// Before login: the mechanisms and, if one of them binds to the channel, the types of binding (XEP-0440).
    static func writeSecured(
        mechanisms: [SASLMechanism],
        bindings: ChannelBindings,
        allowsRegistration: Bool,
        _ limits: Announcement,
        to buffer: inout ByteBuffer
    ) {
        buffer.writeStaticString("<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>")
        for mechanism in mechanisms { buffer.writeString("<mechanism>\(mechanism.rawValue)</mechanism>") }
        buffer.writeStaticString("</mechanisms>")
        if !bindings.isEmpty, mechanisms.contains(where: \.usesChannelBinding) {
            buffer.writeStaticString("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>")
            for kind in bindings.kinds { buffer.writeString("<channel-binding type='\(kind.rawValue)'/>") }
            buffer.writeStaticString("</sasl-channel-binding>")
        }
        if allowsRegistration {
            buffer.writeStaticString("<register xmlns='http://jabber.org/features/iq-register'/>")
        }
        write(limits, to: &buffer)
        buffer.writeStaticString("</stream:features>")
    }

    /// After login: what C2S does itself, and what SM adds.
    static func writeAuthenticated(
        _ limits: Announcement,
        sessionFeatures: ByteBuffer?,
        to buffer: inout ByteBuffer
    ) {
        buffer.writeStaticString("<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
        buffer.writeStaticString("<sm xmlns='urn:xmpp:sm:3'/>")
        if let sessionFeatures { buffer.writeImmutableBuffer(sessionFeatures) }
        write(limits, to: &buffer)
        buffer.writeStaticString("</stream:features>")
    }

    private static func write(_ limits: Announcement, to buffer: inout ByteBuffer) {
        buffer.writeString("<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>\(limits.maxBytes)</max-bytes>")
        if let idle = limits.idleSeconds { buffer.writeString("<idle-seconds>\(idle)</idle-seconds>") }
        buffer.writeStaticString("</limits>")
    }
}
