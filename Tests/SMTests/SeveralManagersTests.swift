// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// Accounts, sessions and messages when two SMs share the users: whoever is asked (`docs/protocols.md`, section 3).
@Suite struct SeveralManagersTests {
    /// The servers; `ann` and `amy` are the first one's, `bob` the second one's.
    private let first: World
    private let second: World
    private let ann: String
    private let amy: String
    private let bob: String
    private static let both = OwnershipMap(epoch: 2, instances: [World.sm1, World.sm2])

    init() {
        first = World()
        second = World(beside: first)
        first.peers = [World.sm2: second]
        second.peers = [World.sm1: first]
        let names = (0..<64).map { "user\($0)@localhost" }
        let ours = names.filter { Self.both.owner(of: World.bare($0)) == World.sm1 }
        ann = ours[0]
        amy = ours[1]
        bob = names.first { Self.both.owner(of: World.bare($0)) == World.sm2 } ?? ""
        for user in [ann, amy, bob] { first.add(user) }
        for (world, peer) in [(first, World.sm2), (second, World.sm1)] { world.connect(peer) }
        adopt(Self.both)
    }

    /// A new map comes to both, and the C2S has nothing to present.
    private func adopt(_ map: OwnershipMap, isPresented: Bool = true) {
        for world in [first, second] { world.server.mapChanged(map) }
        first.loop.run()
        if isPresented { present(map) }
    }

    private func present(_ map: OwnershipMap) {
        for world in [first, second] {
            world.server.received(SessionMessage(.handover(.presented(epoch: map.epoch))), from: World.c2s)
        }
        first.loop.run()
    }

    private func ask(
        _ world: World,
        _ command: String,
        _ arguments: KeyValuePairs<String, String>
    ) throws -> AdminResponse {
        let answer = begin(world, command, arguments)
        first.loop.run()
        return try answer.wait()
    }

    private func begin(
        _ world: World,
        _ command: String,
        _ arguments: KeyValuePairs<String, String>
    ) -> EventLoopFuture<AdminResponse> {
        let fields = arguments.map { AdminField($0.key, $0.value) }
        return world.respond(to: AdminRequest(id: "1", command: command, arguments: fields))
    }

    /// Where the message is, of those that one server tells of.
    private func trace(_ world: World, _ id: String) throws -> [String] {
        try ask(world, "message-trace", ["id": id]).rows.map { row in
            let field = { (name: String) in row.first { $0.name == name }?.value ?? "" }
            #expect(field("user") == bob)
            return "\(field("place")) \(field("instance")) \(field("manager"))"
        }
    }

    private func chat(_ from: TestClient, _ text: String) {
        from.send("<message to='\(bob)' type='chat' id='\(text)'><body>\(text)</body></message>")
        first.loop.run()
    }

    /// The stable id of a stanza of a client.
    private func id(_ client: TestClient, _ number: UInt64) -> String {
        first.server.stableIDs.make(session: client.name, number: number)
    }

    // MARK: - Accounts

    @Test("An account that any SM made can be used at its owner at once")
    func add() throws {
        let name = (100..<164).map { "user\($0)@localhost" }.first { Self.both.owner(of: World.bare($0)) == World.sm2 }
        let user = try #require(name)
        #expect(TestClient(second, user).takeRefusal()?.condition == .notAuthorized)
        #expect(try ask(first, "user-add", ["user": user, "password": "x"]).error == nil)
        #expect(TestClient(second, user, resource: "one").takeJID()?.description == "\(user)/one")
        #expect(try ask(second, "user-add", ["user": user, "password": "x"]).error?.condition == "conflict")
        #expect(try ask(first, "user-passwd", ["user": user, "password": "y"]).error == nil)
    }

    @Test("Who is not the owner names the owner", arguments: ["user-remove", "session-kick"])
    func redirect(command: String) throws {
        let bobs = TestClient.online(second, bob)
        let error = try ask(first, command, ["user": bob, "jid": bob]).error
        #expect(error == AdminResponse.Failure("redirect", World.sm2))
        #expect(bobs.takeEnd() == nil)
        #expect(try ask(second, command, ["user": bob, "jid": bob]).error == nil)
        #expect(bobs.takeEnd() != nil)
    }

    @Test("A removal ends the sessions and subscriptions, and what comes later is answered with an error")
    func remove() throws {
        first.befriend(ann, bob, "both")
        first.befriend(bob, ann, "both")
        let anns = TestClient.online(first, ann)
        let bobs = TestClient.online(second, bob)
        first.loop.run()
        _ = anns.take()
        #expect(try ask(second, "user-remove", ["user": bob]).error == nil)
        #expect(bobs.takeEnd()?.condition == .notAuthorized)
        #expect(first.database.accounts[World.bare(bob)] == nil)
        #expect(first.database.accounts[World.bare(ann)]?.items[bob]?.subscription == "none")
        _ = anns.take()
        chat(anns, "late")
        let answer = try #require(try anns.stanzas().first)
        #expect(answer.type == "error" && answer.id == "late")
        #expect(try ask(second, "user-remove", ["user": bob]).error?.condition == "item-not-found")
    }

    @Test("What an SM was storing when it was evicted is not settled by it", arguments: [true, false])
    func evictedWhileStoring(isEvicted: Bool) throws {
        TestClient.online(second, bob).close()
        let anns = TestClient.online(first, ann, resume: true)
        first.database.isSlow = true
        chat(anns, "one")
        #expect(first.server.forwarded.count == 1)
        if isEvicted { second.server.evicted() }
        first.database.isSlow = false
        for _ in 0..<5 {
            first.database.answer()
            first.loop.run()
        }
        #expect(first.server.forwarded.count == (isEvicted ? 1 : 0))
    }

    @Test("A user that goes to another SM while the account is removed is logged in at that one no longer")
    func movedWhileRemoved() throws {
        _ = TestClient.online(second, bob)
        first.database.isSlow = true
        let answer = begin(second, "user-remove", ["user": bob])
        let alone = OwnershipMap(epoch: 3, instances: [World.sm1])
        // The first SM loads the user before the row is gone.
        first.database.isSlow = false
        adopt(alone)
        let moved = TestClient.online(first, bob)
        #expect(moved.jid != nil)
        first.database.answer()
        first.loop.run()
        #expect(try answer.wait().error == nil)
        #expect(moved.takeEnd()?.condition == .notAuthorized)
        #expect(first.server.users[World.bare(bob)] == nil)
    }

    @Test("A request about a user who arrives waits for that, and fails where others took the SM for dead")
    func arriving() throws {
        let alone = OwnershipMap(epoch: 3, instances: [World.sm1])
        adopt(alone, isPresented: false)
        let kick = begin(first, "session-kick", ["jid": bob])
        let remove = begin(first, "user-remove", ["user": bob])
        var answers: [String] = []
        for answer in [kick, remove] {
            answer.assumeIsolated().whenSuccess { answers.append($0.error?.condition ?? "done") }
        }
        first.loop.run()
        #expect(answers == [])
        present(alone)
        #expect(answers == ["item-not-found", "done"])

        adopt(OwnershipMap(epoch: 4, instances: [World.sm1, World.sm2]))
        adopt(OwnershipMap(epoch: 5, instances: [World.sm1]), isPresented: false)
        let late = begin(first, "session-kick", ["jid": bob])
        first.server.evicted()
        #expect(try late.wait().error?.condition == "service-unavailable")
        #expect(try ask(first, "session-kick", ["jid": bob]).error?.condition == "service-unavailable")
    }

    @Test("A user who goes while it is being loaded is nobody's at the SM that loaded it")
    func movedWhileLoaded() throws {
        let anns = TestClient.online(first, ann, resume: true)
        first.database.isSlow = true
        chat(anns, "one")
        let session = TestClient(second, bob)
        adopt(OwnershipMap(epoch: 3, instances: [World.sm1]))
        first.database.isSlow = false
        first.database.answer()
        first.loop.run()
        #expect(second.server.users.count == 0)
        #expect(session.takeJID() == nil && session.takeRefusal() == nil)
        // The message went the same way, and is where the user is.
        #expect(try trace(first, id(anns, anns.sent)) == ["spool  "])
        #expect(second.server.forwarded.isEmpty)
    }

    @Test("Each SM lists the sessions that it has")
    func sessions() throws {
        _ = TestClient.online(first, ann)
        _ = TestClient.online(second, bob)
        for (world, user, name) in [(first, ann, "sm-1"), (second, bob, "sm-2")] {
            let rows = try ask(world, "session-list", [:]).rows
            #expect(rows.count == 1)
            #expect(rows.first?.contains(AdminField("jid", "\(user)/one")) == true)
            #expect(rows.first?.contains(AdminField("manager", name)) == true)
        }
    }

    // MARK: - Messages

    @Test("A message for a user of another SM is at both until that has settled it")
    func forwarded() throws {
        let anns = TestClient.online(first, ann, resume: true)
        let bobs = TestClient.online(second, bob, resume: true)
        let message = id(anns, anns.sent + 1)
        // The other SM reads nothing.
        first.peers = [:]
        chat(anns, "one")
        #expect(try trace(first, message) == ["forwarded sm-2 sm-1"])
        #expect(try trace(second, message) == [])
        #expect(first.server.oldestUnstored == first.time)
        let sent = first.said.filter { $0.instance == World.sm2 }.map(\.message)
        first.peers = [World.sm2: second]
        for message in sent { second.server.received(message, from: World.sm1) }
        first.loop.run()
        #expect(try trace(first, message) == ["forwarded sm-2 sm-1"])
        #expect(try trace(second, message) == ["sent c2s-1 sm-2"])
        // It gets a row, and with it a durable home.
        first.advance(seconds: 2)
        #expect(first.server.oldestUnstored == nil && second.server.oldestUnstored == nil)
        #expect(try trace(first, message) == ["spool  "])
        #expect(try trace(second, message) == ["sent c2s-1 sm-2", "spool  "])
        bobs.acknowledge()
        first.loop.run()
        #expect(try trace(first, message) == [])
        #expect(try trace(second, message) == [])
    }

    @Test("A message that comes in a takeover is held, whoever brings it")
    func held() throws {
        let alone = OwnershipMap(epoch: 3, instances: [World.sm1])
        let anns = TestClient.online(first, ann, resume: true)
        adopt(alone, isPresented: false)
        let message = id(anns, anns.sent + 1)
        chat(anns, "one")
        #expect(try trace(first, message) == ["held  sm-1"])
        #expect(first.server.oldestUnstored == first.time)
        // Another SM forwards one.
        let stanza = try World.stanza("<message to='\(bob)' from='\(amy)/x' type='chat'><body>two</body></message>")
        let forwarded = SessionMessage.Forwarded(
            token: 1,
            epoch: 3,
            id: "other",
            received: first.time - 5,
            isCounted: true,
            stanza: stanza
        )
        second.server.link.send(SessionMessage(.handover(.forwarded(forwarded))), to: World.sm1)
        first.loop.run()
        #expect(try trace(first, "other") == ["held  sm-1"])
        #expect(first.server.oldestUnstored == first.time - 5)
        present(alone)
        #expect(try trace(first, message) == ["spool  "])
        #expect(first.server.oldestUnstored == nil)
    }

    @Test("A message that waits for the next map is held")
    func gated() throws {
        let bobs = TestClient.online(second, bob)
        let anns = TestClient.online(first, ann, resume: true)
        _ = bobs.take()
        // The first SM has read the next map, the second has not.
        first.server.mapChanged(OwnershipMap(epoch: 3, instances: [World.sm1, World.sm2]))
        first.server.received(SessionMessage(.handover(.presented(epoch: 3))), from: World.c2s)
        first.loop.run()
        chat(anns, "one")
        let message = id(anns, anns.sent)
        #expect(try trace(second, message) == ["held  sm-2"])
        #expect(second.server.oldestUnstored == first.time)
    }

    @Test("A message that waits for the database is in memory")
    func postponed() throws {
        let anns = TestClient.online(first, ann, resume: true)
        first.database.isAway = true
        anns.send("<message to='\(amy)' type='chat'><body>one</body></message>")
        first.loop.run()
        let message = id(anns, anns.sent)
        let rows = try ask(first, "message-trace", ["id": message, "place": "memory"]).rows
        #expect(rows.map { $0.first?.value } == ["memory"])
        #expect(rows.first?.contains(AdminField("user", amy)) == true)
        #expect(try ask(first, "message-trace", ["id": message]).error?.condition == "service-unavailable")
        #expect(first.server.oldestUnstored == first.time)
        first.database.isAway = false
        first.advance(seconds: 2)
        #expect(first.server.trace(id(anns, anns.sent)).isEmpty)
        #expect(first.server.oldestUnstored == nil)
        #expect(first.database.spool(World.bare(amy)).count == 1)
    }
}
