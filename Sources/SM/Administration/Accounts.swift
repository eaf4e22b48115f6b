// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import SASL
import Storage
import XMPPCore

/// Why an account was not made, changed or removed.
enum AccountError: Error, Equatable {
    case exists
    case notFound
    /// The address is not one of a hosted domain's accounts.
    case badAddress
    /// The password is empty or has characters that RFC 8265 forbids.
    case badPassword
    /// The limit of accounts is reached.
    case tooMany
    case databaseAway
}

/// Making, changing and removing accounts, for administrators and for XEP-0077.
///
/// Any SM makes an account, or sets a password: that is rows alone, and nobody remembers that there is no such account.
/// The user's owner removes it, since it has the sessions (`SMServer.asOwner`).
///
/// Confined to the server's event loop; what is derived of a password is derived elsewhere (`derive`). Futures fail
/// with `AccountError`.
final class Accounts {
    /// Derives the credentials of a password on a thread pool; fails with `AccountError.badPassword`.
    typealias Derive = (String) -> EventLoopFuture<[CredentialRow]>

    private unowned let server: SMServer
    private let derive: Derive

    init(_ server: SMServer, derive: @escaping Derive) {
        self.server = server
        self.derive = derive
    }

    /// One verifier for each hash of SCRAM, each with a salt of its own. Takes milliseconds.
    static func credentials(of password: String, iterations: Int) throws -> [CredentialRow] {
        guard !password.isEmpty else { throw AccountError.badPassword }
        return try SCRAMHash.allCases.map { hash in
            guard let derived = try? SCRAMCredentials.derive(password: password, hash: hash, iterations: iterations)
            else { throw AccountError.badPassword }
            return CredentialRow(
                hash: hash.rawValue,
                iterations: derived.iterations,
                salt: derived.salt,
                storedKey: derived.storedKey,
                serverKey: derived.serverKey
            )
        }
    }

    func create(_ user: BareJID, password: String) -> EventLoopFuture<Void> {
        guard isOurs(user) else { return server.eventLoop.makeFailedFuture(AccountError.badAddress) }
        let accounts = server.stores.accounts
        let limit = server.configuration.sm.limits.accounts
        // The password last: to derive it takes milliseconds of a thread.
        let asked = accounts.exists(user).and(accounts.count(domain: nil)).flatMapThrowing { exists, count in
            if exists { throw AccountError.exists }
            guard count < limit else { throw AccountError.tooMany }
        }
        let work = asked.assumeIsolated().flatMap { self.derive(password) }
            .flatMap { accounts.create(user, credentials: $0) }
        return Self.checked(work.nonisolated(), else: .exists)
    }

    func setPassword(_ password: String, of user: BareJID) -> EventLoopFuture<Void> {
        guard isOurs(user) else { return server.eventLoop.makeFailedFuture(AccountError.notFound) }
        let accounts = server.stores.accounts
        let work = derive(password).assumeIsolated().flatMap { accounts.setCredentials($0, of: user) }
        return Self.checked(work.nonisolated(), else: .notFound)
    }

    /// Removes every row of the user, then ends the sessions and tells the contacts that the subscriptions are over
    /// (RFC 6121 §2.5.2 for each of them). Also for an account of a domain that is hosted no longer.
    ///
    /// - Parameters:
    ///   - jid: the account.
    ///   - tellFirst: called when the rows are gone and the sessions are still there, to answer one of them.
    /// - Returns: done when the rows are gone and the sessions ended.
    func remove(_ jid: BareJID, tellFirst: @escaping () -> Void = {}) -> EventLoopFuture<Void> {
        guard jid.local != nil else { return server.eventLoop.makeFailedFuture(AccountError.notFound) }
        let promise = server.eventLoop.makePromise(of: Void.self)
        server.users.with(jid) { outcome in
            switch outcome {
            case .nonexistent: promise.fail(AccountError.notFound)
            case .failed: promise.fail(AccountError.databaseAway)
            case .user(let user): self.remove(user, promise, tellFirst)
            }
        }
        return promise.futureResult
    }

    private func remove(_ user: User, _ promise: EventLoopPromise<Void>, _ tellFirst: @escaping () -> Void) {
        server.stores.accounts.remove(user.jid).assumeIsolated().whenComplete { result in
            switch result {
            case .failure: promise.fail(AccountError.databaseAway)
            // Without rows and yet in memory: the answer to an earlier try was lost, and that removed them.
            case .success where user.isRemoved: promise.fail(AccountError.notFound)
            case .success:
                tellFirst()
                self.forget(user)
                if user.isMoved { self.tellOthers(of: user.jid) }
                promise.succeed()
            }
        }
    }

    private func forget(_ user: User) {
        user.isRemoved = true
        for session in user.sessions {
            session.resumption = nil
            server.end(session, .ended(condition: .notAuthorized, text: "the account was removed"))
        }
        if server.users[user.jid] === user { server.users.remove(user.jid) }
        // For a domain that is hosted no longer we speak to our own users only: the router would refuse more.
        for (contact, types) in user.roster.cancellations
        where isOurs(user.jid) || server.hosted.contains(contact.domain) {
            for type in types {
                server.route(Stanza(kind: .presence, to: JID(contact), from: user.address, type: type))
            }
        }
        for module in server.chain.modules { module.userRemoved(user.jid) }
    }

    /// The user went to another SM while the rows were removed, which may have read them before: it does the rest.
    private func tellOthers(of user: BareJID) {
        // It may have come back to us.
        if let returned = server.users[user] { forget(returned) }
        for instance in server.instances.keys where instance.isOwner {
            // What it answers is of no matter: also that it has never heard of the user.
            let request = AdminRequest(
                id: server.nextRequestID(),
                command: "user-remove",
                arguments: [AdminField("user", user.description)]
            )
            server.link.send(request, to: instance)
        }
    }

    private func isOurs(_ user: BareJID) -> Bool {
        user.local != nil && server.hosted.contains(user.domain)
    }

    /// False becomes `failure`; what the database says becomes `databaseAway`.
    private static func checked(_ work: EventLoopFuture<Bool>, else failure: AccountError) -> EventLoopFuture<Void> {
        work.flatMapThrowing { isDone in
            if !isDone { throw failure }
        }.flatMapErrorThrowing { error in
            throw error as? AccountError ?? AccountError.databaseAway
        }
    }
}
