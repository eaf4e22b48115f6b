// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SASL

/// A client's way from the TCP connection to a session, as a value: RFC 6120 sections 4 to 7, RFC 6121 sections 2.2
/// and 4.2; on request stream management (XEP-0198), or a registration and nothing more (XEP-0077).
///
/// ```
/// header -> features -> [starttls -> proceed -> (TLS) -> header -> features] -> auth -> [challenge]
///     -> success -> header -> features -> bind -> [session] -> [enable] -> roster and presence -> ready
///                                      -> [resume -> resumed -> ready | failed -> bind]
/// ```
struct LoginStateMachine {
    enum State {
        case awaitingFeatures(isEncrypted: Bool)
        case awaitingProceed
        case registering
        case authenticating(SCRAMClient?)
        case awaitingBindFeatures
        case resuming(features: String)
        case binding(features: String)
        case openingSession(features: String)
        case enabling
        case awaiting(roster: Bool, presence: Bool)
        case ready
        case failed
    }

    enum Action: Equatable {
        case send(String)
        case startTLS
        case restartStream
        case ready
        case failed(String)
        case nothing
    }

    struct Account: Sendable {
        let user: String
        let domain: String
        let password: String
        let mechanism: LoadMechanism
    }

    /// What the client does beside authenticating.
    struct Plan: Sendable {
        /// Whether TLS is wanted; by STARTTLS where the connection has none yet.
        var usesTLS = true
        /// Makes the account instead of logging in; some servers want another stream for that.
        var registers = false
        var resource = "load"
        var streamManagement = false
        /// Asks for a session that can be resumed.
        var resumption = false
        /// The session to resume: its token, and how many stanzas arrived in it. If the server refuses, a new one begins.
        var resumes: (token: String, received: UInt32)?
        var fetchesRoster = true
        var sendsPresence = true
        /// Whether the server lets a client see its own presence (RFC 6121 section 4.2.2).
        var seesOwnPresence = true
    }

    /// What came of the wish to resume.
    enum Resumption: Equatable, Sendable {
        case none
        /// With the server's count of stanzas.
        case resumed(handled: UInt32)
        /// With the server's count, if it still knew the session, and the reason.
        case refused(handled: UInt32?, reason: String)
    }

    private(set) var state: State
    /// The full address, as the server gave it.
    private(set) var address = ""
    /// Whether stream management is on (XEP-0198).
    private(set) var isManaged = false
    /// What a later connection can resume the session with.
    private(set) var token: String?
    private(set) var resumption = Resumption.none
    private let account: Account
    private let plan: Plan

    init(account: Account, plan: Plan, isEncrypted: Bool) {
        self.account = account
        self.plan = plan
        state = .awaitingFeatures(isEncrypted: isEncrypted || !plan.usesTLS)
    }

    var header: String {
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
            + "to='\(account.domain)' version='1.0'>"
    }

    var isReady: Bool {
        if case .ready = state { true } else { false }
    }

    mutating func received(_ stanza: ReceivedStanza, nonce: String, passwords: SaltedPasswords) -> Action {
        switch (state, stanza.name) {
        case (.awaitingFeatures(isEncrypted: false), "features"):
            state = .awaitingProceed
            return .send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        case (.awaitingProceed, "proceed"):
            state = .awaitingFeatures(isEncrypted: true)
            return .startTLS
        case (.awaitingFeatures(isEncrypted: true), "features"):
            return plan.registers ? register() : authenticate(stanza.text, nonce: nonce)
        case (.registering, "iq"): return registered(stanza)
        case (.authenticating(let scram), "challenge"): return respond(to: stanza, scram, passwords)
        case (.authenticating(let scram), "success"): return authenticated(stanza, scram)
        case (.awaitingBindFeatures, "features"): return begin(stanza.text)
        case (.resuming, "resumed"): return resumed(stanza)
        case (.resuming(let features), "failed"):
            resumption = .refused(handled: stanza["h"].flatMap { UInt32($0) }, reason: Self.condition(stanza))
            return bind(features)
        case (.binding(let features), "iq") where stanza.has("type", "result"): return bound(stanza, features)
        case (.openingSession(let features), "iq") where stanza.has("type", "result"): return opened(features)
        case (.enabling, "enabled"):
            isManaged = true
            if stanza.has("resume", "true") || stanza.has("resume", "1") { token = stanza["id"] }
            return announce()
        case (.awaiting(let roster, let presence), _): return arrived(stanza, roster: roster, presence: presence)
        case (.enabling, "presence"), (.enabling, "message"), (.ready, _): return .nothing
        default: return fail("<\(stanza.name)> \(stanza.text.prefix(300))")
        }
    }

    private mutating func fail(_ reason: String) -> Action {
        state = .failed
        return .failed(reason)
    }

    private mutating func register() -> Action {
        state = .registering
        return .send(
            "<iq type='set' id='register'><query xmlns='jabber:iq:register'><username>\(account.user)</username>"
                + "<password>\(account.password)</password></query></iq>"
        )
    }

    /// An account that is there already will do.
    private mutating func registered(_ stanza: ReceivedStanza) -> Action {
        guard stanza.has("type", "result") || stanza.text.contains("<conflict") else {
            return fail("no registration: \(stanza.text.prefix(300))")
        }
        state = .ready
        return .ready
    }

    private mutating func authenticate(_ features: String, nonce: String) -> Action {
        guard features.contains(">\(account.mechanism.rawValue)<") else {
            return fail("\(account.mechanism.rawValue) is not offered: \(features.prefix(1_000))")
        }
        let scram = account.mechanism.hash.map {
            SCRAMClient(hash: $0, username: account.user, password: account.password, nonce: nonce)
        }
        let initial = scram?.first ?? "\0\(account.user)\0\(account.password)"
        state = .authenticating(scram)
        return .send(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='\(account.mechanism.rawValue)'>"
                + Digest.base64(Array(initial.utf8)) + "</auth>"
        )
    }

    private mutating func respond(
        to challenge: ReceivedStanza,
        _ scram: SCRAMClient?,
        _ passwords: SaltedPasswords
    ) -> Action {
        guard var scram, let hash = account.mechanism.hash, let bytes = Digest.base64Decode(challenge.content),
            let final = try? scram.final(
                serverFirst: String(decoding: bytes, as: UTF8.self),
                saltedPassword: { [account] in
                    passwords.salted(hash, password: account.password, salt: $0, iterations: $1)
                }
            )
        else {
            // The signature may come as a challenge instead of with `<success/>` (RFC 6120 section 6.3.10).
            if let scram, verifies(challenge, scram) {
                return .send("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
            }
            return fail("a challenge that is none: \(challenge.text.prefix(300))")
        }
        state = .authenticating(scram)
        return .send(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\(Digest.base64(Array(final.utf8)))</response>"
        )
    }

    private func verifies(_ stanza: ReceivedStanza, _ scram: SCRAMClient) -> Bool {
        guard let bytes = Digest.base64Decode(stanza.content) else { return false }
        return (try? scram.verify(serverFinal: String(decoding: bytes, as: UTF8.self))) != nil
    }

    private mutating func authenticated(_ success: ReceivedStanza, _ scram: SCRAMClient?) -> Action {
        if let scram, !success.content.isEmpty, !verifies(success, scram) {
            return fail("a wrong signature: \(success.text.prefix(300))")
        }
        state = .awaitingBindFeatures
        return .restartStream
    }

    private mutating func begin(_ features: String) -> Action {
        guard let resumes = plan.resumes else { return bind(features) }
        state = .resuming(features: features)
        return .send("<resume xmlns='urn:xmpp:sm:3' previd='\(resumes.token)' h='\(resumes.received)'/>")
    }

    private mutating func resumed(_ stanza: ReceivedStanza) -> Action {
        guard let handled = stanza["h"].flatMap({ UInt32($0) }) else { return fail("resumed without h") }
        resumption = .resumed(handled: handled)
        token = plan.resumes?.token
        isManaged = true
        state = .ready
        return .ready
    }

    /// The name of the first child.
    private static func condition(_ stanza: ReceivedStanza) -> String {
        let child = stanza.text.split(separator: "<").dropFirst().first ?? ""
        return String(child.prefix { $0 != " " && $0 != "/" && $0 != ">" })
    }

    private mutating func bind(_ features: String) -> Action {
        state = .binding(features: features)
        return .send(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>\(plan.resource)</resource>"
                + "</bind></iq>"
        )
    }

    private mutating func bound(_ result: ReceivedStanza, _ features: String) -> Action {
        let parts = result.text.split(separator: "<jid>", maxSplits: 1)
        guard parts.count == 2, let end = parts[1].firstIndex(of: "<") else {
            return fail("no address: \(result.text.prefix(300))")
        }
        address = String(parts[1][..<end])
        // RFC 6121 section 1.4: only old servers still need it, and do not say that it is optional.
        guard let session = features.split(separator: "<session", maxSplits: 1).dropFirst().first,
            !session.prefix(80).contains("optional")
        else { return opened(features) }
        state = .openingSession(features: features)
        return .send("<iq type='set' id='session'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>")
    }

    private mutating func opened(_ features: String) -> Action {
        guard plan.streamManagement else { return announce() }
        guard features.contains("urn:xmpp:sm:3") else { return fail("no XEP-0198: \(features.prefix(1_000))") }
        state = .enabling
        let resume = plan.resumption ? " resume='true'" : ""
        return .send("<enable xmlns='urn:xmpp:sm:3'\(resume)/>")
    }

    /// Stanzas of the login that follow `<enable/>`, and are counted with what the client sends later.
    var countedStanzas: Int { isManaged ? (plan.fetchesRoster ? 1 : 0) + (plan.sendsPresence ? 1 : 0) : 0 }

    private mutating func announce() -> Action {
        guard plan.fetchesRoster || plan.sendsPresence else {
            state = .ready
            return .ready
        }
        state = .awaiting(roster: plan.fetchesRoster, presence: plan.sendsPresence && plan.seesOwnPresence)
        let roster = plan.fetchesRoster ? "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>" : ""
        let presence = plan.sendsPresence ? "<presence/>" : ""
        // Where nothing comes back for the presence, the roster that is asked for after it tells that it was seen.
        return .send(plan.seesOwnPresence ? roster + presence : presence + roster)
    }

    /// Ready is who has the roster and has seen the own presence come back (RFC 6121 section 4.2.2).
    private mutating func arrived(_ stanza: ReceivedStanza, roster: Bool, presence: Bool) -> Action {
        var (roster, presence) = (roster, presence)
        switch stanza.kind {
        case .iq where stanza.has("id", "roster"):
            guard stanza.has("type", "result") else { return fail("no roster: \(stanza.text.prefix(300))") }
            roster = false
        case .presence where stanza["from"] == address: presence = false
        case .other: return fail("<\(stanza.name)> \(stanza.text.prefix(300))")
        default: return .nothing
        }
        state = roster || presence ? .awaiting(roster: roster, presence: presence) : .ready
        return roster || presence ? .nothing : .ready
    }
}
