// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import NIOEmbedded
import Testing
import XMPPCore

@testable import C2S

/// Sessions pass from one SM to the next, and their clients notice nothing.
@Suite struct HandoverTests {
    private static func map(_ epoch: UInt64, _ instances: String...) -> SessionMessage {
        SessionMessage(.handover(.map(OwnershipMap(epoch: epoch, instances: instances))))
    }

    /// A client with stream management; SM has settled its first stanza of three and sent it two.
    private func managed(_ edge: Edge) throws -> (client: TestClient, session: (name: String, attach: UInt64)) {
        let (client, session) = try edge.session()
        client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        edge.sm(session, .enabled(token: "secret", max: 600))
        client.send("<presence/><message id='2'/><message id='3'/>")
        edge.sm(session, .settled(number: 1))
        edge.sm(session, .handover(.state(ByteBuffer(string: "<s/>"))))
        for number in 1...2 {
            edge.sm(session, .stanza(Stanza(kind: .message, id: "m\(number)"), number: UInt64(number)))
        }
        client.send("<a xmlns='urn:xmpp:sm:3' h='1'/>")
        _ = client.take()
        _ = edge.takeSent()
        return (client, session)
    }

    @Test
    func `the next SM gets a passport, what is not acknowledged, what is not settled, and a word that this is all`()
        throws
    {
        let edge = try Edge()
        let (client, session) = try managed(edge)
        edge.hub.instanceUnavailable(name: Edge.sm)
        client.send("<message id='4'/><r xmlns='urn:xmpp:sm:3'/>")
        #expect(client.take() == "<a xmlns='urn:xmpp:sm:3' h='1'/>")
        #expect(edge.takeSent() == [])
        edge.hub.instanceAvailable(name: Edge.sm, epoch: "2", names: ["one.example"])
        #expect(edge.takeSent() == [])
        edge.hub.received(Self.map(2, Edge.sm), from: Edge.sm)
        let sent = edge.takeSent()
        let name = "\(session.name)' a='1'"
        try #require(sent.count == 6)
        #expect(
            sent[0] == """
                \(name)><passport xmlns='urn:jackdaw:session:0' jid='juliet@one.example/r' address='192.0.2.1' \
                tls='TLSv1.3' mechanism='PLAIN' received='4' token='secret' max='600' base='0' settled='1' \
                acknowledged='1' sent='2' lately=''><s/></passport>
                """
        )
        #expect(
            sent[1] == "\(name)><unacknowledged xmlns='urn:jackdaw:session:0' n='2'><message id='m2'/></unacknowledged>"
        )
        for (index, number) in (2...4).enumerated() {
            #expect(sent[index + 2].hasPrefix("\(name) n='\(number)'>"))
            #expect(sent[index + 2].contains("id='\(number)'"))
        }
        #expect(sent[5].contains("<presented xmlns='urn:jackdaw:session:0' epoch='2'/>"))
        client.send("<message id='5'/>")
        #expect(edge.takeSent().first?.contains("n='5'") == true)
        #expect(client.isOpen)
    }

    @Test func `without stream management a client is not read until there is an owner`() throws {
        let edge = try Edge()
        let (client, session) = try edge.session()
        edge.hub.instanceUnavailable(name: Edge.sm)
        client.send("<message id='1'/><message id='2'/>")
        #expect(edge.takeSent() == [])
        edge.startSM(epoch: 2)
        let sent = edge.takeSent()
        #expect(sent.count == 4)
        #expect(sent.first?.contains("<passport ") == true)
        #expect(sent.first?.contains("sent=") == false)
        #expect(sent.dropFirst().first?.hasPrefix("\(session.name)' a='1' n='1'>") == true)
        #expect(client.take() == "")
        #expect(client.isOpen)
    }

    @Test(arguments: [false, true])
    func `a connection that ends while there is no owner is told to the next`(isClean: Bool) throws {
        let edge = try Edge()
        let (client, session) = try managed(edge)
        edge.hub.instanceUnavailable(name: Edge.sm)
        client.send("<message id='4'/>")
        if isClean { client.send("</stream:stream>") } else { client.breakConnection() }
        client.breakConnection()
        #expect(edge.hub.connectionCount == 0)
        edge.startSM(epoch: 2)
        let sent = edge.takeSent()
        try #require(sent.count == 7)
        #expect(sent[0].contains("<passport "))
        #expect(sent[4].contains("id='4'"))
        let word = isClean ? "close" : "detached"
        #expect(sent[5] == "\(session.name)' a='1'><\(word) xmlns='urn:jackdaw:session:0'/>")
        // Until it is taken, it is told to whoever becomes the owner.
        #expect(edge.hub.ghosts.count == 1)
        edge.startSM(epoch: 3)
        #expect(edge.takeSent().count == 7)
        edge.sm(session, .handover(.taken))
        #expect(edge.hub.ghosts.isEmpty)
        edge.startSM(epoch: 4)
        #expect(edge.takeSent().count == 1)
    }

    @Test func `a session that breaks while its owner does not answer is presented to the next one`() throws {
        let edge = try Edge()
        let (client, session) = try managed(edge)
        client.breakConnection()
        #expect(edge.takeSent() == ["\(session.name)' a='1'><detached xmlns='urn:jackdaw:session:0'/>"])
        #expect(edge.hub.connectionCount == 0)
        edge.startSM(epoch: 2)
        let sent = edge.takeSent()
        #expect(sent.first?.contains("<passport ") == true)
        #expect(sent.dropLast().last == "\(session.name)' a='1'><detached xmlns='urn:jackdaw:session:0'/>")
        edge.sm(session, .end(SessionMessage.End(condition: .conflict, text: nil)))
        #expect(edge.hub.ghosts.isEmpty)
    }

    @Test func `a session whose user gets another owner is presented to that one, and hears nothing of the old one`()
        throws
    {
        let edge = try Edge()
        let (client, session) = try managed(edge)
        let other = "sm-2.jackdaw.internal"
        edge.hub.instanceAvailable(name: other, epoch: "x", names: ["one.example"])
        edge.hub.received(Self.map(2, other), from: Edge.sm)
        #expect(edge.takeSent() == [])
        edge.sm(session, .stanza(Stanza(kind: .message, id: "late"), number: 3))
        #expect(client.take() == "")
        _ = edge.takeSent()
        edge.hub.received(Self.map(1, Edge.sm), from: Edge.sm)
        #expect(edge.takeSent() == [])
        edge.hub.received(Self.map(2, other), from: other)
        #expect(edge.takeSent().filter { $0.contains("<passport ") }.count == 1)
        edge.hub.received(
            SessionMessage(session: session.name, attach: 1, .stanza(Stanza(kind: .message, id: "new"), number: 3)),
            from: other
        )
        #expect(client.take().contains("id='new'"))
    }

    @Test func `a bind waits for an owner, and is asked again of each that says it owns the user`() throws {
        let edge = try Edge()
        edge.hub.instanceUnavailable(name: Edge.sm)
        let waiting = try edge.connect()
        try waiting.logIn()
        _ = edge.takeSent()
        waiting.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        #expect(edge.takeSent() == [])
        for epoch: UInt64 in 2...3 {
            edge.startSM(epoch: epoch)
            #expect(edge.takeSent().filter { $0.contains("<open ") }.count == 1)
        }
        #expect(waiting.isOpen)
    }

    @Test func `what a client asks of an owner that has not asked for its sessions follows these`() throws {
        let edge = try Edge()
        let (client, _) = try managed(edge)
        client.breakConnection()
        edge.hub.instanceUnavailable(name: Edge.sm)
        edge.hub.instanceAvailable(name: Edge.sm, epoch: "2", names: ["one.example"])
        let back = try edge.connect()
        try back.logIn()
        _ = edge.takeSent()
        back.send("<resume xmlns='urn:xmpp:sm:3' previd='secret' h='1'/>")
        #expect(edge.takeSent() == [])
        edge.hub.received(Self.map(2, Edge.sm), from: Edge.sm)
        let sent = edge.takeSent()
        let passport = try #require(sent.firstIndex { $0.contains("<passport ") })
        let request = try #require(sent.firstIndex { $0.contains("<resume ") })
        #expect(passport < request)
        #expect(sent.filter { $0.contains("<resume ") }.count == 1)
        #expect(sent.last?.contains("<presented ") == true)
    }

    @Test func `what is held for too long is refused, if nobody was told of it`() throws {
        let edge = try Edge()
        let (client, _) = try managed(edge)
        edge.hub.instanceUnavailable(name: Edge.sm)
        client.send("<message id='4'/>")
        edge.loop.advanceTime(by: .seconds(61))
        client.send("<message id='5'/>")
        edge.startSM(epoch: 2)
        let stanzas = edge.takeSent().filter { $0.contains("<message ") && $0.contains(" n='") }
        #expect(stanzas.filter { $0.contains("fault='remote-server-timeout'") }.count == 1)
        #expect(stanzas.first { $0.contains("fault=") }?.contains("id='4'") == true)
    }

    @Test func `passports go at the pace of the link, the word that this is all behind them`() throws {
        let edge = try Edge()
        let sessions = try (0..<5).map { _ in try edge.session() }
        edge.hub.instanceUnavailable(name: Edge.sm)
        edge.queuedBytes = 5 << 20
        edge.startSM(epoch: 2)
        #expect(edge.takeSent() == [])
        edge.queuedBytes = 0
        edge.loop.advanceTime(by: .milliseconds(5))
        let sent = edge.takeSent()
        #expect(sent.filter { $0.contains("<passport ") }.count == sessions.count)
        #expect(sent.last?.contains("<presented ") == true)
    }

    @Test func `owners are those that the map names, as long as they are there`() throws {
        let user = try BareJID(local: "juliet", domain: "one.example")
        var owners = OwnerTable()
        #expect(owners.owner(of: user) == nil)
        let isFirstRestart = owners.available(name: "sm-1", epoch: "a", names: ["one.example"])
        #expect(!isFirstRestart)
        #expect(owners.owner(of: user) == nil)
        let isAdopted = owners.adopt(OwnershipMap(epoch: 5, instances: ["sm-1"]))
        #expect(isAdopted)
        #expect(owners.owner(of: user) == "sm-1")
        #expect(owners.anyone(serving: "one.example") == "sm-1")
        #expect(owners.anyone(serving: "two.example") == nil)
        let isOldAdopted = owners.adopt(OwnershipMap(epoch: 4, instances: ["sm-2"]))
        #expect(!isOldAdopted)
        let isRestart = owners.available(name: "sm-1", epoch: "b", names: ["one.example"])
        #expect(isRestart)
        let wasOwner = owners.unavailable(name: "sm-1")
        #expect(wasOwner)
        #expect(owners.owner(of: user) == nil)
    }
}
