// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import XMPPCore

/// The requests of `jackdawctl` that the SM answers (`docs/administration.md`), beside `status`.
///
/// Confined to the server's event loop; made for it once, and kept alive by the responder.
final class AdministrationCommands {
    private typealias Rows = EventLoopFuture<[[AdminField]]>
    private typealias Failure = AdminResponse.Failure

    private unowned let server: SMServer
    private let accounts: Accounts
    private static let pageLimit = 500
    private static let pageBytes = 256 << 10

    init(_ server: SMServer, _ accounts: Accounts) {
        self.server = server
        self.accounts = accounts
    }

    func register(at responder: AdminResponder) {
        register("user-add", at: responder, userAdd)
        register("user-passwd", at: responder, userPasswd)
        register("user-remove", at: responder, userRemove)
        register("user-list", at: responder, userList)
        register("session-list", at: responder, sessionList)
        register("session-kick", at: responder, sessionKick)
        register("message-trace", at: responder, messageTrace)
    }

    private func register(
        _ command: String,
        at responder: AdminResponder,
        _ body: @escaping (AdminRequest) throws(AdminResponse.Failure) -> EventLoopFuture<[[AdminField]]>
    ) {
        let eventLoop = server.eventLoop
        responder.register(command) { request in
            do throws(AdminResponse.Failure) {
                return try body(request)
            } catch {
                return eventLoop.makeFailedFuture(error)
            }
        }
    }

    // MARK: - Users

    private func userAdd(_ request: AdminRequest) throws(Failure) -> Rows {
        let user = try Self.account(request)
        let password = try Self.argument("password", of: request)
        return Self.answer(accounts.create(user, password: password), user)
    }

    private func userPasswd(_ request: AdminRequest) throws(Failure) -> Rows {
        let user = try Self.account(request)
        let password = try Self.argument("password", of: request)
        return Self.answer(accounts.setPassword(password, of: user), user)
    }

    private func userRemove(_ request: AdminRequest) throws(Failure) -> Rows {
        let user = try Self.account(request)
        let accounts = accounts
        return server.asOwner(of: user) { Self.answer(accounts.remove(user), user) }
    }

    private func userList(_ request: AdminRequest) throws(Failure) -> Rows {
        let domain = request["domain"].map { (try? BareJID.prepareDomain($0)) ?? $0 }
        let isHosted = domain.map(server.hosted.contains) ?? true
        let after = try Self.address("after", of: request)?.bare
        let rows = server.stores.accounts.list(domain: domain, after: after, limit: Self.limit(of: request))
        let table = server.users
        return rows.assumeIsolated().flatMapThrowing { rows in
            // What is left of a domain that was hosted once is listed.
            if rows.isEmpty, !isHosted, after == nil {
                throw Failure("item-not-found", "\(domain ?? "") is not a domain of this server, and has no accounts")
            }
            return self.page(
                rows.lazy.map { row in
                    [
                        AdminField("user", row.user.description),
                        AdminField("created", DateTime.format(epochSeconds: row.created / 1_000_000)),
                        AdminField("sessions", String(table[row.user]?.sessions.count ?? 0)),
                    ]
                }
            )
        }.nonisolated().flatMapErrorThrowing { error in throw error as? Failure ?? Self.databaseAway }
    }

    // MARK: - Sessions

    private func sessionList(_ request: AdminRequest) throws(Failure) -> Rows {
        let user = try Self.address("user", of: request)?.bare
        let after = request["after"] ?? ""
        let limit = Self.limit(of: request)
        let chosen =
            if let user {
                Self.first(limit, of: server.users[user]?.sessions ?? [], after: after)
            } else {
                Self.first(limit, of: server.sessions.values, after: after)
            }
        return server.eventLoop.makeSucceededFuture(page(chosen.lazy.map(row)))
    }

    /// The first sessions behind an address, in the order of addresses: one pass, in which few are sorted.
    private static func first(_ limit: Int, of sessions: some Sequence<Session>, after: String) -> [Session] {
        var chosen: [Session] = []
        var bound: String?
        let isBefore = { (left: Session, right: Session) in left.jidText < right.jidText }
        for session in sessions where session.jidText > after {
            if let bound, session.jidText >= bound { continue }
            chosen.append(session)
            guard chosen.count >= 2 * limit else { continue }
            chosen.sort(by: isBefore)
            chosen.removeLast(chosen.count - limit)
            bound = chosen.last?.jidText
        }
        return Array(chosen.sorted(by: isBefore).prefix(limit))
    }

    private func row(_ session: Session) -> [AdminField] {
        [
            AdminField("jid", session.jidText),
            AdminField("instance", Self.short(session.instance)),
            AdminField("manager", manager),
            AdminField("state", session.isAttached ? "attached" : "detached"),
            AdminField("since", DateTime.format(epochSeconds: session.opened / 1_000_000)),
            AdminField("address", session.address),
            AdminField("tls", session.tls),
            AdminField("mechanism", session.mechanism),
            AdminField("priority", session.isAvailable ? String(session.priority) : ""),
            AdminField("resumable", String(session.resumption != nil)),
            AdminField("unacknowledged", String(session.outbox.count)),
        ]
    }

    private func sessionKick(_ request: AdminRequest) throws(Failure) -> Rows {
        _ = try Self.argument("jid", of: request)
        guard let jid = try Self.address("jid", of: request) else { throw Self.databaseAway }
        let server = server
        return server.asOwner(of: jid.bare) {
            let sessions = (server.users[jid.bare]?.sessions ?? []).filter { jid.isBare || $0.jid == jid }
            guard !sessions.isEmpty else {
                return server.eventLoop.makeFailedFuture(Failure("item-not-found", "\(jid) has no session"))
            }
            for session in sessions {
                session.resumption = nil
                server.end(session, .ended(condition: .policyViolation, text: "ended by an administrator"))
            }
            return server.eventLoop.makeSucceededFuture(sessions.map { [AdminField("jid", $0.jid.description)] })
        }
    }

    // MARK: - Messages

    /// What is in memory can be told while the database is away, and is then asked for alone.
    private func messageTrace(_ request: AdminRequest) throws(Failure) -> Rows {
        let id = try Self.argument("id", of: request)
        let inMemory = { (server: SMServer) in request["place"] == "spool" ? [] : server.trace(id) }
        guard request["place"] != "memory" else {
            return server.eventLoop.makeSucceededFuture(page(inMemory(server).lazy.map(row)))
        }
        let server = server
        return server.stores.spool.find(stableID: id).assumeIsolated().map { places in
            // What a session holds of the spool is one message in one place more.
            let rows = places.map { place in
                MessageTrace(place: .spool, user: place.user, isStored: true, since: place.stored)
            }
            return self.page((inMemory(server) + rows).lazy.map(self.row))
        }.nonisolated().flatMapErrorThrowing { error in throw error as? Failure ?? Self.databaseAway }
    }

    private func row(_ trace: MessageTrace) -> [AdminField] {
        [
            AdminField("place", trace.place.rawValue),
            AdminField("user", trace.user.description),
            AdminField("session", trace.jid?.description ?? ""),
            AdminField("instance", trace.instance.map(Self.short) ?? ""),
            // A row is nobody's in particular: whoever is asked tells the same of it.
            AdminField("manager", trace.place == .spool ? "" : manager),
            AdminField("stored", String(trace.isStored)),
            AdminField("since", DateTime.format(epochMicroseconds: trace.since)),
        ]
    }

    // MARK: - Arguments and answers

    /// This instance, as `status` names it.
    private var manager: String { Self.short(server.link.instanceName) }

    private static func short(_ instance: String) -> String {
        InstanceName(routerName: instance)?.description ?? instance
    }

    private static func argument(_ name: String, of request: AdminRequest) throws(Failure) -> String {
        guard let value = request[name] else { throw Failure("bad-request", "the argument '\(name)' is missing") }
        return value
    }

    private static func address(_ name: String, of request: AdminRequest) throws(Failure) -> JID? {
        guard let text = request[name] else { return nil }
        do throws(JIDError) {
            return try JID(text)
        } catch {
            throw Failure("jid-malformed", "'\(text)' is not an address: \(error)")
        }
    }

    private static func account(_ request: AdminRequest) throws(Failure) -> BareJID {
        let text = try argument("user", of: request)
        guard let jid = try address("user", of: request), jid.isBare, jid.local != nil else {
            throw Failure("jid-malformed", "'\(text)' is not an account; it has the form name@domain")
        }
        return jid.bare
    }

    /// As many rows as one answer carries, one at least; the next page begins behind them.
    private func page(_ rows: some Sequence<[AdminField]>) -> [[AdminField]] {
        let most = min(Self.pageBytes, server.configuration.largestStanza / 2)
        var page: [[AdminField]] = []
        var bytes = 0
        for row in rows {
            bytes += row.reduce(11) { $0 + 24 + $1.name.utf8.count + EncodedSize.of($1.value) }
            guard page.isEmpty || bytes <= most else { break }
            page.append(row)
        }
        return page
    }

    private static func limit(of request: AdminRequest) -> Int {
        min(max(request["limit"].flatMap { Int($0) } ?? pageLimit, 1), pageLimit)
    }

    private static let databaseAway = Failure("service-unavailable", "the database is away")

    private static func answer(_ work: EventLoopFuture<Void>, _ user: BareJID) -> Rows {
        work.map { [[AdminField("user", user.description)]] }.flatMapErrorThrowing { error in
            throw failure(error as? AccountError ?? .databaseAway, user)
        }
    }

    private static func failure(_ error: AccountError, _ user: BareJID) -> Failure {
        switch error {
        case .exists: Failure("conflict", "\(user) exists")
        case .notFound: Failure("item-not-found", "there is no user \(user)")
        case .badAddress: Failure("item-not-found", "\(user.domain) is not a domain of this server")
        case .badPassword: Failure("not-acceptable", "the password is empty or has characters that are not allowed")
        case .tooMany: Failure("resource-constraint", "the limit of accounts (sm.limits.accounts) is reached")
        case .databaseAway: databaseAway
        }
    }
}
