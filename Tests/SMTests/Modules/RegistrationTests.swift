// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOEmbedded
import Storage
import Testing
import XML
import XMPPCore

@testable import SM

/// XEP-0077.
@Suite struct RegistrationTests {
    private let world = World(users: ["ann@localhost"]) {
        $0.registration.enabled = true
        $0.registration.perAddress = 2
        $0.registration.failuresPerAddress = 3
        $0.domains[1].registration = false
    }

    private func register(
        _ name: String,
        _ password: String = "long enough",
        domain: String = "localhost",
        address: String = "192.0.2.1"
    ) throws -> Stanza {
        let fields = "<username>\(name)</username><password>\(password)</password>"
        return try send(fields, domain: domain, address: address)
    }

    private func send(
        _ fields: String,
        domain: String = "localhost",
        address: String = "192.0.2.1"
    ) throws -> Stanza {
        let module = try #require(world.server.chain.module(RegistrationModule.self))
        let iq = try World.stanza("<iq type='set' id='r'><query xmlns='jabber:iq:register'>\(fields)</query></iq>")
        var answer: Stanza?
        let request = SessionMessage.Register(request: "1", domain: domain, address: address, iq: iq)
        #expect(module.registration(request) { answer = $0 })
        world.loop.run()
        return try #require(answer)
    }

    @Test("An account is made, with a verifier for each hash and no password")
    func success() throws {
        #expect(try register("Carol").type == "result")
        let account = try #require(world.database.accounts[World.bare("carol@localhost")])
        #expect(Set(account.credentials.map(\.hash)).count == 3)
    }

    @Test("What is wrong is told: a name that is taken or none, a short password, a closed domain")
    func refusals() throws {
        #expect(try register("ann").stanzaError?.condition == .conflict)
        #expect(try register("a@b").stanzaError?.condition == .jidMalformed)
        #expect(try register("dave", "short").stanzaError?.condition == .notAcceptable)
        #expect(try register("dave", domain: "second.example").stanzaError?.condition == .serviceUnavailable)
    }

    /// §3.1.
    @Test(
        "A field that is missing or empty is not acceptable",
        arguments: [
            "", "<username>dave</username>", "<password>long enough</password>",
            "<username>dave</username><password/>", "<username/><password>long enough</password>",
            "<username>dave</username><password></password>", "<x xmlns='jabber:x:data' type='submit'/>",
        ]
    )
    func missingFields(fields: String) throws {
        let error = try #require(try send(fields).stanzaError)
        #expect(error.condition == .notAcceptable && error.type == .modify)
    }

    @Test("One address makes so many accounts and no more in a period")
    func limit() throws {
        for _ in 0..<2 { #expect(try register("ann").stanzaError?.condition == .conflict) }
        #expect(try register("one").type == "result")
        #expect(try register("two").type == "result")
        let error = try #require(try register("three").stanzaError)
        #expect(error.condition == .resourceConstraint && error.type == .wait)
        world.advance(seconds: 3_600)
        #expect(try register("three").type == "result")
    }

    @Test("One address finds out so many taken names and no more, and what cost nothing is not counted")
    func failures() throws {
        for _ in 0..<5 { #expect(try register("dave", "short").stanzaError?.condition == .notAcceptable) }
        for _ in 0..<3 { #expect(try register("ann").stanzaError?.condition == .conflict) }
        for name in ["ann", "free"] {
            let error = try #require(try register(name).stanzaError)
            #expect(error.condition == .resourceConstraint && error.type == .wait)
        }
        #expect(try register("free", address: "192.0.2.2").type == "result")
        world.advance(seconds: 3_600)
        #expect(try register("ann").stanzaError?.condition == .conflict)
    }

    @Test("While the database is away a try is not counted")
    func databaseAway() throws {
        world.database.isAway = true
        for _ in 0..<5 { #expect(try register("one").stanzaError?.type == .wait) }
        world.database.isAway = false
        #expect(try register("one").type == "result")
    }

    @Test("Tries that are under way count")
    func underWay() throws {
        world.database.isSlow = true
        let module = try #require(world.server.chain.module(RegistrationModule.self))
        var answers: [Stanza] = []
        for number in 1...3 {
            let iq = try World.stanza(
                "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>user\(number)</username>"
                    + "<password>long enough</password></query></iq>"
            )
            let request = SessionMessage.Register(request: "1", domain: "localhost", address: "192.0.2.1", iq: iq)
            _ = module.registration(request) { answers.append($0) }
        }
        #expect(answers.map { $0.stanzaError?.condition } == [.resourceConstraint])
    }

    @Test("A user changes the own password, of no other account")
    func passwordChange() throws {
        let ann = TestClient.online(world, "ann@localhost")
        for (name, isOwn) in [("ann", true), ("carol", false)] {
            ann.send(
                "<iq type='set' id='p' to='localhost'><query xmlns='jabber:iq:register'><username>\(name)</username>"
                    + "<password>a new password</password></query></iq>"
            )
            let answer = try #require(try ann.stanzas().first { $0.id == "p" })
            #expect((answer.type == "result") == isOwn)
        }
        #expect(world.database.accounts[World.bare("ann@localhost")]?.credentials.isEmpty == false)
    }

    @Test("A user removes the account: it is told, then its session ends, and no row is left")
    func removal() throws {
        let ann = TestClient.online(world, "ann@localhost")
        ann.send("<iq type='set' id='x'><query xmlns='jabber:iq:register'><remove/></query></iq>")
        #expect(try ann.stanzas().first { $0.id == "x" }?.type == "result")
        #expect(ann.takeEnd()?.condition == .notAuthorized)
        #expect(world.database.accounts[World.bare("ann@localhost")] == nil)
    }
}
