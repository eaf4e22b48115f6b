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
    private let three = RouteTable.LinkID(number: 3)

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
        #expect(table.link(serving: "chess.localhost", from: "", to: "") == one)
        #expect(table.link(serving: "sm-1.jackdaw.internal", from: "", to: "") == nil)
    }

    @Test func `a domain matches exactly`() {
        var table = RouteTable()
        #expect(table.bind(one, external("chess.localhost"), servesItsName: true) == true)
        for other in ["localhost", "a.chess.localhost", "Chess.localhost", "chess.localhost.", ""] {
            #expect(table.link(serving: other, from: "", to: "") == nil, "\(other)")
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
        #expect(table.defaultRoutes == [one])
        #expect(table.declare(one, LinkDeclaration(epoch: "e", names: ["b", "c"])) == true)
        #expect(table.link(serving: "a", from: "", to: "") == nil)
        #expect(table.link(serving: "b", from: "", to: "") == one)
        #expect(table.link(serving: "c", from: "", to: "") == one)
        #expect(table.defaultRoutes.isEmpty)
    }

    @Test func `those of one kind share the default route, each pair of domains with one of them`() {
        var table = RouteTable()
        for (id, name) in [(one, "s2s-1.jackdaw.internal"), (two, "s2s-2.jackdaw.internal")] {
            #expect(table.bind(id, external(name), servesItsName: false, group: "s2s") == true)
            #expect(table.declare(id, LinkDeclaration(epoch: "e", isDefaultRoute: true)) == true)
        }
        let pairs = (0..<100).map { ("a.example", "d\($0).example") }
        let chosen = pairs.map { table.defaultRoute(from: $0.0, to: $0.1) }
        #expect(chosen.count { $0 == one } > 20 && chosen.count { $0 == two } > 20)
        #expect(table.remove(two) != nil)
        #expect(pairs.allSatisfy { table.defaultRoute(from: $0.0, to: $0.1) == one })
        // Of another kind nobody takes it.
        #expect(table.bind(two, external("x-1.jackdaw.internal"), servesItsName: false, group: "x") == true)
        #expect(table.declare(two, LinkDeclaration(epoch: "e", isDefaultRoute: true)) == false)
    }

    @Test func `a declaration with a name that is taken changes nothing`() throws {
        var table = RouteTable()
        #expect(table.bind(one, external("sm-1.jackdaw.internal"), servesItsName: false) == true)
        #expect(table.bind(two, external("sm-2.jackdaw.internal"), servesItsName: false) == true)
        #expect(table.declare(one, LinkDeclaration(epoch: "e", names: ["localhost"], isDefaultRoute: true)) == true)
        #expect(table.declare(two, LinkDeclaration(epoch: "e", names: ["other", "localhost"])) == false)
        #expect(table.declare(two, LinkDeclaration(epoch: "e", names: ["other"], isDefaultRoute: true)) == false)
        #expect(table.link(serving: "other", from: "", to: "") == nil)
        #expect(table.receiver(of: try route(to: "sm-2.jackdaw.internal")) == nil)
        #expect(table.receiver(of: try route(to: "sm-1.jackdaw.internal")) == one)
    }

    @Test func `instances of one kind serve a domain together, others do not`() {
        var table = RouteTable()
        for (id, name, group) in [(one, "sm-2", "sm"), (two, "sm-1", "sm"), (three, "c2s-1", "c2s")] {
            #expect(table.bind(id, external(name), servesItsName: false, group: group) == true)
        }
        #expect(table.declare(one, LinkDeclaration(epoch: "e", names: ["localhost"])) == true)
        #expect(table.declare(two, LinkDeclaration(epoch: "e", names: ["localhost"])) == true)
        #expect(table.declare(three, LinkDeclaration(epoch: "e", names: ["localhost"])) == false)
        #expect(table.mayLink(two, sendFor: "localhost", isOurs: { _ in true }))
        // A foreign name stays exclusive, whoever asks.
        #expect(table.bind(RouteTable.LinkID(number: 4), external("localhost"), servesItsName: true) == false)
        #expect(table.remove(one)?.domains == ["localhost"])
        #expect(table.link(serving: "localhost", from: "a@x", to: "b@localhost") == two)
        #expect(table.remove(two)?.domains == ["localhost"])
        #expect(table.link(serving: "localhost", from: "a@x", to: "b@localhost") == nil)
    }

    /// Each pair has one holder, whatever the resources, and only those pairs move whose holder came or went.
    @Test func `the holder of a pair is stable, and all have their share`() {
        func holders(_ numbers: ClosedRange<Int>) -> [String: UInt64] {
            var table = RouteTable()
            for number in numbers.reversed() {
                let id = RouteTable.LinkID(number: UInt64(number))
                _ = table.bind(id, external("sm-\(number).jackdaw.internal"), servesItsName: false, group: "sm")
                _ = table.declare(id, LinkDeclaration(epoch: "e", names: ["localhost"]))
            }
            var found: [String: UInt64] = [:]
            for pair in 0..<3_000 {
                let (from, to) = ("user\(pair % 60)@x.example", "u\(pair / 60)@localhost")
                let id = table.link(serving: "localhost", from: from + "/a", to: to)
                #expect(id == table.link(serving: "localhost", from: from, to: to + "/b"))
                found[from + to] = id?.number
            }
            return found
        }
        let three = holders(1...3)
        for number in 1...3 {
            let share = three.values.count { $0 == UInt64(number) }
            #expect((850...1_150).contains(share), "\(number): \(share)")
        }
        let four = holders(1...4)
        #expect(three.allSatisfy { four[$0.key] == $0.value || four[$0.key] == 4 })
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
