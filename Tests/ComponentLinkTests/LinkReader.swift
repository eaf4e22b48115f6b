// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML

/// Reads elements the way an instance reads its link, and the way the router reads before a declaration.
enum LinkReader {
    static let header =
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' "
        + "xmlns:j='urn:jackdaw:link:0'>"

    static func elements(in text: String, trust: StreamReader.Trust = .internalLink) throws -> [StreamElement] {
        let reader = StreamReader(trust: trust, contentNamespaces: ["jabber:component:accept"])
        reader.receive(ByteBuffer(string: Self.header + text))
        var elements: [StreamElement] = []
        while let event = try reader.next() {
            if case .element(let element) = event { elements.append(element) }
        }
        return elements
    }

    static func element(_ text: String, trust: StreamReader.Trust = .internalLink) throws -> StreamElement {
        guard let element = try Self.elements(in: text, trust: trust).first else { throw Missing() }
        return element
    }

    /// The wrappers that told their length.
    static func routes(in text: String) throws -> [RouteFrame] {
        let reader = StreamReader(trust: .internalLink, contentNamespaces: ["jabber:component:accept"])
        reader.receive(ByteBuffer(string: Self.header + text))
        var routes: [RouteFrame] = []
        while let event = try reader.next() {
            if case .route(let route) = event { routes.append(route) }
        }
        return routes
    }

    /// A wrapper, whether it told its length or not.
    static func route(_ text: String) throws -> RouteFrame {
        if let route = try Self.routes(in: text).first { return route }
        guard let route = RouteFrame(try Self.element(text)) else { throw Missing() }
        return route
    }

    struct Missing: Error {}
}
