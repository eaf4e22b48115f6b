// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOEmbedded
import Testing

@testable import S2S

/// Hosts of one priority, with a clock that the test moves (XEP-0495, RFC 8305 §5).
@Suite struct HostRaceTests {
    private struct Refused: Error {}

    /// A race whose attempts the test decides.
    private final class Track {
        let loop = EmbeddedEventLoop()
        private(set) var begun: [String] = []
        private(set) var failed: [String] = []
        private(set) var late: [String] = []
        private(set) var won: String?
        private(set) var isLost = false
        private var attempts: [String: EventLoopPromise<String>] = [:]

        func run(_ hosts: String...) {
            let race = HostRace<String, String>(
                hosts[...],
                eventLoop: self.loop,
                delay: .milliseconds(250),
                attempt: { host in
                    self.begun.append(host)
                    let promise = self.loop.makePromise(of: String.self)
                    self.attempts[host] = promise
                    return promise.futureResult
                },
                whenFailed: { host, _ in self.failed.append(host) },
                whenLate: { self.late.append($0) }
            )
            race.run().assumeIsolated().whenComplete { result in
                switch result {
                case .success(let host): self.won = host
                case .failure: self.isLost = true
                }
            }
        }

        func succeed(_ host: String) { self.attempts.removeValue(forKey: host)?.succeed(host) }

        func fail(_ host: String) { self.attempts.removeValue(forKey: host)?.fail(Refused()) }

        func pass(_ milliseconds: Int64) { self.loop.advanceTime(by: .milliseconds(milliseconds)) }
    }

    @Test func `The next host begins after the delay, while the first may still win`() {
        let track = Track()
        track.run("a", "b", "c")
        track.pass(249)
        #expect(track.begun == ["a"])
        track.pass(1)
        #expect(track.begun == ["a", "b"])
        track.succeed("a")
        track.pass(1_000)
        #expect(track.won == "a" && track.begun == ["a", "b"])
        // What comes too late is given back, and what fails then is nobody's.
        track.succeed("b")
        #expect(track.late == ["b"] && track.failed.isEmpty)
    }

    @Test func `A host that fails makes way at once`() {
        let track = Track()
        track.run("a", "b", "c")
        track.fail("a")
        #expect(track.begun == ["a", "b"] && track.failed == ["a"])
        track.pass(250)
        #expect(track.begun == ["a", "b", "c"])
        track.succeed("c")
        #expect(track.won == "c")
        track.fail("b")
        #expect(track.failed == ["a"])
    }

    @Test func `It is lost when all have failed, and not before`() {
        let track = Track()
        track.run("a", "b")
        track.pass(250)
        track.fail("b")
        #expect(!track.isLost)
        track.fail("a")
        #expect(track.isLost && track.failed == ["b", "a"])
        track.pass(1_000)
    }
}
