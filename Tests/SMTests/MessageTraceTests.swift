// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// `jackdawctl trace message`: a message is found wherever it is, until a client has acknowledged it.
@Suite struct MessageTraceTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"])
    private let bobJID = World.bare("bob@localhost")

    /// Where the message is, as `place session stored`.
    private func trace(_ id: String) throws -> [String] {
        let responder = AdminResponder(eventLoop: world.loop) { [] }
        AdministrationCommands(world.server, try #require(world.server.accounts)).register(at: responder)
        let request = AdminRequest(id: "1", command: "message-trace", arguments: [AdminField("id", id)])
        let response = try responder.respond(to: request).wait()
        #expect(response.error == nil)
        return response.rows.map { row in
            let field = { (name: String) in row.first { $0.name == name }?.value ?? "" }
            #expect(field("user") == "bob@localhost")
            #expect(!field("since").isEmpty)
            return "\(field("place")) \(field("session")) \(field("stored"))"
        }
    }

    private func id(of stanza: String) -> String {
        let elements = SpoolCodec.decode(ByteBuffer(string: stanza)).flatMap { try? $0.payloadElements() } ?? []
        return elements.first { $0.name == "stanza-id" }?["id"] ?? ""
    }

    private func chat(_ from: TestClient, _ text: String) {
        from.send("<message to='bob@localhost' type='chat'><body>\(text)</body></message>")
    }

    @Test("From the client's connection over the spool to its acknowledgement")
    func life() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        chat(ann, "one")
        let message = try #require(bob.take().first)
        let session = try #require(bob.jid).description
        #expect(try trace(id(of: message)) == ["sent \(session) false"])
        #expect(world.server.oldestUnstored != nil)
        bob.detach()
        #expect(try trace(id(of: message)) == ["sent \(session) false"])
        // The session is over: nobody else has the message.
        world.loop.advanceTime(by: .seconds(700))
        #expect(try trace(id(of: message)) == ["spool  true"])
        #expect(world.server.oldestUnstored == nil)
        let again = TestClient.online(world, "bob@localhost", resource: "two", resume: true)
        let places = try trace(id(of: message))
        #expect(places == ["sent \(try #require(again.jid)) true", "spool  true"])
        again.acknowledge(UInt32(again.last ?? 0))
        #expect(try trace(id(of: message)).isEmpty)
    }

    @Test("What a message of a session that ended waits for while the database is away")
    func databaseAway() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        chat(ann, "one")
        let message = try #require(bob.take().first)
        world.database.isAway = true
        bob.detach()
        world.loop.advanceTime(by: .seconds(700))
        #expect(world.server.trace(id(of: message)).map(\.place) == [.memory])
        #expect(world.server.oldestUnstored != nil)
    }

    @Test("An id that nobody holds is nowhere")
    func unknown() throws {
        #expect(try trace("nothing").isEmpty)
    }
}
