// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import XML
import XMPPCore

/// The router's end of a component's stream (XEP-0114 version 1.6), and of an instance's (`docs/protocols.md`,
/// section 1). Pure.
///
/// | state | takes | answers |
/// | --- | --- | --- |
/// | waiting | the stream header | a header, or an error in a stream of its own |
/// | opened | `<handshake/>` with the proof | asks to bind the name |
/// | binding | whether the name is bound | `<handshake/>`, or `<conflict/>` |
/// | external | stanzas, judged; `<j:declare/>` if it may | asks to forward, to declare |
/// | declaring | whether the names are bound | `<j:declared/>`, or an error |
/// | declared | stanzas and wrappers, start tags alone; `<j:declare/>` | asks to forward, to declare |
/// | closed | nothing | |
struct ComponentStreamStateMachine: ~Copyable {
    /// What the handler does next.
    enum Action {
        case nothing
        case send(ByteBuffer)
        /// The secret is proved: bind the name, then say `bound` or `failed`.
        case bind(name: String, grant: ComponentDirectory.Grant)
        /// Bind the names, then say `declared` or `failed`.
        case declare(LinkDeclaration)
        /// A stanza that was judged, from an external component.
        case forwardForeign(Stanza, to: JID)
        /// A stanza of an instance: domains of its addresses, and bytes that nobody has read.
        case forwardInternal(StreamElement, to: String, from: String)
        case forwardRoute(RouteFrame)
        /// Send this, if anything, and close.
        case close(ByteBuffer, reason: StreamError?)
    }

    private enum State {
        case waiting
        case opened(name: String, id: String, grant: ComponentDirectory.Grant)
        case binding(name: String, grant: ComponentDirectory.Grant)
        case external(name: String, grant: ComponentDirectory.Grant)
        case declaring(name: String, grant: ComponentDirectory.Grant)
        case declared(name: String, grant: ComponentDirectory.Grant)
        case closed
    }

    private var state = State.waiting
    private var isHeaderSent = false

    /// The name that is bound or about to be, for logs.
    var name: String? {
        switch self.state {
        case .waiting, .closed: nil
        case .opened(let name, _, _): name
        case .binding(let name, _), .external(let name, _), .declaring(let name, _), .declared(let name, _): name
        }
    }

    /// Whether the handshake is behind it.
    var isAuthenticated: Bool {
        switch self.state {
        case .waiting, .opened, .closed: false
        case .binding, .external, .declaring, .declared: true
        }
    }

    /// Whether it is one of ours, whose bytes are forwarded as they are.
    var isDeclared: Bool {
        if case .declared = self.state { true } else { false }
    }

    // MARK: Opening

    /// The stream header arrived; `id` is random and names the stream.
    mutating func streamOpened(_ header: StreamHeader, id: String, directory: ComponentDirectory) -> Action {
        guard case .waiting = self.state else { return self.fail(StreamError(.badFormat)) }
        guard header.contentNamespace == Namespace.component, header.namespace == Namespace.streams else {
            return self.fail(StreamError(.invalidNamespace), id: id)
        }
        guard let to = header["to"], !to.isEmpty, let address = try? JID(to) else {
            return self.fail(StreamError(.improperAddressing, text: "'to' must name the component"), id: id)
        }
        guard address.local == nil, address.isBare, let grant = directory.grant(for: address.domain) else {
            return self.fail(StreamError(.hostUnknown), id: id, from: to)
        }
        self.state = .opened(name: address.domain, id: id, grant: grant)
        self.isHeaderSent = true
        return .send(Self.header(id: id, from: address.domain, isInternal: grant.isInternal))
    }

    /// The name is bound: the handshake is answered (XEP-0114 §3).
    mutating func bound() -> Action {
        guard case .binding(let name, let grant) = self.state else { return .nothing }
        self.state = .external(name: name, grant: grant)
        return .send(ByteBuffer(string: "<handshake/>"))
    }

    /// The declared names are bound.
    mutating func declared() -> Action {
        guard case .declaring(let name, let grant) = self.state else { return .nothing }
        self.state = .declared(name: name, grant: grant)
        var bytes = ByteBuffer()
        LinkMessage.declared.write(to: &bytes)
        return .send(bytes)
    }

    // MARK: Children of the root

    /// A child of the stream's root arrived.
    mutating func elementReceived(_ element: StreamElement) -> Action {
        switch self.state {
        case .waiting, .binding, .declaring:
            return self.fail(StreamError(.notAuthorized))
        case .opened(let name, let id, let grant):
            return self.handshakeReceived(element, name: name, id: id, grant: grant)
        case .external(let name, let grant):
            if element.namespace == Namespace.link {
                return self.linkElementReceived(element, name: name, grant: grant, isDeclared: false)
            }
            return self.foreignStanzaReceived(element, name: name, grant: grant)
        case .declared(let name, let grant):
            if element.namespace == Namespace.link {
                return self.linkElementReceived(element, name: name, grant: grant, isDeclared: true)
            }
            return self.internalStanzaReceived(element)
        case .closed:
            return .nothing
        }
    }

    private mutating func handshakeReceived(
        _ element: StreamElement,
        name: String,
        id: String,
        grant: ComponentDirectory.Grant
    ) -> Action {
        guard element.name == "handshake", element.namespace == Namespace.component else {
            return self.fail(StreamError(.notAuthorized))
        }
        guard
            element.content.readableBytes <= 256,
            ComponentHandshake.verify(
                Self.trimmed(String(buffer: element.content)),
                streamID: id,
                secret: grant.secret.revealed
            )
        else { return self.fail(StreamError(.notAuthorized)) }
        self.state = .binding(name: name, grant: grant)
        return .bind(name: name, grant: grant)
    }

    private mutating func foreignStanzaReceived(
        _ element: StreamElement,
        name: String,
        grant: ComponentDirectory.Grant
    ) -> Action {
        guard Stanza.Kind(rawValue: element.name) != nil, element.namespace == Namespace.component else {
            return self.fail(StreamError(.unsupportedStanzaType))
        }
        guard grant.servesItsName else {
            return self.fail(StreamError(.policyViolation, text: "an instance declares itself first"))
        }
        guard let stanza = try? Stanza(element), let to = stanza.to, let from = stanza.from else {
            return self.fail(StreamError(.improperAddressing))
        }
        guard from.domain == name else { return self.fail(StreamError(.invalidFrom)) }
        return .forwardForeign(stanza, to: to)
    }

    private mutating func internalStanzaReceived(_ element: StreamElement) -> Action {
        guard Stanza.Kind(rawValue: element.name) != nil, element.namespace == Namespace.component else {
            return self.fail(StreamError(.unsupportedStanzaType))
        }
        guard let to = Self.domain(of: element["to"]), let from = Self.domain(of: element["from"]) else {
            return self.fail(StreamError(.improperAddressing))
        }
        return .forwardInternal(element, to: to, from: from)
    }

    private mutating func linkElementReceived(
        _ element: StreamElement,
        name: String,
        grant: ComponentDirectory.Grant,
        isDeclared: Bool
    ) -> Action {
        guard grant.isInternal, let message = try? LinkMessage(element) else {
            return self.fail(StreamError(.policyViolation))
        }
        switch message {
        case .declare(let declaration):
            guard
                Set(declaration.names).isSubset(of: grant.names),
                grant.mayBeDefaultRoute || !declaration.isDefaultRoute
            else { return self.fail(StreamError(.notAuthorized)) }
            self.state = .declaring(name: name, grant: grant)
            return .declare(declaration)
        case .route(let route) where isDeclared:
            return self.routeReceived(route)
        case .route, .declared, .available, .unavailable, .instancesComplete:
            return self.fail(StreamError(.policyViolation))
        }
    }

    /// A wrapper of an instance.
    mutating func routeReceived(_ route: RouteFrame) -> Action {
        switch self.state {
        case .declared(let name, _):
            guard route.isFrom(Array(name.utf8)) else { return self.fail(StreamError(.invalidFrom)) }
            return .forwardRoute(route)
        case .closed:
            return .nothing
        default:
            return self.fail(StreamError(.policyViolation))
        }
    }

    // MARK: Ending

    /// The component ended its stream, or its connection.
    mutating func streamClosed() -> Action {
        if case .closed = self.state { return .nothing }
        return self.close(with: nil, id: nil, from: nil)
    }

    /// The stream ends with an error: bytes that cannot be read, a name that is taken, no handshake in time.
    mutating func failed(_ error: StreamError, id: String? = nil) -> Action {
        if case .closed = self.state { return .nothing }
        return self.fail(error, id: id)
    }

    private mutating func fail(_ error: StreamError, id: String? = nil, from: String? = nil) -> Action {
        self.close(with: error, id: id, from: from)
    }

    /// An error before the header is said in a stream (RFC 6120 §4.9.1.2).
    private mutating func close(with error: StreamError?, id: String?, from: String?) -> Action {
        self.state = .closed
        var bytes = ByteBuffer()
        if !self.isHeaderSent {
            guard error != nil else { return .close(bytes, reason: nil) }
            bytes.writeImmutableBuffer(Self.header(id: id, from: from, isInternal: false))
            self.isHeaderSent = true
        }
        error?.write(to: &bytes)
        bytes.writeStaticString("</stream:stream>")
        return .close(bytes, reason: error)
    }

    private static func header(id: String?, from: String?, isInternal: Bool) -> ByteBuffer {
        var bytes = ByteBuffer()
        bytes.writeStaticString("<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept'")
        bytes.writeStaticString(" xmlns:stream='http://etherx.jabber.org/streams'")
        if isInternal { bytes.writeStaticString(" xmlns:j='urn:jackdaw:link:0'") }
        if let from { XMLEscape.writeAttribute("from", from, to: &bytes) }
        if let id { XMLEscape.writeAttribute("id", id, to: &bytes) }
        bytes.writeStaticString(">")
        return bytes
    }

    // MARK: Text

    /// The domain of an address that one of our own processes wrote, and so prepared (RFC 7622 §3.2).
    static func domain(of address: String?) -> String? {
        guard let utf8 = address?.utf8 else { return nil }
        let bare = utf8.prefix { $0 != UInt8(ascii: "/") }
        let domain = bare.firstIndex(of: UInt8(ascii: "@")).map { bare[bare.index(after: $0)...] } ?? bare
        return domain.isEmpty ? nil : String(Substring(domain))
    }

    private static func trimmed(_ text: String) -> String {
        let space: [UInt8] = [0x20, 0x09, 0x0a, 0x0d]
        let tail = text.utf8.drop { space.contains($0) }
        let end = tail.lastIndex { !space.contains($0) }.map { tail.index(after: $0) } ?? tail.startIndex
        return String(Substring(tail[..<end]))
    }
}
