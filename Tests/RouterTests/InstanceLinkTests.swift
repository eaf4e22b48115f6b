// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import Testing
import XMPPCore

@testable import Router

/// Both ends of a link together: instances as the processes make them, over real sockets.
@Suite struct InstanceLinkTests {
    @Test func `two instances find each other and talk`() async throws {
        try await TestRouter.run { router in
            let sm = try await LinkedInstance.start("sm-1", secret: "sm", names: ["localhost"], router)
            try await sm.wait(for: "complete")
            let c2s = try await LinkedInstance.start("c2s-1", secret: "c2s", router)
            try await c2s.wait(for: "complete")
            #expect(try await c2s.history().contains("available sm-1.jackdaw.internal [\"localhost\"]"))
            try await sm.wait(for: "available c2s-1.jackdaw.internal []")
            #expect(try await c2s.on { $0.instance(serving: "localhost")?.name } == "sm-1.jackdaw.internal")

            let message = SessionMessage(session: "s", attach: 1, .settled(number: 7))
            #expect(try await sm.on { $0.send(message, to: "c2s-1.jackdaw.internal") })
            try await c2s.wait(for: "message s 1 settled(number: 7) from sm-1.jackdaw.internal")
            // What is said to one that is not there yet waits for it.
            #expect(try await sm.on { $0.send(message, to: "c2s-2.jackdaw.internal") })
            let late = try await LinkedInstance.start("c2s-2", secret: "c2s", router)
            try await late.wait(for: "message s 1 settled(number: 7) from sm-1.jackdaw.internal")
            try await sm.stop()
            // Only when it has been away for a while.
            try await c2s.wait(for: "unavailable sm-1.jackdaw.internal")
            try await c2s.stop()
            try await late.stop()
        }
    }

    @Test func `a thousand messages arrive in order`() async throws {
        try await TestRouter.run { router in
            let sm = try await LinkedInstance.start("sm-1", secret: "sm", names: ["localhost"], router)
            let c2s = try await LinkedInstance.start("c2s-1", secret: "c2s", router)
            try await sm.wait(for: "available c2s-1.jackdaw.internal []")
            try await c2s.on { link in
                for number in 1...1_000 {
                    let message = SessionMessage(session: "s", attach: 1, .settled(number: UInt64(number)))
                    link.send(message, to: "sm-1.jackdaw.internal")
                }
            }
            try await sm.wait(for: "message s 1 settled(number: 1000) from c2s-1.jackdaw.internal")
            let seen = try await sm.history().filter { $0.hasPrefix("message") }
            let expected = (1...1_000).map { "message s 1 settled(number: \($0)) from c2s-1.jackdaw.internal" }
            #expect(seen == expected)
            try await sm.stop()
            try await c2s.stop()
        }
    }

    @Test func `stanzas and external components reach an instance by its names`() async throws {
        try await TestRouter.run { router in
            let sm = try await LinkedInstance.start("sm-1", secret: "sm", names: ["localhost"], router)
            try await sm.wait(for: "complete")
            let chess = try await router.component("chess.localhost")
            try await sm.wait(for: "available chess.localhost []")
            chess.send("<message from='chess.localhost' to='a@localhost' id='m1'><body>x</body></message>")
            try await sm.wait(for: "stanza m1 body")
            let from = try JID("a@localhost")
            let to = try JID("chess.localhost")
            #expect(try await sm.on { $0.send(Stanza(kind: .message, to: to, from: from, id: "m2")) })
            _ = try await chess.read(through: "id='m2'/>")
            try await sm.stop()
        }
    }

    @Test func `every process answers status, the router's included`() async throws {
        try await TestRouter.run { router in
            let sm = try await LinkedInstance.start("sm-1", secret: "sm", router)
            let ctl = try await LinkedInstance.start("ctl-7", secret: "ctl", router)
            try await ctl.wait(for: "complete")
            for name in ["sm-1", "router-1", "sm-3"] {
                let request = AdminRequest(id: name, command: "status")
                try await ctl.on { _ = $0.send(request, to: "\(name).jackdaw.internal") }
            }
            try await ctl.wait(for: "response sm-1 process=sm-1")
            try await ctl.wait(for: "response router-1 process=router")
            try await ctl.wait(for: "request sm-3 returned")
            try await sm.stop()
            try await ctl.stop()
        }
    }

    @Test func `a link comes back after the router did`() async throws {
        // Below the range of outgoing connections, so that none takes it meanwhile.
        var configuration = TestRouter.configuration
        configuration.router.listen = ListenAddress(host: "127.0.0.1", port: Int.random(in: 10_000..<32_000))
        let first = try await TestRouter.start(configuration)
        let sm = try await LinkedInstance.start("sm-1", secret: "sm", first)
        let c2s = try await LinkedInstance.start("c2s-1", secret: "c2s", first)
        try await sm.wait(for: "available c2s-1.jackdaw.internal")
        try await c2s.wait(for: "available sm-1.jackdaw.internal")
        let before = SessionMessage(session: "before", attach: 1, .close)
        #expect(try await sm.on { $0.send(before, to: "c2s-1.jackdaw.internal") })
        try await c2s.wait(for: "message before 1")
        try await first.service.stop()
        try await sm.wait(for: "down")
        // What is said about sessions waits, each in its order; a plain stanza has nobody to keep it.
        for number in 1...3 {
            let message = SessionMessage(session: "s\(number)", attach: 1, .close)
            #expect(try await sm.on { $0.send(message, to: "c2s-1.jackdaw.internal") })
        }
        #expect(try await sm.on { $0.send(Stanza(kind: .message)) } == false)
        let second = try await TestRouter.start(configuration)
        try await sm.wait(for: "complete", times: 2)
        try await c2s.wait(for: "message s3 1")
        let history = try await c2s.history()
        #expect(history.filter { $0.hasPrefix("message") }.count == 4)
        #expect(!history.contains { $0.hasPrefix("unavailable sm-1") }, "a short absence is not told")
        try await sm.stop()
        try await c2s.stop()
        try await second.service.stop()
    }

    @Test func `more than the bound resets the link and says so`() async throws {
        try await TestRouter.run { router in
            let sm = try await LinkedInstance.start("sm-1", secret: "sm", router, queueBytes: 100_000)
            try await sm.wait(for: "complete")
            let to = try JID("sm-1.jackdaw.internal")
            let id = String(repeating: "x", count: 50_000)
            let message = Stanza(kind: .message, to: to, from: try JID("a@localhost"), id: id)
            let sent = try await sm.on { link in (0..<5).map { _ in link.send(message) } }
            #expect(sent == [true, true, false, false, false])
            try await sm.wait(for: "down queueFull")
            try await sm.wait(for: "complete", times: 2)
            try await sm.stop()
        }
    }

    @Test func `what is longer than the router takes is not sent, and the link stays`() async throws {
        try await TestRouter.run { router in
            let sm = try await LinkedInstance.start("sm-1", secret: "sm", router)
            let c2s = try await LinkedInstance.start("c2s-1", secret: "c2s", router)
            try await sm.wait(for: "available c2s-1.jackdaw.internal")
            let sent = try await sm.on { link in
                [10, 4 << 20, 10].map { size in
                    let text = String(repeating: "x", count: size)
                    return link.send(
                        SessionMessage(session: "s\(size)", attach: 1, .end(.init(text: text))),
                        to: "c2s-1.jackdaw.internal"
                    )
                }
            }
            #expect(sent == [true, false, true])
            try await c2s.wait(for: "message s10 1", times: 2)
            #expect(try await sm.history().contains { $0.hasPrefix("down") } == false)
            try await sm.stop()
            try await c2s.stop()
        }
    }

    @Test func `an answer to the administrator that is too long is an error`() async throws {
        try await TestRouter.run { router in
            let sm = try await LinkedInstance.start("sm-1", secret: "sm", router, elementBytes: 100_000)
            let ctl = try await LinkedInstance.start("ctl-7", secret: "ctl", router)
            try await sm.on { link in
                link.responder?.register("list") { request in
                    let value = String(repeating: "x", count: Int(request["size"] ?? "") ?? 0)
                    return link.eventLoop.makeSucceededFuture([[AdminField("value", value)]])
                }
            }
            try await ctl.wait(for: "available sm-1.jackdaw.internal")
            for size in ["100000", "3"] {
                let request = AdminRequest(id: size, command: "list", arguments: [AdminField("size", size)])
                try await ctl.on { _ = $0.send(request, to: "sm-1.jackdaw.internal") }
            }
            try await ctl.wait(for: "response 3 value=xxx")
            #expect(try await ctl.history().contains("response 100000 error=resource-constraint"))
            try await sm.stop()
            try await ctl.stop()
        }
    }

    @Test(arguments: [0, 20, 50, 100, 200, 300, 400, 600, 800, 1_000, 1_500, 2_000, 5_000])
    func `a link that is stopped while it comes up ends and stays down`(microseconds: Int64) async throws {
        try await TestRouter.run { router in
            for _ in 0..<5 {
                let sm = try await LinkedInstance.start("sm-1", secret: "sm", router, starts: false)
                try await sm.start(stoppingAfter: .microseconds(microseconds))
                #expect(try await sm.on { $0.isUp } == false)
                let history = try await sm.history()
                // Its name is free, for the router as well.
                let next = try await LinkedInstance.start("sm-1", secret: "sm", router)
                try await next.wait(for: "complete")
                try await next.stop()
                #expect(try await sm.history() == history, "nothing happens after the end")
            }
        }
    }

    @Test func `a stopped link may be started again`() async throws {
        try await TestRouter.run { router in
            let sm = try await LinkedInstance.start("sm-1", secret: "sm", router, starts: false)
            try await sm.on { link in
                link.start()
                _ = link.stop()
                link.start()
            }
            try await sm.wait(for: "complete")
            try await sm.on { link in
                _ = link.stop()
                link.start()
            }
            try await sm.wait(for: "complete", times: 2)
            try await sm.stop()
        }
    }

    @Test func `a wrong secret is tried again and again, and never up`() async throws {
        try await TestRouter.run { router in
            let sm = try await LinkedInstance.start("sm-1", secret: "wrong", router)
            let deadline = NIODeadline.now() + .seconds(60)
            while router.context.metrics.counter("jackdaw_router_stream_errors", help: "").value < 3 {
                try #require(NIODeadline.now() < deadline)
                _ = try await router.inspect { $0.links.count }
            }
            #expect(try await sm.history().isEmpty)
            try await sm.stop()
        }
    }
}
