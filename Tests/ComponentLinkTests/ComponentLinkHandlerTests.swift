// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import NIOEmbedded
import Testing
import XMPPCore

@testable import ComponentLink

/// What of a link depends on the clock and on turns of the loop, without sockets.
@Suite struct ComponentLinkHandlerTests {
    private final class Silence: RouterConnectionOwner {
        func connectionUp(_ connection: RouterConnection) {}
        func connection(_ connection: RouterConnection, received action: ComponentLinkStateMachine.Action) {}
        func connectionReadBegan(_ connection: RouterConnection) {}
        func connectionReadComplete(_ connection: RouterConnection) {}
        func connection(_ connection: RouterConnection, ended failure: LinkFailure, wasUp: Bool) {}
    }

    private struct Harness {
        let loop = EmbeddedEventLoop()
        let owner = Silence()
        let connection: RouterConnection
        let handler: ComponentLinkHandler
        let channel: EmbeddedChannel

        init(connects: Bool = true) throws {
            let identity = ComponentLinkStateMachine.Configuration(
                name: "sm-1.jackdaw.internal",
                secret: "test",
                declaration: LinkDeclaration(epoch: "e")
            )
            self.connection = RouterConnection(
                id: 1,
                to: RouterAddress(host: "127.0.0.1", port: 1),
                InstanceLink.Configuration(routers: [], identity: identity),
                eventLoop: self.loop,
                logger: Logger(label: "link") { _ in SwiftLogNoOpLogHandler() },
                owner: self.owner
            )
            self.handler = ComponentLinkHandler(connection: self.connection, attempt: self.connection.attempt)
            self.channel = EmbeddedChannel(loop: self.loop)
            try self.channel.pipeline.syncOperations.addHandler(self.handler)
            if connects { try self.connect() }
        }

        func connect() throws {
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        }

        func read(_ text: String) throws {
            try self.channel.writeInbound(ByteBuffer(string: text))
        }

        func written() throws -> [String] {
            self.loop.run()
            var writes: [String] = []
            while let buffer = try self.channel.readOutbound(as: ByteBuffer.self) {
                writes.append(String(buffer: buffer))
            }
            return writes
        }

        func bringUp() throws {
            try self.read("<stream:stream xmlns='jabber:component:accept' ")
            try self.read("xmlns:stream='http://etherx.jabber.org/streams' id='1'><handshake/><j:declared/>")
            #expect(self.handler.isUp)
            _ = try self.written()
        }
    }

    @Test func `what is sent in one turn of the loop is one write`() throws {
        let harness = try Harness()
        try harness.bringUp()
        for _ in 0..<10 { harness.handler.write { $0.writeString("<a/>") } }
        #expect(try harness.written() == [String(repeating: "<a/>", count: 10)])
        #expect(harness.handler.queuedBytes == 0)
    }

    @Test func `a link without a handshake in time is closed`() throws {
        let harness = try Harness()
        harness.loop.advanceTime(by: .seconds(9))
        #expect(harness.channel.isActive)
        harness.loop.advanceTime(by: .seconds(1))
        #expect(!harness.channel.isActive)
    }

    @Test func `white space goes out when nothing else did, and silence resets the link`() throws {
        let harness = try Harness()
        try harness.bringUp()
        harness.loop.advanceTime(by: .seconds(20))
        #expect(try harness.written() == [], "the declaration was written in this interval")
        harness.loop.advanceTime(by: .seconds(20))
        #expect(try harness.written() == [" "])
        try harness.read(" ")
        harness.loop.advanceTime(by: .seconds(60))
        #expect(harness.channel.isActive)
        harness.loop.advanceTime(by: .seconds(20))
        #expect(!harness.channel.isActive, "nothing was read for more than three intervals")
    }

    @Test func `a stopped link says so and lets the router end the connection`() throws {
        let harness = try Harness()
        try harness.bringUp()
        harness.handler.write { $0.writeString("<a/>") }
        harness.handler.stop()
        #expect(!harness.handler.isUp)
        harness.handler.write { $0.writeString("<too-late/>") }
        #expect(try harness.written() == ["<a/></stream:stream>"])
        #expect(harness.channel.isActive, "to close now would reset the connection under the router's answer")
        try harness.read("<message to='localhost'/></stream:stream>")
        #expect(try harness.written() == [])
    }

    @Test func `a connection that comes after the stop is closed before it says anything`() throws {
        let harness = try Harness(connects: false)
        try harness.connection.stop().wait()
        try harness.connect()
        #expect(try harness.written() == [])
        #expect(!harness.channel.isActive)
    }

    @Test func `a second connection of the same try is closed, and the first stays`() throws {
        let harness = try Harness()
        try harness.bringUp()
        let handler = ComponentLinkHandler(connection: harness.connection, attempt: harness.connection.attempt)
        let second = EmbeddedChannel(handler: handler, loop: harness.loop)
        try second.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        #expect(!second.isActive)
        #expect(harness.channel.isActive && harness.connection.isUp)
    }

    @Test func `a stopped link does not wait for ever`() throws {
        let harness = try Harness()
        try harness.bringUp()
        harness.handler.stop()
        harness.loop.advanceTime(by: .seconds(2))
        #expect(!harness.channel.isActive)
    }

    @Test func `bytes that cannot be read reset the link`() throws {
        let harness = try Harness()
        try harness.bringUp()
        try harness.read("text between elements")
        #expect(!harness.channel.isActive)
        #expect(!harness.handler.isUp)
    }
}
