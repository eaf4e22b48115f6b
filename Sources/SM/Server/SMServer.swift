// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import DequeModule
import Logging
import NIOCore
import SASL
import XMPPCore

/// The server of RFC 6121 for the hosted domains: its users, their sessions and what passes between them.
///
/// Everything happens on one event loop. Its surroundings are given: the link (`LinkPort`), what is stored
/// (`Stores`), the wall clock and the loop's timers; so it runs in a test as it runs in the process.
///
/// By file: `+Link` what C2S and the router say, `+Sessions` the life of a session, `+Routing` the way of a stanza,
/// `+Delivery` from an account into its sessions, `+Pacing` at the pace of the link, `+Spool` to and from the database,
/// `+Custody` when a message is settled, `+Outage` while the database is away, `+Replies` answers.
final class SMServer {
    private(set) var configuration: JackdawConfiguration {
        didSet { largestStanza = configuration.largestStanza }
    }
    /// Bytes of the largest stanza that the link takes. Asked for with each stanza, so it is not derived each time.
    private(set) var largestStanza: Int
    let hosted: Set<String>
    let eventLoop: any EventLoop
    let link: any LinkPort
    let stores: Stores
    let users: UserTable
    /// What is kept until clients acknowledge it.
    let kept = KeptBytes()
    let stableIDs = StableIDs()
    let metrics: SMMetrics
    let logger: Logger
    /// Microseconds since 1970.
    let now: () -> Int64
    /// How long a broken session waits for its resumption at most.
    var resumptionSeconds: UInt32 { UInt32(clamping: configuration.c2s.resumptionTime.components.seconds) }

    private(set) var chain = ModuleChain([])
    private var modules: [ModuleChain.Made] = []
    /// The sessions by name.
    var sessions: [String: Session] = [:]
    /// The C2S instances of `<open/>`s whose user is being loaded, by the session's name.
    var opening: [String: String] = [:]
    /// The C2S instances and components that are bound, by name.
    var instances: [String: LinkInstance] = [:]
    /// Sessions that ended while they could be resumed, so that a late `<resume/>` learns their `h`.
    var graves = SessionGraves()
    /// Sessions with stanzas to report as settled at the end of this burst.
    var reports: [Session] = []
    var reportIsScheduled = false
    /// Sessions whose outbox waits for the link, in the order of their turns.
    var paced: Deque<Session> = []
    /// Sessions that broke, the first that broke first; those that are not broken any more are passed over.
    var brokenSessions: Deque<(session: Session, since: Int64)> = []
    /// While sessions end to make room, what they kept goes to the spool, not to other sessions.
    var isMakingRoom = false
    /// Sessions that read the spool and wait for memory.
    var starved: [Session] = []
    /// The epoch of the last map under which others took the process for gone; 0: none did.
    var evictedUnder: UInt64 = 0
    /// How far each C2S has read, by its name.
    var flows: [String: InstanceFlow] = [:]
    /// What waits for the link and is for domains that are not ours.
    var outside = PassageQueue()
    var isPacingScheduled = false
    /// Messages that no client has acknowledged, in the order in which they get rows (`SMServer+Custody`).
    var custody: Deque<CustodyEntry> = []
    var isCustodyScheduled = false
    /// Messages that wait for the database to be back, and whom they are for.
    var postponed = PassageQueue()
    var postponedUsers: Set<BareJID> = []
    var isPostponedScheduled = false
    /// Users with messages that could not be written yet.
    var homeless: Set<BareJID> = []
    /// Users with rows that could not be deleted yet.
    var doomed: Set<BareJID> = []
    // Who owns whom: `Handover`.
    /// The map in force; 0 before the first.
    var map = OwnershipMap.none
    /// Until then messages are known that may come again (`KnownMessages`), in microseconds since 1970.
    var remembersUntil: Int64 = 0
    /// While users arrive; nil: all of ours are here.
    var takeover: Takeover?
    /// The sessions that arrive, by name.
    var arrivals: [String: Arrival] = [:]
    /// What waits for the end of the takeover, in order.
    var heldWork: [HeldWork] = []
    /// Resumptions whose user's sessions are arriving, with who asked.
    var waitingResumptions: [(message: SessionMessage, instance: String)] = []
    /// Sessions that arrived, which read the spool before that.
    var heldReaders: [Session] = []
    /// The epoch of the newest map that another instance told and we do not have.
    var gates: [String: UInt64] = [:]
    /// What was said under maps that we do not have yet, in order.
    var gated: [GatedMessage] = []
    /// The epoch of the last map under which all is given up that was to be.
    var releasedEpoch: UInt64 = 0
    /// What is being written of users who are ours no longer; some may be ours again before that has ended.
    var releasesUnderWay = 0
    /// Users of recalled sessions that are being loaded.
    var recallsUnderWay = 0
    /// Whether all instances have been told that were there when the link came up first.
    var areInstancesKnown = false
    /// Stanzas for users of other SMs, and for other servers.
    var forwarded = ForwardedStanzas<Passage>()
    /// The S2S instances that are there, as a map of the pairs of domains; the last ones while none is.
    var federation = OwnershipMap.none
    /// When the last of them was gone, in microseconds.
    var federationAwaitedSince: Int64 = 0
    /// What went to S2S and is not settled, in order: after a while its sender waits no longer.
    var federationPatience: Deque<(passage: Passage, due: Int64)> = []
    var isFederationPatienceScheduled = false
    var isEndOfHoldsScheduled = false
    /// Where the next owners of users find what sessions there are.
    var records: (any SessionRecording)?
    /// Another instance knows a newer map.
    var whenMapIsOld: () -> Void = {}
    /// IQ requests of the server itself.
    var requests: [String: PendingRequest] = [:]
    /// For XEP-0077 and administrators; set right after the server is made.
    var accounts: Accounts?
    /// Tells the surroundings, for `/ready` and `status`.
    var whenLinkChanged: (Bool) -> Void = { _ in }
    var whenSessionsChanged: (Int) -> Void = { _ in }
    private var requestCounter: UInt64 = 0
    private var sweeper: Scheduled<Void>?

    init(
        configuration: JackdawConfiguration,
        eventLoop: any EventLoop,
        link: any LinkPort,
        stores: Stores,
        metrics: SMMetrics,
        logger: Logger,
        now: @escaping () -> Int64
    ) {
        self.configuration = configuration
        self.largestStanza = configuration.largestStanza
        self.hosted = Set(configuration.domains.map(\.name))
        self.eventLoop = eventLoop
        self.link = link
        self.stores = stores
        self.metrics = metrics
        self.logger = logger
        self.now = now
        self.users = UserTable(kept: kept, load: { stores.loadUser($0) }, now: now)
    }

    /// Makes the modules and starts the timers; called once, before anything else.
    func start() {
        // What the last process of this name forwarded may be settled only now: its numbers are not used again.
        forwarded = ForwardedStanzas(after: UInt64(clamping: now()))
        modules = ModuleChain.makeModules(for: self)
        chain = ModuleChain(modules, configuration.sm)
        scheduleSweep()
    }

    /// SIGHUP: everything but the names of the domains (`JackdawConfiguration.renewed`). What is turned off answers
    /// and is announced no longer.
    func reload(_ configuration: JackdawConfiguration) {
        let features = hosted.map { (domain: $0, bytes: streamFeatures(for: $0)) }
        self.configuration = configuration
        chain = ModuleChain(modules, configuration.sm)
        let changed = features.filter { streamFeatures(for: $0.domain) != $0.bytes }.map(\.domain)
        for instance in instances.keys { sendFeatures(of: changed, to: instance) }
    }

    func stop() {
        sweeper?.cancel()
        sweeper = nil
    }

    /// An id for an IQ request of the server's own.
    func nextRequestID() -> String {
        requestCounter += 1
        return "\(Digest.randomName().prefix(10))-\(requestCounter)"
    }

    /// A passage for a stanza that no local client sent.
    func passage(_ stanza: Stanza) -> Passage {
        Passage(stanza, received: now())
    }

    private func scheduleSweep() {
        sweeper = eventLoop.assumeIsolated().scheduleTask(in: .seconds(5)) { [weak self] in
            self?.sweep()
            self?.scheduleSweep()
        }
    }

    private func sweep() {
        users.sweep()
        rewriteHomeless()
        deleteDoomed()
        feedStarved()
        graves.forget(before: now())
        metrics.users.set(users.count)
        metrics.unacknowledgedBytes.set(kept.bytes)
        while let (session, since) = brokenSessions.first, session.state != .broken(since: since) {
            brokenSessions.removeFirst()
        }
    }
}
