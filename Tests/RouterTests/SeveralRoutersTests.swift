// SPDX-License-Identifier: Apache-2.0

import Config
import Foundation
import NIOCore
import Testing
import XMPPCore

@testable import ComponentLink
@testable import Router

/// Instances that link to two routers, which come and go.
@Suite struct SeveralRoutersTests {
    /// Two routers, which link to each other, on ports that no outgoing connection takes, so that each may come back at
    /// its own.
    private struct Pair {
        var routers: [TestRouter]
        let configuration: JackdawConfiguration

        static func start() async throws -> Pair {
            var configuration = TestRouter.configuration
            configuration.router.listen = ListenAddress(host: "127.0.0.1", port: Int.random(in: 10_000..<32_000))
            configuration.supervisor.router = 2
            let routers = [
                try await TestRouter.start(configuration, number: 1),
                try await TestRouter.start(configuration, number: 2),
            ]
            let pair = Pair(routers: routers, configuration: configuration)
            try await pair.awaitPeers()
            return pair
        }

        mutating func restart(_ index: Int) async throws {
            routers[index] = try await TestRouter.start(configuration, number: index + 1)
            try await awaitPeers()
        }

        /// Until the routers are linked, both ways.
        private func awaitPeers() async throws {
            for router in routers { try await Self.wait(router) { $0.peers?.linksUp == 1 } }
        }

        /// Until the router at `index` knows where a component is, or that it is nowhere else.
        func await(_ name: String, at index: Int, isKnown: Bool = true) async throws {
            try await Self.wait(routers[index]) { ($0.peers?.connection(to: name) != nil) == isKnown }
        }

        private static func wait(
            _ router: TestRouter,
            _ body: @escaping @Sendable (StanzaRouter) -> Bool
        ) async throws {
            while try await !router.inspect(body) { try await Task.sleep(for: .milliseconds(5)) }
        }

        func instance(_ name: String, secret: String, names: [String] = []) async throws -> LinkedInstance {
            try await LinkedInstance.start(name, secret: secret, names: names, routers[0], routers[1])
        }

        func stop() async throws {
            for router in routers { try await router.service.stop() }
        }
    }

    @Test func `an instance is there as long as one router leads to it, and the delegate sees one link`() async throws {
        var pair = try await Pair.start()
        let sm = try await pair.instance("sm-1", secret: "sm", names: ["localhost"])
        let c2s = try await pair.instance("c2s-1", secret: "c2s")
        try await sm.wait(for: "available c2s-1.jackdaw.internal")
        try await c2s.wait(for: "available sm-1.jackdaw.internal")
        // The losses of one router after the other are nobody's business.
        for (round, victim) in [0, 1, 0, 1].enumerated() {
            try await pair.routers[victim].service.stop()
            for number in 1...3 {
                let message = SessionMessage(session: "s\(round)-\(number)", attach: 1, .close)
                #expect(try await c2s.on { $0.send(message, to: "sm-1.jackdaw.internal") })
            }
            try await sm.wait(for: "message s\(round)-3 1")
            try await pair.restart(victim)
            for instance in [sm, c2s] {
                while try await instance.on({ $0.linksUp }) < 2 { try await Task.sleep(for: .milliseconds(5)) }
            }
            for name in ["sm-1", "c2s-1"] {
                let other = name == "sm-1" ? c2s : sm
                while try await other.on({ $0.sightings["\(name).jackdaw.internal"]?.ways.count }) != 2 {
                    try await Task.sleep(for: .milliseconds(5))
                }
            }
        }
        let history = try await sm.history()
        #expect(history.filter { $0.hasPrefix("message") }.count == 12)
        #expect(history.filter { $0 == "up" }.count == 1)
        #expect(history.filter { $0 == "complete" }.count == 1)
        for instance in [sm, c2s] {
            let losses = try await instance.history().filter { $0.hasPrefix("unavailable") || $0.hasPrefix("down") }
            // The routers themselves are instances.
            #expect(losses.allSatisfy { $0.hasPrefix("unavailable router-") })
        }
        try await sm.stop()
        try await c2s.stop()
        try await pair.stop()
    }

    @Test func `two session managers share a domain, and a pair of addresses keeps its order`() async throws {
        try await TestRouter.run { router in
            let one = try await LinkedInstance.start("sm-1", secret: "sm", names: ["localhost"], router)
            let two = try await LinkedInstance.start("sm-2", secret: "sm", names: ["localhost"], router)
            try await one.wait(for: "available sm-2.jackdaw.internal")
            try await two.wait(for: "available sm-1.jackdaw.internal")
            let chess = try await router.component("chess.localhost")
            for number in 0..<40 {
                let user = "u\(number % 10)@localhost"
                chess.send("<message from='chess.localhost' to='\(user)' id='m\(number)'><body>x</body></message>")
            }
            var taken: [[String]] = []
            for sm in [one, two] {
                let count = { try await one.history().count { $0.hasPrefix("stanza") } }
                let other = { try await two.history().count { $0.hasPrefix("stanza") } }
                while try await count() + other() < 40 { try await Task.sleep(for: .milliseconds(5)) }
                taken.append(try await sm.history().filter { $0.hasPrefix("stanza") })
            }
            #expect(taken.allSatisfy { !$0.isEmpty })
            for stanzas in taken {
                let numbers = stanzas.compactMap { Int($0.dropFirst("stanza m".count).prefix { $0.isNumber }) }
                #expect(numbers == numbers.sorted())
                // All of one receiver are at one of the two.
                #expect(numbers.count == 4 * Set(numbers.map { $0 % 10 }).count)
            }
            try await one.stop()
            try await two.stop()
        }
    }

    @Test func `a stanza for an external component goes to the router where that is bound`() async throws {
        let pair = try await Pair.start()
        let sm = try await pair.instance("sm-1", secret: "sm", names: ["localhost"])
        let chess = try await pair.routers[0].component("chess.localhost")
        let words = try await pair.routers[1].component("words.localhost")
        try await sm.wait(for: "available chess.localhost")
        try await sm.wait(for: "available words.localhost")
        let from = try JID("a@localhost")
        for (name, component) in [("chess.localhost", chess), ("words.localhost", words)] {
            let to = try JID(name)
            #expect(try await sm.on { $0.send(Stanza(kind: .message, to: to, from: from, id: "to \(to)")) })
            _ = try await component.read(through: "id='to \(name)'/>")
            component.send("<message from='\(name)' to='a@localhost' id='\(name)'><body>x</body></message>")
            try await sm.wait(for: "stanza \(name) body")
        }
        try await sm.stop()
        try await pair.stop()
    }

    @Test func `components of two routers reach each other by one hop`() async throws {
        let pair = try await Pair.start()
        let chess = try await pair.routers[0].component("chess.localhost")
        let words = try await pair.routers[1].component("words.localhost")
        try await pair.await("chess.localhost", at: 1)
        try await pair.await("words.localhost", at: 0)
        for number in 0..<100 {
            chess.send("<message from='chess.localhost' to='words.localhost' id='c\(number)'><a>&lt;</a></message>")
            words.send("<message from='words.localhost' to='chess.localhost' id='w\(number)'><b>&lt;</b></message>")
        }
        let atWords = try await words.read(through: "id='c99'><a>&lt;</a></message>")
        let atChess = try await chess.read(through: "id='w99'><b>&lt;</b></message>")
        for (text, letter) in [(atWords, "c"), (atChess, "w")] {
            let places = (0..<100).map { text.range(of: "id='\(letter)\($0)'")?.lowerBound }
            #expect(places.allSatisfy { $0 != nil })
            #expect(places.compactMap { $0 } == places.compactMap { $0 }.sorted())
        }
        // A process of ours that has lost its link to the other router reaches it as well.
        let sm = try await LinkedInstance.start("sm-1", secret: "sm", names: ["localhost"], pair.routers[1])
        try await sm.wait(for: "complete")
        let (from, to) = (try JID("a@localhost"), try JID("chess.localhost"))
        #expect(try await sm.on { $0.send(Stanza(kind: .message, to: to, from: from, id: "m1")) })
        _ = try await chess.read(through: "id='m1'/>")
        try await sm.stop()
        try await pair.stop()
    }

    @Test func `a name that is bound at another router is a conflict, and free when that is gone`() async throws {
        var pair = try await Pair.start()
        let chess = try await pair.routers[0].component("chess.localhost")
        let words = try await pair.routers[1].component("words.localhost")
        try await pair.await("chess.localhost", at: 1)
        let second = try await pair.routers[1].connect()
        try await second.open("chess.localhost")
        try await second.answerHandshake(secret: "secret of chess.localhost")
        #expect(try await second.readToEnd().contains("<conflict"))
        // One that nobody has bound bounces, and one whose router is gone likewise.
        words.send("<iq type='get' from='words.localhost' to='rooms.localhost' id='q1'><a/></iq>")
        _ = try await words.read(through: "<service-unavailable")
        _ = chess
        try await pair.routers[0].service.stop()
        try await pair.await("chess.localhost", at: 1, isKnown: false)
        words.send("<iq type='get' from='words.localhost' to='chess.localhost' id='q2'><a/></iq>")
        _ = try await words.read(through: "<service-unavailable")
        let moved = try await pair.routers[1].component("chess.localhost")
        words.send("<iq type='get' from='words.localhost' to='chess.localhost' id='q3'><a/></iq>")
        _ = try await moved.read(through: "id='q3'")
        try await pair.restart(0)
        try await pair.await("chess.localhost", at: 0)
        try await pair.stop()
    }

    @Test func `of two routers that bound a name without seeing each other the first keeps it`() async throws {
        var configuration = TestRouter.configuration
        configuration.router.listen = ListenAddress(host: "127.0.0.1", port: Int.random(in: 10_000..<32_000))
        // Each knows of itself alone, at first.
        let routers = [
            try await TestRouter.start(configuration, number: 1), try await TestRouter.start(configuration, number: 2),
        ]
        let first = try await routers[0].component("chess.localhost")
        let second = try await routers[1].component("chess.localhost")
        configuration.supervisor.router = 2
        for router in routers { try await router.apply(configuration) }
        #expect(try await second.readToEnd().contains("<conflict"))
        let words = try await routers[1].component("words.localhost")
        while try await routers[1].inspect({ $0.peers?.connection(to: "chess.localhost") == nil }) {
            try await Task.sleep(for: .milliseconds(5))
        }
        words.send("<message from='words.localhost' to='chess.localhost' id='m'/>")
        _ = try await first.read(through: "id='m'")
        for router in routers { try await router.service.stop() }
    }

    @Test func `routers may be added and removed while the link is up`() async throws {
        let pair = try await Pair.start()
        let addresses = pair.routers.map { RouterAddress(host: "127.0.0.1", port: $0.port) }
        let sm = try await LinkedInstance.start("sm-1", secret: "sm", names: ["localhost"], pair.routers[0])
        let c2s = try await pair.instance("c2s-1", secret: "c2s")
        try await sm.wait(for: "complete")
        try await sm.on { $0.setRouters(addresses) }
        while try await sm.on({ $0.linksUp }) < 2 { try await Task.sleep(for: .milliseconds(5)) }
        let message = SessionMessage(session: "s", attach: 1, .close)
        #expect(try await c2s.on { $0.send(message, to: "sm-1.jackdaw.internal") })
        try await sm.wait(for: "message s 1")
        try await sm.on { $0.setRouters([addresses[1]]) }
        #expect(try await sm.on { $0.isUp })
        #expect(try await c2s.on { $0.send(message, to: "sm-1.jackdaw.internal") })
        try await sm.wait(for: "message s 1", times: 2)
        try await sm.on { $0.setRouters([addresses[0]]) }
        try await sm.wait(for: "down")
        try await sm.wait(for: "complete", times: 2)
        try await sm.stop()
        try await c2s.stop()
        try await pair.stop()
    }
}
