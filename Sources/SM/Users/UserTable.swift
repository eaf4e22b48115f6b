// SPDX-License-Identifier: Apache-2.0

import DequeModule
import NIOCore
import XMPPCore

/// The users in memory, and the loading of those who are not.
///
/// Confined to the server's event loop. Whatever waits for a user that is being loaded is kept in order; past
/// `waitingLimit` for one user it gets `.failed`, which its sender sees as `resource-constraint` or
/// `internal-server-error` of type `wait`.
final class UserTable {
    enum Outcome {
        case user(User)
        case nonexistent
        case failed(any Error)
    }

    /// Too much waits for one user to be loaded.
    struct Overloaded: Error {}
    /// Another SM owns the user by now.
    struct Moved: Error {}

    /// What waits for a user that is being loaded.
    private struct Loading {
        /// Tells this reading of the database from an earlier one, whose answer is not to be had any more.
        let number: UInt64
        var waiting: [Completion] = []
    }

    typealias Completion = (Outcome) -> Void

    private var users: [BareJID: User] = [:]
    private var loading: [BareJID: Loading] = [:]
    private var lastLoading: UInt64 = 0
    /// Users that were idle at some time, each once (`User.isNoted`), with the time from which they are to be kept.
    private var idle: Deque<(user: User, since: Int64)> = []
    private let kept: KeptBytes
    private let load: (BareJID) -> EventLoopFuture<StoredUser?>
    private let now: () -> Int64
    private let waitingLimit: Int
    /// How long an idle user stays, in microseconds.
    private let keep: Int64

    init(
        kept: KeptBytes,
        load: @escaping (BareJID) -> EventLoopFuture<StoredUser?>,
        now: @escaping () -> Int64,
        waitingLimit: Int = 1_000,
        keep: Int64 = 30_000_000
    ) {
        self.kept = kept
        self.load = load
        self.now = now
        self.waitingLimit = waitingLimit
        self.keep = keep
    }

    var count: Int { users.count }
    var idleCount: Int { idle.count }
    var all: some Collection<User> { users.values }

    /// The user if it is in memory.
    subscript(_ jid: BareJID) -> User? { users[jid] }

    /// Gives the user, at once or after it was loaded.
    func with(_ jid: BareJID, _ completion: @escaping Completion) {
        if let user = users[jid] {
            user.lastNeeded = now()
            completion(.user(user))
            noteIfIdle(user)
            return
        }
        if let under = loading[jid] {
            guard under.waiting.count < waitingLimit else {
                completion(.failed(Overloaded()))
                return
            }
            loading[jid]?.waiting.append(completion)
            return
        }
        lastLoading += 1
        let number = lastLoading
        loading[jid] = Loading(number: number, waiting: [completion])
        load(jid).assumeIsolated().whenComplete { result in
            self.loaded(jid, number, result)
        }
    }

    /// An account was removed: it is forgotten, and those who wait learn that it does not exist.
    func remove(_ jid: BareJID) {
        users[jid] = nil
    }

    /// Forgets everybody. Who is being loaded is forgotten as well.
    func removeAll() {
        users.removeAll()
        idle.removeAll()
        stopLoading { _ in true }
    }

    /// What is being read of these users is of no use: another SM owns them, and may change what was read. Those who
    /// wait for it learn that.
    func stopLoading(_ isConcerned: (BareJID) -> Bool) {
        let concerned = loading.filter { isConcerned($0.key) }
        for jid in concerned.keys { loading[jid] = nil }
        for completion in concerned.values.flatMap(\.waiting) { completion(.failed(Moved())) }
    }

    /// To be called when a session or a piece of work of the user ended.
    func noteIfIdle(_ user: User) {
        guard user.isIdle, users[user.jid] === user else { return }
        user.lastNeeded = now()
        guard !user.isNoted else { return }
        user.isNoted = true
        idle.append((user: user, since: user.lastNeeded))
    }

    /// Forgets those who were idle for long enough; called by a timer.
    func sweep() {
        let limit = now() - keep
        while let (user, since) = idle.first, since <= limit {
            idle.removeFirst()
            user.isNoted = false
            guard user.isIdle, users[user.jid] === user else { continue }
            if user.lastNeeded <= since {
                users[user.jid] = nil
            } else {
                // Needed again since: the rest of its time begins there.
                user.isNoted = true
                idle.append((user: user, since: user.lastNeeded))
            }
        }
    }

    private func loaded(_ jid: BareJID, _ number: UInt64, _ result: Result<StoredUser?, any Error>) {
        guard loading[jid]?.number == number else { return }
        let waiting = loading.removeValue(forKey: jid)?.waiting ?? []
        let outcome: Outcome
        switch result {
        case .success(let stored?):
            let user = User(
                jid: jid,
                roster: Roster(stored.roster, requests: stored.requests),
                blocklist: Blocklist(stored.blocked.compactMap { try? JID($0) }),
                kept: KeptBytes(within: kept)
            )
            user.lastNeeded = now()
            users[jid] = user
            outcome = .user(user)
        case .success(nil): outcome = .nonexistent
        case .failure(let error): outcome = .failed(error)
        }
        for completion in waiting { completion(outcome) }
        if case .user(let user) = outcome { noteIfIdle(user) }
    }
}
