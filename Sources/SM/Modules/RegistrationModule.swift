// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import XML
import XMPPCore

/// XEP-0077: In-Band Registration (2.4): new accounts before login where the domain allows it, and for a user that is
/// logged in the change of the password and the removal of the account.
final class RegistrationModule: SMModule {
    private unowned let server: SMServer
    private var limiter = RegistrationLimiter()

    init(_ server: SMServer) {
        self.server = server
    }

    private var configuration: JackdawConfiguration.Registration { server.configuration.registration }

    var serverNamespaces: [String] { [Namespace.register] }
    var accountNamespaces: [String] { [Namespace.register] }

    func features(of entity: DiscoEntity) -> [String] {
        guard case .server(let domain) = entity else { return [] }
        let isThere =
            configuration.passwordChange || configuration.accountRemoval
            || server.configuration.allowsRegistration(at: domain)
        return isThere ? [Namespace.register] : []
    }

    // MARK: - Before login

    func registration(_ request: SessionMessage.Register, answer: @escaping (Stanza) -> Void) -> Bool {
        guard let query = try? request.iq.payloadElement("query", Namespace.register) else { return false }
        let refuse = { (error: StanzaError) in
            if let stanza = request.iq.error(error) { answer(stanza) }
        }
        guard server.configuration.allowsRegistration(at: request.domain) else {
            refuse(.serviceUnavailable)
            return true
        }
        if request.iq.type == "get" {
            answer(request.iq.reply(result: Self.form))
            return true
        }
        register(request, query) { error in
            if let error { refuse(error) } else { answer(request.iq.reply(result: nil)) }
        }
        return true
    }

    /// What a new account must tell (§3.1).
    private static let form = Element(
        "query",
        Namespace.register,
        elements: [
            Element("instructions", Namespace.register, text: "Choose a name and a password."),
            Element("username", Namespace.register),
            Element("password", Namespace.register),
        ]
    )

    private func register(
        _ request: SessionMessage.Register,
        _ query: Element,
        _ completion: @escaping (StanzaError?) -> Void
    ) {
        // §3.1: all that the form asks for.
        guard let name = query.child("username")?.text, let password = query.child("password")?.text,
            !name.isEmpty, !password.isEmpty
        else {
            return completion(StanzaError(.notAcceptable, type: .modify, text: "a name and a password are needed"))
        }
        guard let user = try? BareJID(local: name, domain: request.domain) else { return completion(.jidMalformed) }
        if let error = fault(of: password) { return completion(error) }
        let second = server.now() / 1_000_000
        guard limiter.admits(address: request.address, at: second, configuration) else {
            return completion(StanzaError(.resourceConstraint, type: .wait, text: "too many registrations"))
        }
        guard let accounts = server.accounts else { return completion(.databaseAway) }
        accounts.create(user, password: password).assumeIsolated().whenComplete { result in
            switch result {
            case .success: completion(nil)
            case .failure(let error):
                let isOurFault = error as? AccountError ?? .databaseAway == .databaseAway
                self.limiter.failed(address: request.address, counts: !isOurFault)
                completion(Self.stanzaError(error))
            }
        }
    }

    // MARK: - After login

    func requestToServer(_ passage: Passage, _ request: Element, domain: String) -> Verdict {
        guard let session = passage.session, session.jid.domain == domain else { return .pass }
        return request.name == "query" ? answer(passage, request, session) : .pass
    }

    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict {
        guard let session = passage.session, session.user === user, request.name == "query" else { return .pass }
        return answer(passage, request, session)
    }

    private func answer(_ passage: Passage, _ request: Element, _ session: Session) -> Verdict {
        guard passage.stanza.type == "set" else {
            var query = Element("query", Namespace.register, elements: [Element("registered", Namespace.register)])
            query.append(Element("username", Namespace.register, text: session.jid.local ?? ""))
            query.append(Element("password", Namespace.register))
            server.reply(to: passage, query)
            return .handled
        }
        if request.child("remove") != nil { return remove(passage, request, session) }
        return changePassword(passage, request, session)
    }

    /// §3.2: `<remove/>` alone.
    private func remove(_ passage: Passage, _ request: Element, _ session: Session) -> Verdict {
        guard configuration.accountRemoval else { return .error(.notAllowed) }
        guard request.childElements.count == 1 else { return .error(.badRequest) }
        guard let accounts = server.accounts else { return .error(.databaseAway) }
        let reply = passage.stanza.reply(result: nil)
        passage.hold()
        accounts.remove(session.user.jid, tellFirst: { self.server.send(reply, to: session) })
            .assumeIsolated().whenComplete { result in
                if case .failure(let error) = result {
                    self.server.replyError(to: passage, Self.stanzaError(error))
                }
                passage.release()
            }
        return .handled
    }

    /// §3.3: the own name and the new password.
    private func changePassword(_ passage: Passage, _ request: Element, _ session: Session) -> Verdict {
        guard configuration.passwordChange else { return .error(.notAllowed) }
        guard let name = request.child("username")?.text, let password = request.child("password")?.text else {
            return .error(.badRequest)
        }
        guard let user = try? BareJID(local: name, domain: session.jid.domain), user == session.user.jid else {
            return .error(.notAllowed)
        }
        if let error = fault(of: password) { return .error(error) }
        guard let accounts = server.accounts else { return .error(.databaseAway) }
        passage.hold()
        accounts.setPassword(password, of: user).assumeIsolated().whenComplete { result in
            switch result {
            case .success: self.server.reply(to: passage)
            case .failure(let error): self.server.replyError(to: passage, Self.stanzaError(error))
            }
            passage.release()
        }
        return .handled
    }

    private func fault(of password: String) -> StanzaError? {
        let minimum = configuration.passwordLengthMinimum
        guard password.unicodeScalars.count < minimum else { return nil }
        return StanzaError(.notAcceptable, type: .modify, text: "a password has at least \(minimum) characters")
    }

    private static func stanzaError(_ error: any Error) -> StanzaError {
        switch error as? AccountError {
        case .exists: .conflict
        case .badAddress: .jidMalformed
        case .badPassword: StanzaError(.notAcceptable, type: .modify, text: "the password has forbidden characters")
        case .notFound: .itemNotFound
        case .tooMany: StanzaError(.resourceConstraint, type: .cancel, text: "no more accounts are made here")
        case .databaseAway, nil: .databaseAway
        }
    }
}

/// How many accounts strangers may make, and how often they may fail: from one address, and all together, in each
/// period.
///
/// A pure value; times are seconds. Memory is bounded by the number of addresses that it remembers.
struct RegistrationLimiter {
    /// What came from one address.
    private struct Tally {
        /// Accounts, and tries that are under way.
        var made = 0
        var failed = 0
    }

    /// Addresses that can be told apart in a period; more of them wait for the next one.
    private static let addresses = 10_000

    private var periodStart: Int64 = 0
    private var tallies: [String: Tally] = [:]
    private var sum = 0

    /// Whether one more may be tried, which counts it.
    mutating func admits(
        address: String,
        at second: Int64,
        _ limits: JackdawConfiguration.Registration
    ) -> Bool {
        let period = max(1, limits.period.components.seconds)
        if second >= periodStart + period {
            periodStart = second
            tallies = [:]
            sum = 0
        }
        guard tallies[address] != nil || tallies.count < Self.addresses else { return false }
        let tally = tallies[address, default: Tally()]
        guard sum < limits.total, tally.made < limits.perAddress, tally.failed < limits.failuresPerAddress else {
            return false
        }
        tallies[address, default: Tally()].made += 1
        sum += 1
        return true
    }

    /// One that was admitted made no account; `counts`: by the fault of who tried.
    mutating func failed(address: String, counts: Bool) {
        // The period may have ended meanwhile.
        guard let tally = tallies[address], tally.made > 0 else { return }
        tallies[address]?.made -= 1
        sum -= 1
        if counts { tallies[address]?.failed += 1 }
    }
}
