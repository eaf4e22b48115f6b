// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import NIOEmbedded

/// A process of the suite: one event loop, which a stop keeps from going on.
class SimulatedProcess {
    let loop: EmbeddedEventLoop
    let link: SimulatedLink
    unowned let world: SimulatedWorld
    private(set) var isStopped = false
    /// Milliseconds that the loop owes to the clock.
    private var owed: Int64 = 0

    var name: String { link.instance.name }

    init(_ link: SimulatedLink, _ loop: EmbeddedEventLoop, _ world: SimulatedWorld) {
        self.link = link
        self.loop = loop
        self.world = world
    }

    /// SIGSTOP and SIGCONT.
    func stop() { isStopped = true }
    func goOn() { isStopped = false }

    func pass(_ milliseconds: Int64) {
        owed += milliseconds
        guard !isStopped else { return }
        let due = owed
        owed = 0
        loop.advanceTime(by: .milliseconds(due))
    }

    /// Does what it can at once; false if that was nothing.
    func work() -> Bool { false }

    /// SIGKILL: nothing of it does anything any more.
    func kill(routerReads: Int) {
        link.isDead = true
        world.network.remove(link, routerReads: routerReads)
        tearDown()
        loop.run()
        // Gives back what waits on the loop.
        _ = try? EmbeddedChannel(loop: loop).finish(acceptAlreadyClosed: true)
    }

    /// Ends what holds itself.
    func tearDown() {}

    static let configuration = {
        var configuration = JackdawConfiguration()
        configuration.domains = [HostedDomain(name: "localhost")]
        configuration.c2s.resumptionTime = .seconds(60)
        configuration.c2s.limits.stanzasPerSecond = 1_000_000
        configuration.c2s.limits.bytesPerSecond = 1 << 30
        return configuration
    }()
    static let logger = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }
}
