// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import Testing
import XML
import XMPPCore

@testable import Router

@Suite struct RouteTableTests {
    private let one = RouteTable.LinkID(number: 1)
    private let two = RouteTable.LinkID(number: 2)

    /// A wrapper for an instance.
    private func route(to name: String) throws -> RouteFrame {
        var element = StreamElement(name: "route", namespace: Namespace.link)
        element.bytes = ByteBuffer(string: "<j:route from='a' to='\(name)'/>")
        return try #require(RouteFrame(element))
    }

    private func external(_ name: String) -> LinkInstance {
        LinkInstance(name: name, epoch: "x", kind: .external, names: [])
    }

    @Test func `a component's name is a domain, an instance's is not`() {
        var table = RouteTable()
        #expect(table.bind(one, external("chess.localhost"), servesItsName: true) == true)
        #expect(table.bind(two, external("sm-1.jackdaw.internal"), servesItsName: false) == true)
        #expect(table.link(serving: "chess.localhost") == one)
        #expect(table.link(serving: "sm-1.jackdaw.internal") == nil)
    }

    @Test func `a domain matches exactly`() {
        var table = RouteTable()
        #expect(table.bind(one, external("chess.localhost"), servesItsName: true) == true)
        for other in ["localhost", "a.chess.localhost", "Chess.localhost", "chess.localhost.", ""] {
            #expect(table.link(serving: other) == nil, "\(other)")
        }
    }

    @Test func `a name is bound once, and free again when its link is gone`() {
        var table = RouteTable()
        #expect(table.bind(one, external("chess.localhost"), servesItsName: true) == true)
        #expect(table.bind(two, external("chess.localhost"), servesItsName: true) == false)
        #expect(table.remove(one)?.instance.name == "chess.localhost")
        #expect(table.remove(one) == nil)
        #expect(table.bind(two, external("chess.localhost"), servesItsName: true) == true)
    }

    @Test func `a declaration replaces the one before it`() {
        var table = RouteTable()
        #expect(table.bind(one, external("sm-1.jackdaw.internal"), servesItsName: false) == true)
        #expect(table.declare(one, LinkDeclaration(epoch: "e", names: ["a", "b"], isDefaultRoute: true)) == true)
        #expect(table.defaultRoute == one)
        #expect(table.declare(one, LinkDeclaration(epoch: "e", names: ["b", "c"])) == true)
        #expect(table.link(serving: "a") == nil)
        #expect(table.link(serving: "b") == one)
        #expect(table.link(serving: "c") == one)
        #expect(table.defaultRoute == nil)
    }

    @Test func `a declaration with a name that is taken changes nothing`() throws {
        var table = RouteTable()
        #expect(table.bind(one, external("sm-1.jackdaw.internal"), servesItsName: false) == true)
        #expect(table.bind(two, external("sm-2.jackdaw.internal"), servesItsName: false) == true)
        #expect(table.declare(one, LinkDeclaration(epoch: "e", names: ["localhost"], isDefaultRoute: true)) == true)
        #expect(table.declare(two, LinkDeclaration(epoch: "e", names: ["other", "localhost"])) == false)
        #expect(table.declare(two, LinkDeclaration(epoch: "e", names: ["other"], isDefaultRoute: true)) == false)
        #expect(table.link(serving: "other") == nil)
        #expect(table.receiver(of: try route(to: "sm-2.jackdaw.internal")) == nil)
        #expect(table.receiver(of: try route(to: "sm-1.jackdaw.internal")) == one)
    }

    @Test func `only the holder of the default route sends for domains that are not ours`() {
        var table = RouteTable()
        #expect(table.bind(one, external("gate.localhost"), servesItsName: true) == true)
        #expect(table.bind(two, external("sm-1.jackdaw.internal"), servesItsName: false) == true)
        #expect(table.declare(one, LinkDeclaration(epoch: "e", isDefaultRoute: true)) == true)
        #expect(table.declare(two, LinkDeclaration(epoch: "e", names: ["localhost"])) == true)
        let isOurs = { (domain: String) in domain.hasSuffix("localhost") }
        #expect(table.mayLink(one, sendFor: "example.org", isOurs: isOurs))
        #expect(table.mayLink(one, sendFor: "gate.localhost", isOurs: isOurs))
        #expect(!table.mayLink(one, sendFor: "localhost", isOurs: isOurs))
        #expect(!table.mayLink(one, sendFor: "absent.localhost", isOurs: isOurs))
        #expect(table.mayLink(two, sendFor: "localhost", isOurs: isOurs))
        #expect(!table.mayLink(two, sendFor: "example.org", isOurs: isOurs))
    }
}
