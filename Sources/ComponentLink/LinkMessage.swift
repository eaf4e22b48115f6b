// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import XML
import XMPPCore

/// An instance, or an external component, that is bound at the router.
package struct LinkInstance: Sendable, Equatable {
    /// Whether it is one of our own processes.
    package enum Kind: String, Sendable {
        case `internal`
        case external
    }

    /// The name of its stream: `c2s-1.jackdaw.internal`, or the component's domain.
    package var name: String
    /// The random string of this start of its process; of an external component: of this link.
    package var epoch: String
    /// What it is.
    package var kind: Kind
    /// The further names that it serves.
    package var names: [String]

    /// Makes the description of an instance.
    package init(name: String, epoch: String, kind: Kind, names: [String]) {
        self.name = name
        self.epoch = epoch
        self.kind = kind
        self.names = names
    }
}

/// What an instance declares after its handshake.
package struct LinkDeclaration: Sendable, Equatable {
    /// The random string of this start of the process.
    package var epoch: String
    /// The names that it serves beside its own.
    package var names: [String]
    /// It takes what is for no name that is known here.
    package var isDefaultRoute: Bool

    /// Makes a declaration.
    package init(epoch: String, names: [String] = [], isDefaultRoute: Bool = false) {
        self.epoch = epoch
        self.names = names
        self.isDefaultRoute = isDefaultRoute
    }
}

/// The elements of `urn:jackdaw:link:0` (`docs/protocols.md`, section 1).
package enum LinkMessage: Sendable {
    case declare(LinkDeclaration)
    case declared
    case available(LinkInstance)
    case unavailable(LinkInstance)
    case instancesComplete
    case route(RouteFrame)

    /// Reads an element in the link's namespace, whether a trusting or a judging reader gave it.
    package init(_ element: StreamElement) throws(LinkFault) {
        let attributes = LinkAttributes(element.attributes)
        switch element.name {
        case "route":
            guard let route = RouteFrame(element) else { throw .badContent("route") }
            if route.from.isEmpty { throw .missingAttribute("from") }
            if route.to.isEmpty { throw .missingAttribute("to") }
            self = .route(route)
        case "declare":
            let children = try Self.children(of: element)
            self = .declare(
                LinkDeclaration(
                    epoch: try attributes.required("epoch"),
                    names: Self.names(in: children),
                    isDefaultRoute: children.contains { $0.name == "default-route" }
                )
            )
        case "declared":
            self = .declared
        case "instance":
            guard let kind = LinkInstance.Kind(rawValue: try attributes.required("kind")) else {
                throw .badAttribute("kind")
            }
            let instance = LinkInstance(
                name: try attributes.required("name"),
                epoch: try attributes.required("epoch"),
                kind: kind,
                names: Self.names(in: try Self.children(of: element))
            )
            self = attributes["state"] == "unavailable" ? .unavailable(instance) : .available(instance)
        case "instances-complete":
            self = .instancesComplete
        default:
            throw .unknownElement(element.name)
        }
    }

    /// Appends the element; a wrapper is appended as it was read.
    package func write(to buffer: inout ByteBuffer) {
        switch self {
        case .declare(let declaration):
            buffer.writeStaticString("<j:declare")
            buffer.writeLinkAttribute("epoch", declaration.epoch)
            buffer.writeStaticString(">")
            Self.write(names: declaration.names, to: &buffer)
            if declaration.isDefaultRoute { buffer.writeStaticString("<j:default-route/>") }
            buffer.writeStaticString("</j:declare>")
        case .declared:
            buffer.writeStaticString("<j:declared/>")
        case .available(let instance):
            Self.write(instance, state: "available", to: &buffer)
        case .unavailable(let instance):
            Self.write(instance, state: "unavailable", to: &buffer)
        case .instancesComplete:
            buffer.writeStaticString("<j:instances-complete/>")
        case .route(let route):
            buffer.writeImmutableBuffer(route.bytes)
        }
    }

    private static func write(_ instance: LinkInstance, state: String, to buffer: inout ByteBuffer) {
        buffer.writeStaticString("<j:instance")
        buffer.writeLinkAttribute("name", instance.name)
        buffer.writeLinkAttribute("epoch", instance.epoch)
        buffer.writeLinkAttribute("kind", instance.kind.rawValue)
        buffer.writeLinkAttribute("state", state)
        buffer.writeStaticString(">")
        Self.write(names: instance.names, to: &buffer)
        buffer.writeStaticString("</j:instance>")
    }

    private static func write(names: [String], to buffer: inout ByteBuffer) {
        for name in names {
            buffer.writeStaticString("<j:name>")
            buffer.writeLinkText(name)
            buffer.writeStaticString("</j:name>")
        }
    }

    /// The children of an element. A trusting reader leaves the prefix that the root declared, which is put back here
    /// for the parser; a judging one has made it the namespace that is inherited.
    private static func children(of element: StreamElement) throws(LinkFault) -> [Element] {
        guard element.content.readableBytes > 0 else { return [] }
        var bytes = ByteBuffer()
        bytes.writeStaticString("<j:all xmlns:j='urn:jackdaw:link:0'>")
        bytes.writeImmutableBuffer(element.content)
        bytes.writeStaticString("</j:all>")
        do {
            let nodes = try Element.parseFragment(bytes, namespace: Namespace.link)
            for case .element(let all) in nodes {
                return all.childElements.filter { $0.namespace == Namespace.link }
            }
            return []
        } catch {
            throw .badContent(element.name)
        }
    }

    private static func names(in children: [Element]) -> [String] {
        children.filter { $0.name == "name" }.map(\.text)
    }
}
