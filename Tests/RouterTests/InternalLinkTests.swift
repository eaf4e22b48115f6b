// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Router

/// `docs/protocols.md`, section 1, over real sockets.
@Suite struct InternalLinkTests {
    private static let sm = "sm-1.jackdaw.internal"
    private static let c2s = "c2s-1.jackdaw.internal"

    private func sm(_ router: TestRouter, epoch: String = "e1") async throws -> RawComponent {
        try await router.instance(Self.sm, secret: "sm", epoch: epoch, declaring: "<j:name>localhost</j:name>")
    }

    private func c2s(_ router: TestRouter, number: Int = 1) async throws -> RawComponent {
        try await router.instance("c2s-\(number).jackdaw.internal", secret: "c2s", epoch: "f\(number)")
    }

    @Test func `an instance learns who is there, and of each change`() async throws {
        try await TestRouter.run { router in
            _ = try await router.component("chess.localhost")
            let sm = try await self.sm(router)
            let first = try await sm.read(through: "<j:instances-complete/>")
            #expect(first.contains("<j:instance name='router-1.jackdaw.internal'"))
            #expect(first.contains("<j:instance name='chess.localhost'"))
            #expect(first.contains("kind='external' state='available'"))

            let c2s = try await self.c2s(router)
            let second = try await c2s.read(through: "<j:instances-complete/>")
            #expect(
                second.contains(
                    "<j:instance name='sm-1.jackdaw.internal' epoch='e1' kind='internal' state='available'>"
                        + "<j:name>localhost</j:name></j:instance>"
                )
            )
            #expect(!second.contains("c2s-1"))
            _ = try await sm.read(
                through:
                    "<j:instance name='c2s-1.jackdaw.internal' epoch='f1' kind='internal' state='available'></j:instance>"
            )
            try await c2s.close()
            _ = try await sm.read(
                through:
                    "<j:instance name='c2s-1.jackdaw.internal' epoch='f1' kind='internal' state='unavailable'></j:instance>"
            )
            let words = try await router.component("words.localhost")
            _ = try await sm.read(through: "<j:instance name='words.localhost'")
            words.send("</stream:stream>")
            #expect(try await words.readToEnd() == "</stream:stream>")
            _ = try await sm.read(through: "state='unavailable'></j:instance>")
        }
    }

    @Test func `an external component is told nothing of instances`() async throws {
        try await TestRouter.run { router in
            let chess = try await router.component("chess.localhost")
            _ = try await self.sm(router)
            chess.send("</stream:stream>")
            #expect(try await chess.readToEnd() == "</stream:stream>")
        }
    }

    @Test func `a wrapper is forwarded as it was written`() async throws {
        try await TestRouter.run { router in
            let sm = try await self.sm(router)
            let c2s = try await self.c2s(router)
            let wrapper =
                "<j:route from='\(Self.c2s)' to='\(Self.sm)'  s=\"abc\" a='1' n='7' odd='&lt;'>"
                + "<message to='a@localhost'><body xml:lang='cy'>a<![CDATA[<b>]]>&#x41;</body></message></j:route>"
            c2s.send(wrapper)
            let seen = try await sm.read(through: "</j:route>")
            #expect(seen.hasSuffix(wrapper))
        }
    }

    @Test func `a payload that a parser would refuse passes between our own`() async throws {
        try await TestRouter.run { router in
            let sm = try await self.sm(router)
            let c2s = try await self.c2s(router)
            let deep = String(repeating: "<x:a>", count: 5_000) + String(repeating: "</x:a>", count: 5_000)
            let payload = "<message><undeclared:b attribute='1' attribute='2'/>\(deep)</message>"
            let wrapper = "<j:route from='\(Self.c2s)' to='\(Self.sm)' s='a' a='1'>\(payload)</j:route>"
            c2s.send(wrapper)
            #expect(try await sm.read(through: "</j:route>").hasSuffix(wrapper))
            let stanza = "<message from='a@localhost' to='b@chess.localhost' id='m'><x:y>\(deep)</x:y></message>"
            let chess = try await router.component("chess.localhost")
            sm.send(stanza)
            #expect(try await chess.read(through: "</message>") == stanza)
        }
    }

    @Test func `a wrapper for nobody comes back once`() async throws {
        try await TestRouter.run { router in
            let sm = try await self.sm(router)
            sm.send(
                "<j:route from='\(Self.sm)' to='\(Self.c2s)' s='a' a='1'><close xmlns='urn:jackdaw:session:0'/></j:route>"
            )
            let back = try await sm.read(through: "</j:route>")
            #expect(
                back.hasSuffix(
                    "<j:route from='\(Self.sm)' to='\(Self.c2s)' s='a' a='1' error='unreachable'>"
                        + "<close xmlns='urn:jackdaw:session:0'/></j:route>"
                )
            )
            sm.send("<j:route error='unreachable' from='\(Self.sm)' to='\(Self.c2s)'><a/></j:route>")
            sm.send("<j:route from='\(Self.sm)' to='\(Self.sm)'><after/></j:route>")
            #expect(try await sm.read(through: "<after/>").hasPrefix("<j:route from="))
        }
    }

    @Test func `a wrapper for an external component is for nobody`() async throws {
        try await TestRouter.run { router in
            let sm = try await self.sm(router)
            _ = try await router.component("chess.localhost")
            sm.send("<j:route from='\(Self.sm)' to='chess.localhost'><a/></j:route>")
            #expect(try await sm.read(through: "<a/></j:route>").contains("error='unreachable'"))
        }
    }

    @Test func `a stanza goes by its domain, and between inside and outside`() async throws {
        try await TestRouter.run { router in
            let sm = try await self.sm(router)
            let chess = try await router.component("chess.localhost")
            chess.send("<iq from='chess.localhost' to='a@localhost' type='get' id='1'><q xmlns='urn:x'/></iq>")
            let question = try await sm.read(through: "</iq>")
            #expect(question.contains("from='chess.localhost'"))
            sm.send("<iq from='a@localhost' to='chess.localhost' type='result' id='1'/>")
            #expect(
                try await chess.read(through: "/>")
                    == "<iq from='a@localhost' to='chess.localhost' type='result' id='1'/>"
            )
            sm.send("<message from='a@localhost' to='x@nowhere.example' id='2'/>")
            #expect(try await sm.read(through: "</message>").contains("<remote-server-not-found"))
            sm.send("<message from='a@localhost' to='x@words.localhost' id='3'/>")
            #expect(try await sm.read(through: "</message>").contains("<service-unavailable"))
        }
    }

    @Test func `only the default route gets, and sends, what is not ours`() async throws {
        try await TestRouter.run { router in
            let sm = try await self.sm(router)
            let gate = try await router.instance(
                "gate.localhost",
                secret: "secret of gate.localhost",
                declaring: "<j:default-route/>"
            )
            sm.send("<message from='a@localhost' to='x@example.org' id='1'/>")
            _ = try await gate.read(through: "to='x@example.org' id='1'/>")
            gate.send("<message from='x@example.org' to='a@localhost' id='2'/>")
            _ = try await sm.read(through: "<message from='x@example.org' to='a@localhost' id='2'/>")
            sm.send("<message from='a@localhost' to='x@words.localhost' id='3'/>")
            #expect(try await sm.read(through: "</message>").contains("<service-unavailable"))
            gate.send("<message from='b@localhost' to='a@localhost' id='4'/>")
            #expect(try await gate.readToEnd().contains("<invalid-from"))
        }
    }

    @Test(arguments: [
        ("<message from='x@example.org' to='a@localhost'/>", "invalid-from"),
        ("<message from='b@chess.localhost' to='a@localhost'/>", "invalid-from"),
        ("<message to='a@localhost'/>", "improper-addressing"),
        ("<message from='a@localhost'/>", "improper-addressing"),
        ("<j:route from='c2s-1.jackdaw.internal' to='sm-1.jackdaw.internal'><a/></j:route>", "invalid-from"),
        ("<j:route to='sm-1.jackdaw.internal'><a/></j:route>", "policy-violation"),
        ("<j:declared/>", "policy-violation"), ("<j:whatever/>", "policy-violation"),
        ("<x xmlns='urn:x'/>", "unsupported-stanza-type"),
        ("<message xmlns='jabber:client' from='a@localhost' to='a@localhost'/>", "unsupported-stanza-type"),
        ("<j:declare epoch='1'><j:name>chess.localhost</j:name></j:declare>", "not-authorized"),
        ("<j:declare epoch='1'><j:default-route/></j:declare>", "not-authorized"),
        ("<j:declare/>", "policy-violation"),
    ])
    func `an instance that breaks the protocol loses its link`(element: String, condition: String) async throws {
        try await TestRouter.run { router in
            let sm = try await self.sm(router)
            sm.send(element)
            #expect(try await sm.readToEnd().contains("<stream:error><\(condition) "))
        }
    }

    @Test func `an instance that has not declared itself sends nothing`() async throws {
        try await TestRouter.run { router in
            let sm = try await router.connect()
            try await sm.open(Self.sm, isInternal: true)
            try await sm.handshake(secret: "sm")
            sm.send("<message from='\(Self.sm)' to='a@localhost'/>")
            #expect(try await sm.readToEnd().contains("<policy-violation"))
        }
    }

    @Test func `a domain is served together with an instance of its kind, and without it when it is gone`() async throws
    {
        try await TestRouter.run { router in
            let first = try await self.sm(router)
            let second = try await router.connect()
            try await second.open("sm-2.jackdaw.internal", isInternal: true)
            try await second.handshake(secret: "sm")
            second.send("<j:declare epoch='2'><j:name>localhost</j:name></j:declare>")
            _ = try await second.read(through: "<j:declared/>")
            first.send("</stream:stream>")
            _ = try await first.readToEnd()
            let chess = try await router.component("chess.localhost")
            chess.send("<message from='chess.localhost' to='a@localhost' id='m'><body>x</body></message>")
            _ = try await second.read(through: "id='m'")
        }
    }

    @Test func `a new declaration is told to the others`() async throws {
        try await TestRouter.run { router in
            let c2s = try await self.c2s(router)
            let sm = try await self.sm(router)
            _ = try await c2s.read(through: "<j:name>localhost</j:name></j:instance>")
            sm.send("<j:declare epoch='e1'></j:declare>")
            _ = try await c2s.read(through: "epoch='e1' kind='internal' state='available'></j:instance>")
            c2s.send("<j:route from='\(Self.c2s)' to='\(Self.sm)'><a/></j:route>")
            _ = try await sm.read(through: "<a/></j:route>")
        }
    }

    @Test func `a component that is configured as internal may stay external`() async throws {
        try await TestRouter.run { router in
            let maps = try await router.component("maps.localhost")
            let chess = try await router.component("chess.localhost")
            maps.send("<message from='maps.localhost' to='chess.localhost' id='1'/>")
            _ = try await chess.read(through: "id='1'/>")
            maps.send("<j:declare xmlns:j='urn:jackdaw:link:0' epoch='1'/>")
            _ = try await maps.read(through: "<j:instances-complete/>")
            maps.send("<message from='maps.localhost' to='chess.localhost' id='2'/>")
            _ = try await chess.read(through: "id='2'/>")
            chess.send("<message from='chess.localhost' to='maps.localhost' id='3'/>")
            _ = try await maps.read(through: "id='3'/>")
        }
    }

    @Test func `the router answers status and component-list`() async throws {
        try await TestRouter.run { router in
            let ctl = try await router.instance("ctl-1.jackdaw.internal", secret: "ctl")
            for command in ["status", "component-list", "nonsense"] {
                ctl.send(
                    "<j:route from='ctl-1.jackdaw.internal' to='router-1.jackdaw.internal'>"
                        + "<request xmlns='urn:jackdaw:admin:0' id='\(command)' command='\(command)'/></j:route>"
                )
            }
            let status = try await ctl.read(through: "</response>")
            #expect(status.contains("<field name='process'>router</field>"))
            let list = try await ctl.read(through: "</response>")
            #expect(list.contains("<field name='name'>ctl-1.jackdaw.internal</field>"))
            #expect(list.contains("<field name='kind'>internal</field>"))
            let nonsense = try await ctl.read(through: "</response>")
            #expect(nonsense.contains("id='nonsense' error='feature-not-implemented'"))
        }
    }
}
