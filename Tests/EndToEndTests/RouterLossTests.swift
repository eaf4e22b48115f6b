// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

extension OwnSuites {
    /// The router is killed again and again while clients talk: nobody is disconnected, nothing is lost, nothing comes
    /// twice or out of order (`docs/protocols.md`, section 4).
    @Suite(.serialized) struct RouterLossTests {
        @Test(arguments: [[], ["--stream-management"]])
        func nobodyNotices(_ more: [String]) async throws {
            let suite = try await RunningSuite.startForLoad()
            defer { suite.stop() }
            _ = try await suite.load(["prepare", "--clients", "20"])
            let arguments = ["chat", "--pairs", "10", "--window", "3", "--warm-up", "0", "--seconds", "6"] + more
            async let load: Void = suite.loadFaultlessly(arguments)
            for _ in 1...5 {
                try await Task.sleep(for: .seconds(1))
                let router = try suite.process("router-1")
                router.kill(9)
                try await router.awaitEnd()
                try suite.launch("router-1")
            }
            try await load
        }

        /// One of two routers is killed: nothing even waits for its return.
        @Test(arguments: [[], ["--stream-management"]])
        func oneOfTwoIsNotMissed(_ more: [String]) async throws {
            let suite = try await RunningSuite.startForLoad(routers: 2)
            defer { suite.stop() }
            try await suite.awaitLinks(2)
            _ = try await suite.load(["prepare", "--clients", "20"])
            let arguments = ["chat", "--pairs", "10", "--window", "3", "--warm-up", "0", "--seconds", "6"] + more
            async let load: Void = suite.loadFaultlessly(arguments)
            for round in 1...5 {
                try await Task.sleep(for: .seconds(1))
                let name = "router-\(1 + round % 2)"
                let router = try suite.process(name)
                router.kill(9)
                try await router.awaitEnd()
                try suite.launch(name)
                try await suite.awaitLinks(2)
            }
            try await load
            try suite.expectSteadyChannels()
        }

        /// One of two routers stands still for longer than a channel may be silent: the other one has what is said.
        @Test(arguments: [[], ["--stream-management"]])
        func oneOfTwoMayStandStill(_ more: [String]) async throws {
            let suite = try await RunningSuite.startForLoad(routers: 2)
            defer { suite.stop() }
            try await suite.awaitLinks(2)
            _ = try await suite.load(["prepare", "--clients", "20"])
            let arguments = ["chat", "--pairs", "10", "--window", "3", "--warm-up", "0", "--seconds", "20"] + more
            async let load: Void = suite.loadFaultlessly(arguments)
            for number in [1, 2] {
                try await Task.sleep(for: .seconds(1))
                let router = try suite.process("router-\(number)")
                router.kill(SIGSTOP)
                try await Task.sleep(for: .seconds(7))
                router.kill(SIGCONT)
            }
            try await load
            try suite.expectSteadyChannels()
        }
    }
}

extension RunningSuite {
    /// Waits until C2S and SM have links to so many routers.
    func awaitLinks(_ count: Int) async throws {
        for name in ["c2s-1", "sm-1"] {
            var isLinked = false
            for _ in 0..<600 where !isLinked {
                isLinked = try await http(name, "/metrics").body.contains("jackdaw_link_routers \(count).0\n")
                if !isLinked { try await Task.sleep(for: .milliseconds(50)) }
            }
            guard isLinked else {
                throw Failure(description: "\(name) has no \(count) links: \(try log(name).suffix(2_000))")
            }
        }
    }

    /// No channel has begun anew: nobody was taken for restarted.
    func expectSteadyChannels() throws {
        for name in ["c2s-1", "sm-1"] { #expect(!(try log(name).contains("channel begins anew"))) }
    }
}
