// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import NIOCore
import NIOEmbedded
import Testing
import XMPPCore

@testable import C2S

@Suite struct C2SHubTests {
    private static let detached = "<detached xmlns='urn:jackdaw:session:0'/>"

    @Test(arguments: [ListenerMode.startTLS, .direct])
    func `a client comes from the socket to its session`(mode: ListenerMode) throws {
        let edge = try Edge()
        let client = try edge.connect(mode)
        try client.logIn()
        client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        let session = edge.lastSession
        #expect(
            edge.takeSent() == [
                "\(session.name)' a='1'><open xmlns='urn:jackdaw:session:0' user='juliet@one.example' "
                    + "address='192.0.2.1' tls='TLSv1.3' mechanism='PLAIN'/>"
            ]
        )
        edge.sm(session, .opened(try JID("juliet@one.example/r")))
        edge.sm(session, .stanza(Stanza(kind: .message, id: "1"), number: nil))
        #expect(client.take().hasSuffix("</iq><message id='1'/>"))
        client.send("<presence/>")
        #expect(edge.takeSent() == ["\(session.name)' a='1' n='1'><presence from='juliet@one.example/r'/>"])
        client.send("</stream:stream>")
        #expect(edge.takeSent() == ["\(session.name)' a='1'><close xmlns='urn:jackdaw:session:0'/>"])
        #expect(client.take() == "</stream:stream>")
        #expect(!client.isOpen)
        #expect(edge.hub.connectionCount == 0)
        #expect(edge.hub.sessionCount == 0)
    }

    @Test func `bytes glued to starttls end the connection`() throws {
        let edge = try Edge()
        let client = try edge.connect()
        client.send(Conversation.header)
        client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><auth/>")
        #expect(client.take().hasSuffix("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"))
        edge.loop.advanceTime(by: .seconds(5))
        #expect(!client.isOpen)
    }

    @Test func `a login must be done in time, wherever it stands`() throws {
        let edge = try Edge()
        let silent = try edge.connect()
        let inTLS = try edge.connect(.direct)
        let loggedIn = try edge.connect()
        try loggedIn.logIn()
        let (bound, _) = try edge.session()
        edge.loop.advanceTime(by: .seconds(29))
        #expect(silent.isOpen && inTLS.isOpen && loggedIn.isOpen)
        edge.loop.advanceTime(by: .seconds(1))
        #expect(silent.take().contains("<connection-timeout "))
        #expect(loggedIn.take().contains("<connection-timeout "))
        #expect(!silent.isOpen && !inTLS.isOpen && !loggedIn.isOpen)
        #expect(bound.isOpen)
        #expect(edge.hub.limiter.unauthenticated == 0)
    }

    @Test func `a failed login is answered late, and the stream goes on`() throws {
        let edge = try Edge()
        let client = try edge.connect()
        try client.logIn(password: "wrong")
        #expect(client.take() == "")
        edge.loop.advanceTime(by: .milliseconds(100))
        // The header that the client was sure to need comes too early now.
        #expect(client.take().contains("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"))
    }

    @Test func `without the database logins fail for the time being`() throws {
        let edge = try Edge()
        edge.isDatabaseAway = true
        let client = try edge.connect(.direct)
        client.send(Conversation.header)
        client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABz</auth>")
        #expect(client.take().contains("<temporary-auth-failure/>"))
    }

    @Test func `connections beyond a limit are refused in words`() throws {
        let edge = try Edge { $0.c2s.limits.unauthenticatedPerAddress = 2 }
        let first = try edge.connect()
        _ = try edge.connect()
        let third = try edge.connect()
        #expect(third.isRefused)
        #expect(third.take().contains("<policy-violation "))
        #expect(!third.isOpen)
        #expect(try edge.connect(from: "192.0.2.9").isRefused == false)
        first.breakConnection()
        #expect(try edge.connect().isRefused == false)
    }

    @Test func `when all places are taken the client that stands still gives way`() throws {
        let edge = try Edge {
            $0.c2s.limits.unauthenticatedConnections = 3
            $0.c2s.limits.unauthenticatedPerAddress = 10
        }
        let silent = try edge.connect()
        edge.loop.advanceTime(by: .milliseconds(100))
        let others = [try edge.connect(), try edge.connect()]
        var isTold = false
        #expect(!edge.hub.mayAccept { isTold = true })
        // Bytes that lead nowhere are no step.
        edge.loop.advanceTime(by: .milliseconds(390))
        silent.send(" ")
        #expect(!isTold && silent.isOpen)
        edge.loop.advanceTime(by: .milliseconds(20))
        #expect(isTold && !silent.isOpen)
        #expect(silent.take().contains("<resource-constraint "))
        #expect(others[0].isOpen && others[1].isOpen)
        others[0].send(Conversation.header)
        edge.loop.advanceTime(by: .milliseconds(600))
        #expect(edge.hub.mayAccept {})
        let late = try edge.connect()
        #expect(!late.isRefused)
        #expect(edge.hub.mayAccept {})
        #expect(others[0].isOpen && !others[1].isOpen)
    }

    @Test func `of those who have begun much and finished nothing the first one goes that has most`() throws {
        let edge = try Edge { $0.c2s.limits.unauthenticatedBytes = 1 << 20 }
        let others = try (0..<4).map { _ in try edge.connect() }
        for client in others {
            client.send(Conversation.header)
            client.send("<x>" + String(repeating: "y", count: 20_000))
        }
        let greedy = try edge.connect()
        greedy.send(Conversation.header)
        greedy.send("<x>" + String(repeating: "y", count: 60_000))
        #expect(greedy.isOpen)
        let small = try (0..<20).map { _ in try edge.connect() }
        for client in small where greedy.isOpen {
            client.send(Conversation.header)
            client.send("<x>" + String(repeating: "y", count: 10_000))
        }
        #expect(!greedy.isOpen)
        #expect(greedy.take().contains("<resource-constraint "))
        #expect(edge.hub.unfinished.total <= 1 << 20)
        // Who has logged in does not count.
        let (user, _) = try edge.session()
        let before = edge.hub.unfinished.total
        user.send("<message><body>" + String(repeating: "y", count: 400_000))
        #expect(edge.hub.unfinished.total == before)
        for client in others + small { client.breakConnection() }
        #expect(edge.hub.unfinished.total == 0)
    }

    @Test func `TLS waits for others' handshakes, and the one that stands still gives way`() throws {
        let edge = try Edge { $0.c2s.limits.handshakes = 1 }
        let stuck = try edge.connect()
        stuck.send(Conversation.header)
        stuck.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        #expect(edge.hub.limiter.handshakes == 1)
        let good = try edge.connect()
        good.send(Conversation.header)
        good.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        #expect(good.take().hasSuffix("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"))
        #expect(edge.hub.limiter.handshakes == 1)
        edge.loop.advanceTime(by: .milliseconds(520))
        #expect(!stuck.isOpen && good.isOpen)
        try good.startTLS()
        good.send(Conversation.header)
        #expect(good.take().contains("<mechanisms "))
        #expect(edge.hub.limiter.handshakes == 0)
    }

    @Test func `a fast client is slowed, and everything is answered in order`() throws {
        let edge = try Edge { $0.c2s.limits.stanzasPerSecond = 10 }
        let (client, _) = try edge.session()
        // Four elements of the burst went into the login.
        edge.loop.advanceTime(by: .seconds(10))
        let pings = (1...50).map { "<iq type='get' id='\($0)'><ping xmlns='urn:xmpp:ping'/></iq>" }
        client.send(pings.joined())
        var numbers: [Int] = []
        var seconds = 0.0
        while numbers.count < 50, seconds < 60 {
            for text in edge.takeSent() {
                let id = text.split(separator: "id='").last?.prefix { $0 != "'" }
                numbers.append(Int(id ?? "") ?? 0)
            }
            edge.loop.advanceTime(by: .milliseconds(100))
            seconds += 0.1
        }
        #expect(numbers == Array(1...50))
        #expect(seconds > 3.9 && seconds < 4.3)
        #expect(client.isOpen)
    }

    @Test func `what a client must answer is not charged to it`() throws {
        let edge = try Edge { $0.c2s.limits.stanzasPerSecond = 10 }
        let (client, session) = try edge.session()
        for number in 1...100 {
            edge.sm(session, .stanza(Stanza(kind: .iq, type: "get", id: "\(number)"), number: nil))
        }
        _ = client.take()
        client.send((1...100).map { "<iq type='result' id='\($0)'/>" }.joined())
        #expect(edge.takeSent().count == 100)
    }

    @Test func `what a client sent before it closed its connection is passed on at its rate`() throws {
        let edge = try Edge { $0.c2s.limits.stanzasPerSecond = 10 }
        let (client, _) = try edge.session()
        edge.loop.advanceTime(by: .seconds(10))
        client.send((1...30).map { "<message id='\($0)'/>" }.joined() + "</stream:stream>")
        client.breakConnection()
        #expect(edge.takeSent().count == 10)
        #expect(edge.hub.sessionCount == 1)
        edge.loop.advanceTime(by: .seconds(1))
        #expect(edge.takeSent().count == 10)
        edge.loop.advanceTime(by: .seconds(1))
        let rest = edge.takeSent()
        #expect(rest.count == 11)
        #expect(rest.last?.hasSuffix("<close xmlns='urn:jackdaw:session:0'/>") == true)
        #expect(edge.hub.connectionCount == 0 && edge.hub.sessionCount == 0)
        #expect(edge.hub.limiter.connections == 0)
    }

    @Test func `a connection that broke goes when its last whole stanza is passed on`() throws {
        let edge = try Edge { $0.c2s.limits.stanzasPerSecond = 10 }
        let (client, _) = try edge.session()
        edge.loop.advanceTime(by: .seconds(10))
        client.send((1...15).map { "<message id='\($0)'/>" }.joined() + "<message><body>unfin")
        client.breakConnection()
        edge.loop.advanceTime(by: .seconds(1))
        let sent = edge.takeSent()
        #expect(sent.count == 16)
        #expect(sent.last?.hasSuffix(Self.detached) == true)
        #expect(edge.hub.connectionCount == 0)
    }

    @Test func `what waits for its rate behind a closed connection has a bound in bytes and in time`() throws {
        let edge = try Edge {
            $0.c2s.limits.stanzasPerSecond = 1
            $0.c2s.limits.stanzaBurst = 6
            $0.c2s.limits.stanzaBytes = 65_536
        }
        let (large, _) = try edge.session(resource: "large")
        edge.loop.advanceTime(by: .seconds(10))
        let stanza = "<message><body>" + String(repeating: "x", count: 30_000) + "</body></message>"
        for _ in 0..<10 { large.send(stanza) }
        large.breakConnection()
        #expect(edge.takeSent().last?.hasSuffix(Self.detached) == true)
        let (long, _) = try edge.session(resource: "long")
        edge.loop.advanceTime(by: .seconds(10))
        long.send((1...100).map { "<message id='\($0)'/>" }.joined())
        long.breakConnection()
        edge.loop.advanceTime(by: .seconds(29))
        #expect(edge.hub.connectionCount == 1)
        edge.loop.advanceTime(by: .seconds(1))
        #expect(edge.hub.connectionCount == 0)
        #expect(edge.takeSent().last?.hasSuffix(Self.detached) == true)
    }

    @Test func `a message for a client that is gone ends its session, so that it goes elsewhere`() throws {
        let edge = try Edge { $0.c2s.limits.stanzasPerSecond = 10 }
        let (client, session) = try edge.session()
        edge.loop.advanceTime(by: .seconds(10))
        client.send((1...20).map { "<message id='\($0)'/>" }.joined())
        client.breakConnection()
        #expect(edge.takeSent().count == 10)
        edge.sm(session, .stanza(Stanza(kind: .presence), number: nil))
        #expect(edge.takeSent().isEmpty)
        edge.sm(session, .stanza(Stanza(kind: .message), number: nil))
        // The client's next stanza would tell SM that it had got the message.
        #expect(edge.takeSent() == ["\(session.name)' a='1'>\(Self.detached)"])
        #expect(edge.hub.connectionCount == 0)
    }

    @Test func `behind a closed connection stanzas wait for the link, and are slowed down without settlement`() throws {
        let edge = try Edge { $0.c2s.limits.unsettledStanzas = 10 }
        let (client, session) = try edge.session()
        client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        edge.sm(session, .enabled(token: "t", max: 600))
        _ = edge.takeSent()
        client.send((1...15).map { "<message id='\($0)'/>" }.joined())
        client.breakConnection()
        #expect(edge.takeSent().count == 10)
        edge.loop.advanceTime(by: .milliseconds(250))
        #expect(edge.takeSent().count == 2)
        edge.queuedBytes = 5 << 20
        edge.sm(session, .settled(number: 10))
        #expect(edge.takeSent().isEmpty)
        edge.queuedBytes = 0
        edge.loop.advanceTime(by: .milliseconds(5))
        #expect(edge.takeSent().count == 4)
        #expect(edge.hub.connectionCount == 0)
    }

    @Test func `what TLS adds counts for the rate, also where it carries nothing`() throws {
        let edge = try Edge {
            $0.c2s.limits.bytesPerSecond = 1_024
            $0.c2s.limits.bytesBurst = 8_192
        }
        let (client, _) = try edge.session()
        edge.loop.advanceTime(by: .seconds(10))
        for _ in 0..<300 { client.send(" ") }
        // 6,900 bytes.
        #expect(edge.hub.metrics.throttled.value == 0)
        for _ in 0..<100 { client.send(" ") }
        #expect(edge.hub.metrics.throttled.value > 0)
        #expect(client.isOpen)
    }

    @Test func `a silent client is pinged, and dropped if it does not answer`() throws {
        let edge = try Edge()
        let (client, _) = try edge.session()
        let (managed, session) = try edge.session(resource: "managed")
        managed.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        edge.sm(session, .enabled(token: "t", max: 600))
        _ = managed.take()
        edge.loop.advanceTime(by: .seconds(300))
        edge.hub.look(now: edge.loop.now)
        let ping = client.take()
        #expect(ping.hasPrefix("<iq to='juliet@one.example/r' from='one.example' type='get' id='"))
        #expect(ping.hasSuffix("<ping xmlns='urn:xmpp:ping'/></iq>"))
        #expect(managed.take() == "<r xmlns='urn:xmpp:sm:3'/>")
        managed.send("<a xmlns='urn:xmpp:sm:3' h='0'/>")
        _ = edge.takeSent()
        edge.loop.advanceTime(by: .seconds(60))
        edge.hub.look(now: edge.loop.now)
        #expect(!client.isOpen)
        #expect(managed.isOpen)
        #expect(edge.takeSent().first?.hasSuffix(Self.detached) == true)
    }

    @Test func `what answers the server is free in bytes as well`() throws {
        let edge = try Edge {
            $0.c2s.limits.bytesPerSecond = 1_024
            $0.c2s.limits.bytesBurst = 8_192
        }
        let (client, session) = try edge.session()
        edge.loop.advanceTime(by: .seconds(10))
        let answer = "<query xmlns='jabber:iq:version'>" + String(repeating: "x", count: 1_000) + "</query>"
        for number in 1...50 {
            edge.sm(session, .stanza(Stanza(kind: .iq, type: "get", id: "\(number)"), number: nil))
            client.send("<iq type='result' id='\(number)'>\(answer)</iq>")
        }
        #expect(edge.takeSent().count == 50)
        #expect(edge.hub.metrics.throttled.value == 0)
        for _ in 1...10 { client.send("<iq type='set' id='x'>\(answer)</iq>") }
        #expect(edge.hub.metrics.throttled.value > 0)
    }

    @Test func `acknowledgements are asked for once in a turn of the loop`() throws {
        let edge = try Edge()
        let (client, session) = try edge.session()
        client.send("<enable xmlns='urn:xmpp:sm:3'/>")
        edge.sm(session, .enabled(token: nil, max: nil))
        _ = client.take()
        for number in 1...3 { edge.sm(session, .stanza(Stanza(kind: .message), number: UInt64(number))) }
        #expect(client.take() == "<message/><message/><message/><r xmlns='urn:xmpp:sm:3'/>")
        edge.sm(session, .stanza(Stanza(kind: .message), number: 4))
        #expect(client.take() == "<message/>")
        _ = edge.takeSent()
        client.send("<a xmlns='urn:xmpp:sm:3' h='3'/>")
        #expect(edge.takeSent() == ["\(session.name)' a='1'><acknowledged xmlns='urn:jackdaw:session:0' h='3'/>"])
        #expect(client.take() == "<r xmlns='urn:xmpp:sm:3'/>")
    }

    @Test func `a session that is resumed here ends the connection that it had here with a conflict`() throws {
        let edge = try Edge()
        let (old, session) = try edge.session()
        old.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        edge.sm(session, .enabled(token: "t", max: 600))
        let new = try edge.connect()
        try new.logIn()
        new.send("<resume xmlns='urn:xmpp:sm:3' previd='t' h='0'/>")
        let fresh = edge.lastSession
        _ = edge.takeSent()
        let jid = try JID("juliet@one.example/r")
        edge.sm(session, .end(.init(condition: .conflict)))
        edge.sm(fresh, .resumed(.init(session: session.name, attach: 2, jid: jid, h: 0, next: 1, sent: 0)))
        edge.sm((session.name, 2), .stanza(Stanza(kind: .message), number: 1))
        #expect(new.take().contains("<resumed xmlns='urn:xmpp:sm:3' h='0' previd='t'/><message/>"))
        #expect(old.take().contains("<stream:error><conflict "))
        #expect(new.isOpen)
        // What has the old attach number is dropped, also on the way to the new connection.
        edge.sm((session.name, 1), .stanza(Stanza(kind: .message), number: 2))
        #expect(new.take() == "")
        #expect(edge.takeSent() == [])
        #expect(edge.hub.sessionCount == 1)
    }

    @Test func `what SM sends to a session that is gone is reported as detached`() throws {
        let edge = try Edge()
        let (client, session) = try edge.session()
        client.breakConnection()
        #expect(edge.takeSent() == ["\(session.name)' a='1'>\(Self.detached)"])
        // What crosses it needs no other word.
        edge.sm(session, .stanza(Stanza(kind: .message), number: 1))
        #expect(edge.takeSent() == [])
        edge.sm(session, .handover(.taken))
        edge.sm(session, .stanza(Stanza(kind: .message), number: 1))
        #expect(edge.takeSent() == ["\(session.name)' a='1'>\(Self.detached)"])
        let jid = try JID("juliet@one.example/r")
        edge.sm(("fresh", 1), .resumed(.init(session: "old", attach: 7, jid: jid, h: 0, next: 1, sent: 0)))
        #expect(edge.takeSent() == ["old' a='7'>\(Self.detached)"])
        edge.sm(session, .settled(number: 1))
        edge.sm(session, .end(.init()))
        #expect(edge.takeSent() == [])
    }

    @Test func `when the link is full clients wait, and then go on in order`() throws {
        let edge = try Edge()
        let (client, _) = try edge.session()
        edge.queuedBytes = 5 << 20
        client.send("<message id='1'/><message id='2'/><message id='3'/>")
        let before = edge.takeSent().count
        #expect(before < 3)
        edge.loop.advanceTime(by: .seconds(1))
        #expect(edge.takeSent().isEmpty)
        edge.queuedBytes = 0
        edge.loop.advanceTime(by: .milliseconds(5))
        #expect(edge.takeSent().count + before == 3)
    }

    @Test func `when the link is full clients wait in a line, and fill it no further`() throws {
        let edge = try Edge()
        edge.fillsQueue = true
        let clients = try (0..<12).map { try edge.session(resource: "r\($0)").client }
        edge.queuedBytes = 0
        let stanza = "<message><body>" + String(repeating: "x", count: 500_000) + "</body></message"
        for client in clients { client.send(stanza) }
        for client in clients { client.send(">") }
        // The mark, and the stanza that went over it.
        let most = (4 << 20) + (512 << 10)
        #expect(edge.queuedBytes <= most)
        #expect(edge.takeSent().count == 9)
        // There is room for one again, and not for all.
        edge.queuedBytes = 4 << 20
        edge.loop.advanceTime(by: .milliseconds(5))
        #expect(edge.takeSent().count == 1)
        edge.queuedBytes = 0
        edge.loop.advanceTime(by: .milliseconds(5))
        #expect(edge.takeSent().count == 2)
    }

    @Test func `a stanza that waited for its time waits for the link as well`() throws {
        let edge = try Edge { $0.c2s.limits.stanzasPerSecond = 10 }
        let (client, _) = try edge.session()
        edge.loop.advanceTime(by: .seconds(10))
        client.send((1...12).map { "<message id='\($0)'/>" }.joined())
        #expect(edge.takeSent().count == 10)
        edge.queuedBytes = 5 << 20
        edge.loop.advanceTime(by: .seconds(1))
        #expect(edge.takeSent().isEmpty)
        edge.queuedBytes = 0
        edge.loop.advanceTime(by: .milliseconds(5))
        #expect(edge.takeSent().count == 2)
    }

    @Test func `at the end of the process every client is told`() throws {
        let edge = try Edge()
        let stranger = try edge.connect()
        let (client, session) = try edge.session()
        edge.hub.drain()
        #expect(stranger.take().contains("<system-shutdown "))
        #expect(client.take().hasSuffix("</stream:error></stream:stream>"))
        #expect(edge.takeSent() == ["\(session.name)' a='1'>\(Self.detached)"])
        client.send("</stream:stream>")
        #expect(!client.isOpen)
        #expect(try edge.connect().isRefused)
        edge.loop.advanceTime(by: .seconds(5))
        #expect(edge.hub.connectionCount == 0)
    }

    @Test func `after an error the client is heard for a while, and no longer`() throws {
        let edge = try Edge()
        let (client, _) = try edge.session()
        client.send("<<")
        #expect(client.take().contains("<not-well-formed "))
        let flood = String(repeating: "x", count: 1 << 20)
        for _ in 0..<20 { client.send(flood) }
        #expect(!client.isOpen)
        let (other, _) = try edge.session()
        other.send("<message to='a' to='b'/>")
        edge.loop.advanceTime(by: .seconds(5))
        #expect(!other.isOpen)
        #expect(edge.hub.connectionCount == 0)
    }
}
