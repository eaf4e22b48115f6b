// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Logging
import NIOCore
import Storage

/// Keeps this instance among those that share the users, and tells of every new map (design: who owns a user).
///
/// Each second it raises its heartbeat in the database and looks at those of the others, on a connection of its own. A
/// peer whose heartbeat stands still for 5 s is evicted: its connections are ended and the epoch raised, in one
/// transaction. What to do when is decided by ``OwnershipStateMachine``.
///
/// Each map is for `Database.renewFence(epoch:keeping:)` and for the writer of session records, in ``onChange``; in the
/// database's `onFenced` belongs a ``look()``.
///
/// Confined to its event loop, like its callbacks. Set those before ``join()``.
final class OwnershipKeeper {
    let member: OwnershipMember
    /// The newest map, ``OwnershipMap/none`` before the first one. After an eviction it is the last one that was known.
    private(set) var map = OwnershipMap.none
    /// Every new map, in the order of the epochs, none left out: from one to the next users move between those that came
    /// or went. The map of ``join()`` comes first.
    var onChange: (OwnershipMap) -> Void = { _ in }
    /// We are no member any more: whatever is held belongs to others by now. Drop it and join again, and renew the fence
    /// with the map that this gives, keeping nothing: what waits there was asked for by an owner that is none.
    var onEvicted: () -> Void = {}

    private let store: any OwnershipStorage
    private let eventLoop: any EventLoop
    private let logger: Logger
    private var machine: OwnershipStateMachine
    private var joining: EventLoopPromise<OwnershipMap>?
    private var leaving: EventLoopPromise<Void>?
    private var timer: Scheduled<Void>?
    private var hasWarned = false

    /// Why ``join()`` gave no map: ``leave()`` was called before there was one.
    struct Left: Error {}

    /// `incarnation`: a random string of this start of the process.
    init(
        instance: String,
        incarnation: String,
        application: String,
        store: any OwnershipStorage,
        eventLoop: any EventLoop,
        logger: Logger,
        timing: OwnershipStateMachine.Timing = .init()
    ) {
        member = OwnershipMember(name: instance, incarnation: incarnation, application: application)
        self.store = store
        self.eventLoop = eventLoop
        self.logger = logger
        machine = OwnershipStateMachine(name: instance, timing: timing)
    }

    /// Becomes a member, in the place of an older incarnation; tries until the database answers. The map is given to
    /// ``onChange`` before the future completes. Fails with ``Left`` only.
    func join() -> EventLoopFuture<OwnershipMap> {
        eventLoop.assertInEventLoop()
        if machine.isMember { return eventLoop.makeSucceededFuture(map) }
        if let joining { return joining.futureResult }
        let promise = eventLoop.makePromise(of: OwnershipMap.self)
        joining = promise
        run(machine.join())
        return promise.futureResult
    }

    /// Departs: the users go to the others at once. Write everything before: what comes later is refused. Fails where the
    /// database is away; then the others find out by themselves.
    func leave() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        if let leaving { return leaving.futureResult }
        let actions = machine.leave()
        guard !actions.isEmpty else { return eventLoop.makeSucceededVoidFuture() }
        timer?.cancel()
        let promise = eventLoop.makePromise(of: Void.self)
        leaving = promise
        joining?.fail(Left())
        joining = nil
        run(actions)
        return promise.futureResult
    }

    /// Looks at the database now: a peer told of a change, or a fence let nothing pass.
    func look() {
        run(machine.look(now: eventLoop.now))
    }

    // MARK: Actions

    private func run(_ actions: [OwnershipStateMachine.Action]) {
        for action in actions { run(action) }
    }

    private func run(_ action: OwnershipStateMachine.Action) {
        switch action {
        case .join(let known): askToJoin(known: known)
        case .leave: askToLeave()
        case .beat(let known, let term): beat(known: known, term: term)
        case .evict(let peers, let term): evict(peers, term: term)
        case .wakeUp(let deadline): wakeUp(at: deadline)
        case .publish(let map): publish(map)
        case .finishJoin:
            let promise = joining
            joining = nil
            promise?.succeed(map)
        case .reportEviction(let reason):
            timer?.cancel()
            logger.error("this instance does not own its users any more", metadata: ["reason": "\(reason)"])
            onEvicted()
        }
    }

    private func publish(_ map: OwnershipMap) {
        self.map = map
        logger.notice("the owners of the users changed", metadata: ["reason": "\(map)"])
        onChange(map)
    }

    private func wakeUp(at deadline: NIODeadline) {
        timer?.cancel()
        timer = eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [weak self] in
            guard let self else { return }
            run(machine.wokeUp(now: eventLoop.now))
        }
    }

    private func askToJoin(known: UInt64) {
        store.join(member, known: known).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let map):
                self.hasWarned = false
                self.run(self.machine.joined(map, now: self.eventLoop.now))
            case .failure(let error):
                self.warn("cannot join the owners of the users", error)
                self.run(self.machine.joinFailed(now: self.eventLoop.now))
            }
        }
    }

    private func askToLeave() {
        store.leave(member).assumeIsolated().whenComplete { result in
            self.machine.left()
            let promise = self.leaving
            self.leaving = nil
            promise?.completeWith(result)
        }
    }

    private func beat(known: UInt64, term: Int) {
        store.beat(member, known: known).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let reading):
                self.hasWarned = false
                self.run(self.machine.beatAnswered(reading, term: term, now: self.eventLoop.now))
            case .failure(let error):
                self.warn("cannot look at the owners of the users", error)
                self.run(self.machine.beatFailed(term: term, now: self.eventLoop.now))
            }
        }
    }

    private func evict(_ peers: [OwnershipPeer], term: Int) {
        let names = peers.map(\.name).joined(separator: ", ")
        logger.warning("evicting instances that do not answer", metadata: ["peer": "\(names)"])
        store.evict(peers).assumeIsolated().whenComplete { result in
            if case .failure(let error) = result { self.warn("cannot evict \(names) yet", error) }
            self.run(self.machine.evictionEnded(term: term, now: self.eventLoop.now))
        }
    }

    /// One warning until it works again.
    private func warn(_ message: Logger.Message, _ error: any Error) {
        logger.log(level: hasWarned ? .debug : .warning, message, metadata: ["reason": "\(error)"])
        hasWarned = true
    }
}
