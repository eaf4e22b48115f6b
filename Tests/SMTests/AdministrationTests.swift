// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import NIOEmbedded
import Storage
import Testing
import XML
import XMPPCore

@testable import SM

/// `docs/administration.md`, the requests that the SM answers.
@Suite struct AdministrationTests {
    private let world = World(users: ["ann@localhost"])

    private func ask(_ command: String, _ arguments: KeyValuePairs<String, String> = [:]) throws -> AdminResponse {
        let responder = AdminResponder(eventLoop: world.loop) { [] }
        let accounts = try #require(world.server.accounts)
        AdministrationCommands(world.server, accounts).register(at: responder)
        let request = AdminRequest(
            id: "1",
            command: command,
            arguments: arguments.map { AdminField($0.key, $0.value) }
        )
        return try responder.respond(to: request).wait()
    }

    private func field(_ name: String, _ row: [AdminField]?) -> String? {
        row?.first { $0.name == name }?.value
    }

    @Test("A user is added with a prepared name and a verifier for each hash, never with the password")
    func add() throws {
        let response = try ask("user-add", ["user": "Bob@LOCALHOST", "password": "pencil"])
        #expect(field("user", response.rows.first) == "bob@localhost")
        let credentials = world.database.accounts[World.bare("bob@localhost")]?.credentials ?? []
        #expect(credentials.map(\.hash).sorted() == ["SHA-1", "SHA-256", "SHA-512"])
        #expect(Set(credentials.map(\.salt)).count == 3)
    }

    @Test(
        "What is wrong is told by its condition",
        arguments: [
            ("user-add", ["user": "ann@localhost", "password": "x"], "conflict"),
            ("user-add", ["user": "x@far.example", "password": "x"], "item-not-found"),
            ("user-add", ["user": "localhost", "password": "x"], "jid-malformed"),
            ("user-add", ["user": "x@localhost/r", "password": "x"], "jid-malformed"),
            ("user-add", ["user": "@@", "password": "x"], "jid-malformed"),
            ("user-add", ["user": "x@localhost", "password": ""], "not-acceptable"),
            ("user-add", ["user": "x@localhost", "password": "\u{7}"], "not-acceptable"),
            ("user-add", ["user": "x@localhost"], "bad-request"),
            ("user-passwd", ["user": "x@localhost", "password": "x"], "item-not-found"),
            ("user-remove", ["user": "x@localhost"], "item-not-found"),
            ("user-list", ["domain": "far.example"], "item-not-found"),
            ("session-kick", ["jid": "ann@localhost"], "item-not-found"),
            ("session-kick", [:], "bad-request"),
        ] as [(String, [String: String], String)]
    )
    func failures(command: String, arguments: [String: String], condition: String) throws {
        let responder = AdminResponder(eventLoop: world.loop) { [] }
        let accounts = try #require(world.server.accounts)
        AdministrationCommands(world.server, accounts).register(at: responder)
        let fields = arguments.map { AdminField($0.key, $0.value) }
        let response = try responder.respond(to: AdminRequest(id: "1", command: command, arguments: fields)).wait()
        #expect(response.error?.condition == condition)
    }

    @Test("While the database is away every command on users says so")
    func away() throws {
        world.database.isAway = true
        for command in ["user-add", "user-passwd", "user-remove", "user-list"] {
            let response = try ask(command, ["user": "x@localhost", "password": "x", "domain": "localhost"])
            #expect(response.error?.condition == "service-unavailable", "\(command)")
        }
    }

    @Test("The limit of accounts is kept")
    func limit() throws {
        let small = World(users: ["ann@localhost"]) { $0.sm.limits.accounts = 1 }
        let work = small.server.accounts?.create(World.bare("bob@localhost"), password: "x")
        #expect(throws: AccountError.tooMany) { try work?.wait() }
    }

    @Test("The password of an account that is there already is not derived")
    func existing() throws {
        var derived = 0
        let loop = world.loop
        let accounts = Accounts(world.server) { _ in
            derived += 1
            return loop.makeSucceededFuture([])
        }
        #expect(throws: AccountError.exists) { try accounts.create(World.bare("ann@localhost"), password: "x").wait() }
        #expect(derived == 0)
        try accounts.create(World.bare("bob@localhost"), password: "x").wait()
        #expect(derived == 1)
    }

    @Test("Accounts of a domain that is hosted no longer are listed, and removed with their subscriptions")
    func formerDomain() throws {
        world.add("old@former.example")
        let former = World.bare("old@former.example")
        _ = world.database.change(World.bare("ann@localhost")) {
            $0.items["old@former.example"] = Self.item("old@former.example")
        }
        _ = world.database.change(former) {
            $0.items["ann@localhost"] = Self.item("ann@localhost")
            $0.items["far@far.example"] = Self.item("far@far.example")
        }
        let all = try ask("user-list")
        #expect(all.rows.map { field("user", $0) } == ["ann@localhost", "old@former.example"])
        let some = try ask("user-list", ["domain": "former.example"])
        #expect(some.rows.map { field("user", $0) } == ["old@former.example"])
        // Nobody logs in there, and no more accounts are made.
        #expect(try ask("user-passwd", ["user": "old@former.example", "password": "x"]).error != nil)
        #expect(try ask("user-add", ["user": "new@former.example", "password": "x"]).error != nil)

        let ann = TestClient.online(world, "ann@localhost")
        #expect(
            field("user", try ask("user-remove", ["user": "old@former.example"]).rows.first) == "old@former.example"
        )
        world.loop.run()
        #expect(world.database.accounts[former] == nil)
        #expect(
            world.database.accounts[World.bare("ann@localhost")]?.items["old@former.example"]?.subscription == "none"
        )
        _ = ann.take()
        // The router would end the link of who speaks for a domain that is not its own.
        #expect(world.takeOutside().allSatisfy { !$0.contains("from='old@former.example") })
        #expect(try ask("user-list", ["domain": "former.example"]).error?.condition == "item-not-found")
        #expect(try ask("user-remove", ["user": "old@former.example"]).error?.condition == "item-not-found")
    }

    private static func item(_ contact: String) -> RosterItemRow {
        RosterItemRow(
            contact: contact,
            name: nil,
            subscription: "both",
            ask: false,
            approved: false,
            groups: [],
            version: 1
        )
    }

    @Test("Sessions are listed and kicked; a kicked one cannot resume")
    func sessions() throws {
        let ann = TestClient.online(world, "ann@localhost", priority: 5, resume: true)
        let row = try #require(try ask("session-list", ["user": "ann@localhost"]).rows.first)
        #expect(field("jid", row) == "ann@localhost/one")
        #expect(field("state", row) == "attached")
        #expect(field("priority", row) == "5")
        #expect(field("resumable", row) == "true")
        #expect(field("mechanism", row) == "SCRAM-SHA-256")
        let users = try ask("user-list", ["domain": "localhost"])
        #expect(field("sessions", users.rows.first) == "1")
        let kicked = try ask("session-kick", ["jid": "ann@localhost/one"])
        #expect(field("jid", kicked.rows.first) == "ann@localhost/one")
        #expect(ann.takeEnd()?.condition == .policyViolation)
        ann.resume(h: 0)
        #expect(ann.resumeFailed == .some(nil))
    }

    @Test("Sessions are listed by pages that end by their bytes, in order, up to an empty one")
    func sessionPages() throws {
        let long = String(repeating: "r", count: 900)
        for user in 0..<15 {
            world.add("u\(user)@localhost")
            for number in 0..<40 { _ = TestClient(world, "u\(user)@localhost", resource: "\(long)\(number)") }
        }
        var listed: [String] = []
        var pages = 0
        while true {
            let after: KeyValuePairs<String, String> = listed.last.map { ["after": $0] } ?? [:]
            let page = try ask("session-list", after).rows
            guard !page.isEmpty else { break }
            pages += 1
            let bytes = page.reduce(0) { sum, row in row.reduce(sum) { $0 + $1.name.utf8.count + $1.value.utf8.count } }
            #expect(bytes <= 256 << 10)
            listed += page.compactMap { field("jid", $0) }
        }
        #expect(pages > 2)
        #expect(listed.count == 600)
        #expect(listed == listed.sorted())
        #expect(Set(listed).count == 600)
    }

    @Test("Users are listed by pages")
    func pages() throws {
        for name in ["bob", "carol"] { world.add("\(name)@localhost") }
        let first = try ask("user-list", ["domain": "localhost", "limit": "2"])
        #expect(first.rows.map { field("user", $0) } == ["ann@localhost", "bob@localhost"])
        let second = try ask("user-list", ["domain": "localhost", "limit": "2", "after": "bob@localhost"])
        #expect(second.rows.map { field("user", $0) } == ["carol@localhost"])
    }
}
