// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XML

/// External components (XEP-0114) on raw sockets: what they may do, and what they see.
@Suite(.serialized) struct ComponentTests {
    @Test func stanzasPassFromAClientToAComponentAndBack() async throws {
        let suite = try await RunningSuite.shared()
        let component = try await TestComponent.connect(to: suite, name: suite.otherComponentName)
        let account = try await suite.addAccount(named: "pilgrim")
        let (client, jid) = try await TestClient.login(account, to: suite, resource: "here")
        for (kind, payload) in [
            ("message", "<body>Hello</body>"), ("presence", "<show>away</show>"),
            ("iq", "<query xmlns='jabber:iq:version'/>"),
        ] {
            let type = kind == "iq" ? " type='get'" : ""
            try await client.send("<\(kind)\(type) to='bot@\(component.name)/x' id='\(kind)-1'>\(payload)</\(kind)>")
            let received = try await component.client.first { $0.name == kind }
            #expect(received.namespace == "jabber:component:accept")
            #expect(received["from"] == jid && received["to"] == "bot@\(component.name)/x")
            #expect(received["id"] == "\(kind)-1")
            #expect(
                received["xmlns:j"] == nil && !received.attributes.contains { $0.namespace.hasPrefix("urn:jackdaw") }
            )
            let child = received.childElements.first
            #expect(child?.namespace == (kind == "iq" ? "jabber:iq:version" : "jabber:component:accept"))
        }
        try await component.client.send(
            "<iq type='result' from='bot@\(component.name)/x' to='\(jid)' id='iq-1'>"
                + "<query xmlns='jabber:iq:version'><name>bot</name></query></iq>"
        )
        let result = try await client.first { $0.name == "iq" }
        #expect(result.namespace == "jabber:client" && result["from"] == "bot@\(component.name)/x")
        #expect(result.child("query", "jabber:iq:version")?.child("name", "jabber:iq:version")?.text == "bot")
        try await component.client.send(
            "<message from='\(component.name)' to='\(jid)' id='back'><body>Welcome</body></message>"
        )
        let message = try await client.first { $0.name == "message" }
        #expect(message["from"] == component.name && message["id"] == "back")
        #expect(message.child("body", "jabber:client")?.text == "Welcome")
        await client.breakConnection()
        await component.client.breakConnection()
    }

    @Test func aSecondComponentOfTheNameGetsConflict() async throws {
        let suite = try await RunningSuite.shared()
        let first = try await TestComponent.connect(to: suite, name: suite.otherComponentName)
        let second = try await TestComponent.handshake(with: suite, name: suite.otherComponentName)
        #expect(second.answer.name == "error")
        #expect(second.answer.childElements.first?.name == "conflict")
        // The first one stays.
        try await first.client.send(
            "<iq type='get' from='\(first.name)' to='\(suite.domain)' id='still'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
        #expect(try await first.client.first { $0["type"] == "result" }["id"] == "still")
        await first.client.breakConnection()
    }

    /// A secret that is good for one name, and a name of ours or of nobody.
    @Test(arguments: [
        ("c2s-1.jackdaw.internal", "not-authorized"), ("sm-1.jackdaw.internal", "not-authorized"),
        ("localhost", "host-unknown"), ("sub.component.localhost", "host-unknown"),
        ("a@component.localhost", "host-unknown"),
    ]) func aGoodSecretIsNoGoodForAForeignName(_ name: String, _ condition: String) async throws {
        let suite = try await RunningSuite.shared()
        let attempt = try await TestComponent.handshake(with: suite, name: name)
        #expect(attempt.answer.name == "error")
        #expect(attempt.answer.childElements.first?.name == condition)
        await attempt.client.breakConnection()
    }

    @Test func whatCannotBeRoutedBouncesWithItsAddressesSwapped() async throws {
        let suite = try await RunningSuite.shared()
        let component = try await TestComponent.connect(to: suite, name: suite.otherComponentName)
        let from = "bot@\(component.name)/x"
        for (number, stanza) in [
            "<message id='%' from='\(from)' to='a@nowhere.example/b'><body>x</body></message>",
            "<iq id='%' type='get' from='\(from)' to='nowhere.example'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<presence id='%' type='subscribe' from='\(from)' to='a@nowhere.example'/>",
        ].enumerated() {
            try await component.client.send(stanza.replacing("%", with: "u\(number)"))
            let bounce = try await component.client.first { $0["type"] == "error" }
            #expect(bounce["id"] == "u\(number)" && bounce["type"] == "error")
            #expect(bounce["to"] == from)
            #expect(bounce["from"] == ["a@nowhere.example/b", "nowhere.example", "a@nowhere.example"][number])
            #expect(bounce.errorCondition == "remote-server-not-found" && bounce.errorType == "cancel")
        }
        // A name that is configured but not bound.
        try await component.client.send(
            "<message id='away' from='\(from)' to='a@never.localhost'><body>x</body></message>"
        )
        let away = try await component.client.first { $0["type"] == "error" }
        #expect(away["id"] == "away" && away["from"] == "a@never.localhost" && away["to"] == from)
        #expect(["service-unavailable", "remote-server-not-found"].contains(away.errorCondition ?? ""))
        await component.client.breakConnection()
    }

    @Test func anErrorAndAResultNeverBounce() async throws {
        let suite = try await RunningSuite.shared()
        let component = try await TestComponent.connect(to: suite, name: suite.otherComponentName)
        for target in ["a@nowhere.example", "nobody-there@\(suite.domain)", "nobody-there@\(suite.domain)/x"] {
            for stanza in [
                "<message type='error' from='\(component.name)' to='\(target)' id='e'><error type='cancel'>"
                    + "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
                "<iq type='error' from='\(component.name)' to='\(target)' id='e'/>",
                "<iq type='result' from='\(component.name)' to='\(target)' id='e'/>",
                "<presence type='error' from='\(component.name)' to='\(target)' id='e'/>",
            ] { try await component.client.send(stanza) }
        }
        try await component.client.send(
            "<iq type='get' from='\(component.name)' to='\(suite.domain)' id='last'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
        #expect(try await component.client.first { $0["type"] == "result" }["id"] == "last")
        await component.client.breakConnection()
    }

    @Test func aStanzaOfAClientForAnAbsentComponentBounces() async throws {
        let suite = try await RunningSuite.shared()
        let account = try await suite.addAccount(named: "late")
        let (client, jid) = try await TestClient.login(account, to: suite, resource: "here")
        let target = "bot@never.localhost/x"
        try await client.send("<message to='\(target)' id='late'><body>x</body></message>")
        let bounce = try await client.element()
        #expect(bounce["id"] == "late" && bounce["type"] == "error" && bounce["from"] == target && bounce["to"] == jid)
        #expect(["service-unavailable", "remote-server-not-found"].contains(bounce.errorCondition ?? ""))
        await client.breakConnection()
    }
}
