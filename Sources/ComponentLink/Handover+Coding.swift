// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

extension SessionMessage.Handover {
    /// Whether it is about one session.
    var hasSession: Bool {
        switch self {
        case .passport, .unacknowledged, .state, .unknown, .taken: true
        case .map, .presented, .released, .wanted, .forwarded, .sent, .settled, .failed: false
        }
    }

    // MARK: Writing

    /// Appends the control element.
    func write(to buffer: inout ByteBuffer) {
        switch self {
        case .map(let map):
            Self.begin("map", to: &buffer)
            buffer.writeLinkAttribute("epoch", map.epoch)
            buffer.writeLinkAttribute("instances", map.instances.joined(separator: " "))
            buffer.writeStaticString("/>")
        case .presented(let epoch): Self.write("presented", epoch, to: &buffer)
        case .released(let epoch): Self.write("released", epoch, to: &buffer)
        case .wanted:
            Self.begin("wanted", to: &buffer)
            buffer.writeStaticString("/>")
        case .unknown:
            Self.begin("unknown", to: &buffer)
            buffer.writeStaticString("/>")
        case .taken:
            Self.begin("taken", to: &buffer)
            buffer.writeStaticString("/>")
        case .passport(let passport): Self.write(passport, to: &buffer)
        case .unacknowledged(let sent):
            Self.begin("unacknowledged", to: &buffer)
            buffer.writeLinkAttribute("n", sent.number)
            buffer.writeLinkAttribute("i", sent.id)
            if sent.age > 0 { buffer.writeLinkAttribute("age", UInt64(sent.age)) }
            Self.end("</unacknowledged>", with: sent.stanza, to: &buffer)
        case .state(let state):
            Self.begin("state", to: &buffer)
            Self.end("</state>", with: state, to: &buffer)
        case .forwarded(let forwarded):
            Self.begin("forwarded", to: &buffer)
            buffer.writeLinkAttribute("t", forwarded.token)
            buffer.writeLinkAttribute("epoch", forwarded.epoch)
            buffer.writeLinkAttribute("i", forwarded.id)
            buffer.writeLinkAttribute("received", UInt64(clamping: forwarded.received))
            if forwarded.isCounted { buffer.writeLinkAttribute("counted", "true") }
            Self.end("</forwarded>", with: forwarded.stanza, to: &buffer)
        case .sent(let tokens): Self.write("sent", tokens, to: &buffer)
        case .settled(let tokens): Self.write("done", tokens, to: &buffer)
        case .failed(let token, let stanza):
            Self.begin("failed", to: &buffer)
            buffer.writeLinkAttribute("t", token)
            Self.end("</failed>", with: stanza, to: &buffer)
        }
    }

    private static func begin(_ name: StaticString, to buffer: inout ByteBuffer) {
        buffer.writeStaticString("<")
        buffer.writeStaticString(name)
        buffer.writeStaticString(" xmlns='urn:jackdaw:session:0'")
    }

    private static func write(_ name: StaticString, _ epoch: UInt64, to buffer: inout ByteBuffer) {
        begin(name, to: &buffer)
        buffer.writeLinkAttribute("epoch", epoch)
        buffer.writeStaticString("/>")
    }

    private static func write(_ name: StaticString, _ tokens: [UInt64], to buffer: inout ByteBuffer) {
        begin(name, to: &buffer)
        buffer.writeLinkAttribute("t", tokens.map { String($0) }.joined(separator: " "))
        buffer.writeStaticString("/>")
    }

    /// A stanza in it inherits the namespace of whatever stream carries it: it is read as bytes, like that of a wrapper.
    private static func end(_ tag: StaticString, with stanza: Stanza, to buffer: inout ByteBuffer) {
        buffer.writeStaticString(">")
        stanza.write(to: &buffer)
        buffer.writeStaticString(tag)
    }

    private static func end(_ tag: StaticString, with bytes: ByteBuffer, to buffer: inout ByteBuffer) {
        buffer.writeStaticString(">")
        buffer.writeImmutableBuffer(bytes)
        buffer.writeStaticString(tag)
    }

    private static func write(_ passport: SessionMessage.Passport, to buffer: inout ByteBuffer) {
        begin("passport", to: &buffer)
        buffer.writeLinkAttribute("jid", passport.jid.description)
        buffer.writeLinkAttribute("address", passport.address)
        buffer.writeLinkAttribute("tls", passport.tls)
        buffer.writeLinkAttribute("mechanism", passport.mechanism)
        buffer.writeLinkAttribute("received", passport.received)
        if let management = passport.management {
            buffer.writeLinkAttribute("token", management.token)
            if let max = management.max { buffer.writeLinkAttribute("max", max) }
            buffer.writeLinkAttribute("base", management.base)
            buffer.writeLinkAttribute("settled", management.settled)
            buffer.writeLinkAttribute("acknowledged", management.acknowledged)
            buffer.writeLinkAttribute("sent", management.sent)
            buffer.writeLinkAttribute("lately", management.lately.joined(separator: " "))
        }
        end("</passport>", with: passport.state, to: &buffer)
    }

    // MARK: Reading

    /// Reads a control element; nil if it is none of these.
    init?(_ tag: StreamElementTag) throws(LinkFault) {
        let attributes = LinkAttributes(tag.attributes)
        switch tag.name {
        case "map":
            let names = try attributes.required("instances").split(separator: " ").map(String.init)
            self = .map(OwnershipMap(epoch: try attributes.requiredNumber("epoch"), instances: names))
        case "presented": self = .presented(epoch: try attributes.requiredNumber("epoch"))
        case "released": self = .released(epoch: try attributes.requiredNumber("epoch"))
        case "passport": self = .passport(try SessionMessage.Passport(attributes, state: tag.content))
        case "unacknowledged":
            let number: UInt64 = try attributes.requiredNumber("n")
            // A century at most: it is subtracted from a time.
            let age = min(attributes["age"].flatMap { UInt64($0) } ?? 0, 3_000_000_000_000_000)
            let stanza = try Self.stanza(in: tag)
            self = .unacknowledged(.init(number: number, id: attributes["i"], age: Int64(age), stanza: stanza))
        case "wanted": self = .wanted
        case "unknown": self = .unknown
        case "taken": self = .taken
        case "state": self = .state(tag.content)
        case "forwarded":
            self = .forwarded(
                SessionMessage.Forwarded(
                    token: try attributes.requiredNumber("t"),
                    epoch: try attributes.requiredNumber("epoch"),
                    id: try attributes.required("i"),
                    received: try attributes.requiredNumber("received"),
                    isCounted: attributes["counted"] == "true",
                    stanza: try Self.stanza(in: tag)
                )
            )
        case "sent": self = .sent(try Self.tokens(attributes))
        case "done": self = .settled(try Self.tokens(attributes))
        case "failed":
            self = .failed(token: try attributes.requiredNumber("t"), stanza: try Self.stanza(in: tag))
        default: return nil
        }
    }

    private static func tokens(_ attributes: LinkAttributes) throws(LinkFault) -> [UInt64] {
        try attributes.required("t").split(separator: " ").compactMap { UInt64($0) }
    }

    private static func stanza(in tag: StreamElementTag) throws(LinkFault) -> Stanza {
        guard let stanza = Stanza(wrapped: tag.content, jids: nil) else { throw .badContent(tag.name) }
        return stanza
    }
}

extension SessionMessage.Passport {
    fileprivate init(_ attributes: LinkAttributes, state: ByteBuffer) throws(LinkFault) {
        self.init(
            jid: try attributes.requiredJID("jid"),
            address: try attributes.required("address"),
            tls: try attributes.required("tls"),
            mechanism: try attributes.required("mechanism"),
            management: try SessionMessage.Management(attributes),
            received: try attributes.requiredNumber("received"),
            state: state
        )
    }
}

extension SessionMessage.Management {
    /// Nil where stream management is not on.
    fileprivate init?(_ attributes: LinkAttributes) throws(LinkFault) {
        guard let sent = try attributes.number("sent", as: UInt64.self) else { return nil }
        self.init(
            token: attributes["token"],
            max: try attributes.number("max"),
            base: try attributes.requiredNumber("base"),
            settled: try attributes.requiredNumber("settled"),
            acknowledged: try attributes.requiredNumber("acknowledged"),
            sent: sent,
            lately: (attributes["lately"] ?? "").split(separator: " ").map(String.init)
        )
    }
}
