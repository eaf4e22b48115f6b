// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import XML
import XMPPCore

/// Why a link went down.
package enum LinkFailure: Error, Sendable, Equatable {
    /// The router could not be reached.
    case unreachable(String)
    /// The router ended the stream with this error.
    case streamError(condition: String, text: String?)
    /// What the router said is not what the protocol allows here.
    case violation(String)
    /// The router closed the stream or the connection.
    case closed
    /// The handshake took too long, or nothing came for too long.
    case timedOut
    /// More waited to be sent than the bound allows.
    case queueFull
    /// We ended it ourselves.
    case stopped
}

/// An instance's end of its link to the router: XEP-0114 and then `docs/protocols.md`, section 1. Pure.
///
/// | state | waits for | then |
/// | --- | --- | --- |
/// | idle | the connection | sends the header |
/// | opening | the router's header | sends `<handshake/>` |
/// | authenticating | `<handshake/>` | sends `<j:declare/>` |
/// | declaring | `<j:declared/>` | is up |
/// | up | instances, wrappers, stanzas | hands them on |
/// | down | nothing any more | |
package struct ComponentLinkStateMachine: ~Copyable {
    /// What the link says about itself.
    package struct Configuration: Sendable {
        /// The instance's name, which its stream binds.
        package var name: String
        /// The secret that it shares with the router.
        package var secret: String
        /// What it declares.
        package var declaration: LinkDeclaration

        /// Makes the description of one end of a link.
        package init(name: String, secret: String, declaration: LinkDeclaration) {
            self.name = name
            self.secret = secret
            self.declaration = declaration
        }
    }

    /// What the handler does next.
    package enum Action: Sendable {
        case nothing
        case send(ByteBuffer)
        case linkUp
        case instanceAvailable(LinkInstance)
        case instanceUnavailable(LinkInstance)
        case instancesComplete
        case deliverRoute(RouteFrame)
        case deliverStanza(StreamElement)
        /// An element that cannot be read: worth a line in the log.
        case ignore(LinkFault)
        case reset(LinkFailure)
    }

    private enum State {
        case idle
        case opening
        case authenticating
        case declaring
        case up
        case down
    }

    private let configuration: Configuration
    private var state = State.idle

    /// Makes the machine of one connection.
    package init(_ configuration: Configuration) {
        self.configuration = configuration
    }

    /// Wrappers and stanzas may be sent.
    package var isUp: Bool { self.state == .up }

    /// The connection is there.
    package mutating func connected() -> Action {
        guard self.state == .idle else { return .nothing }
        self.state = .opening
        var header = ByteBuffer()
        header.writeStaticString("<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept'")
        header.writeStaticString(" xmlns:stream='http://etherx.jabber.org/streams' xmlns:j='urn:jackdaw:link:0'")
        header.writeLinkAttribute("to", self.configuration.name)
        header.writeStaticString(">")
        return .send(header)
    }

    /// The router's stream header arrived.
    package mutating func streamOpened(_ header: StreamHeader) -> Action {
        guard self.state == .opening else { return self.fail(.violation("a second stream header")) }
        guard let id = header["id"] else {
            // A header without an id comes before a stream error only (XEP-0114 §3).
            self.state = .authenticating
            return .nothing
        }
        self.state = .authenticating
        var handshake = ByteBuffer()
        handshake.writeStaticString("<handshake>")
        handshake.writeString(ComponentHandshake.proof(streamID: id, secret: self.configuration.secret))
        handshake.writeStaticString("</handshake>")
        return .send(handshake)
    }

    /// A child of the stream's root arrived.
    package mutating func elementReceived(_ element: StreamElement) -> Action {
        if element.namespace == Namespace.streams || element.name == "stream:error" {
            return self.fail(Self.streamError(element))
        }
        switch self.state {
        case .idle, .opening:
            return self.fail(.violation("an element before the stream header"))
        case .authenticating:
            guard element.name == "handshake", element.namespace == Namespace.component else {
                return self.fail(.violation("<\(element.name)/> instead of <handshake/>"))
            }
            self.state = .declaring
            var declare = ByteBuffer()
            LinkMessage.declare(self.configuration.declaration).write(to: &declare)
            return .send(declare)
        case .declaring:
            guard element.name == "declared", element.namespace == Namespace.link else {
                return self.fail(.violation("<\(element.name)/> instead of <j:declared/>"))
            }
            self.state = .up
            return .linkUp
        case .up:
            return self.deliver(element)
        case .down:
            return .nothing
        }
    }

    /// A wrapper that told its length arrived.
    package mutating func routeReceived(_ route: RouteFrame) -> Action {
        switch self.state {
        case .up: .deliverRoute(route)
        case .down: .nothing
        case .idle, .opening, .authenticating, .declaring: self.fail(.violation("a wrapper before <j:declared/>"))
        }
    }

    /// The stream ended, the bytes cannot be read, or time is up.
    package mutating func failed(_ failure: LinkFailure) -> Action {
        guard self.state != .down else { return .nothing }
        return self.fail(failure)
    }

    private mutating func fail(_ failure: LinkFailure) -> Action {
        self.state = .down
        return .reset(failure)
    }

    private func deliver(_ element: StreamElement) -> Action {
        guard element.namespace == Namespace.link else { return .deliverStanza(element) }
        do {
            switch try LinkMessage(element) {
            case .route(let route): return .deliverRoute(route)
            case .available(let instance): return .instanceAvailable(instance)
            case .unavailable(let instance): return .instanceUnavailable(instance)
            case .instancesComplete: return .instancesComplete
            case .declare, .declared: return .ignore(.unknownElement(element.name))
            }
        } catch {
            return .ignore(error)
        }
    }

    /// Reads `<stream:error/>`: the condition is its first child (RFC 6120 §4.9.2).
    private static func streamError(_ element: StreamElement) -> LinkFailure {
        let nodes = (try? Element.parseFragment(element.content, namespace: Namespace.component)) ?? []
        var condition: String?
        var text: String?
        for case .element(let child) in nodes {
            if child.name == "text" { text = child.text } else { condition = condition ?? child.name }
        }
        return .streamError(condition: condition ?? element.payload?.name ?? "undefined-condition", text: text)
    }
}
