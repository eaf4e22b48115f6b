// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// The server's side of one SASL negotiation (RFC 6120 section 6), as a pure value.
///
/// ```
/// idle --begin--> [waiting for the initial response] --> needCredentials --credentialsLoaded--> challenge
///      --responseReceived--> success | failure                                       (SCRAM)
///      --begin--> needPasswordCheck --passwordChecked--> success | failure           (PLAIN)
/// ```
///
/// After a failure the machine takes the next `begin`; after a success nothing. Whether the user exists shows in no
/// action: the steps, the salt and the failure are those of a wrong password.
package struct SASLServerStateMachine: Sendable {
    /// What the negotiation depends on.
    package struct Configuration: Sendable {
        /// The domain of the stream, prepared.
        package var domain: String
        /// What the stream features announced; nothing else is taken.
        package var offered: [SASLMechanism]
        package var bindings: ChannelBindings
        /// The secret behind the salts of users that do not exist: the same for all processes and for long.
        package var serverSecret: [UInt8]
        /// The iterations that credentials have; a user that does not exist shows one of them.
        package var iterations: [Int]

        package init(
            domain: String,
            offered: [SASLMechanism],
            bindings: ChannelBindings,
            serverSecret: [UInt8],
            iterations: [Int]
        ) {
            self.domain = domain
            self.offered = offered
            self.bindings = bindings
            self.serverSecret = serverSecret
            self.iterations = iterations
        }
    }

    /// What to do next.
    package enum Action: Hashable, Sendable {
        /// Send `<challenge/>` with this text (base64 already; empty for an empty challenge).
        case challenge(String)
        /// Look up the user's credentials for the hash and call `credentialsLoaded`.
        case needCredentials(username: String, hash: SCRAMHash)
        /// Look up any credentials of the user, run `matches(prepared:)` on a thread pool (on `decoy` if there are
        /// none), and call `passwordChecked`.
        case needPasswordCheck(username: String, password: String)
        /// Send `<success/>` with this text (base64 already; nil for none). The username is a prepared local part.
        case success(username: String, text: String?)
        /// Send `<failure/>`.
        case failure(SASLFailure)
    }

    private enum State: Sendable {
        case idle
        case awaitingInitialResponse(SASLMechanism, nonce: String)
        case awaitingCredentials(SCRAMServer)
        case awaitingFinal(SCRAMServer)
        case awaitingPasswordCheck(username: String)
        case done
    }

    package let configuration: Configuration
    /// The mechanism of the running or finished negotiation.
    package private(set) var mechanism: SASLMechanism?
    private var state = State.idle

    package init(_ configuration: Configuration) {
        self.configuration = configuration
    }

    /// The stand-in for the credentials of a user who does not exist, for `needPasswordCheck`.
    package func decoy(username: String, hash: SCRAMHash) -> SCRAMCredentials {
        .decoy(
            username: username,
            domain: configuration.domain,
            hash: hash,
            iterations: configuration.iterations,
            secret: configuration.serverSecret
        )
    }

    /// The client sent `<auth/>`. The initial response is its text: empty means that there is none, `=` an empty one.
    /// The nonce is fresh random text of printable ASCII without a comma.
    package mutating func begin(mechanism name: String, initialResponse: String, nonce: String) -> Action {
        if case .done = state { return .failure(.malformedRequest) }
        self.mechanism = nil
        guard let mechanism = SASLMechanism(rawValue: name), configuration.offered.contains(mechanism) else {
            return fail(.invalidMechanism)
        }
        self.mechanism = mechanism
        if initialResponse.isEmpty {
            state = .awaitingInitialResponse(mechanism, nonce: nonce)
            return .challenge("")
        }
        guard let bytes = initialResponse == "=" ? [] : Digest.base64Decode(initialResponse) else {
            return fail(.incorrectEncoding)
        }
        return start(mechanism, bytes, nonce)
    }

    /// The client sent `<response/>` with this text.
    package mutating func responseReceived(_ text: String) -> Action {
        guard let bytes = text == "=" ? [] : Digest.base64Decode(text) else {
            return fail(.incorrectEncoding)
        }
        switch state {
        case .awaitingInitialResponse(let mechanism, let nonce):
            return start(mechanism, bytes, nonce)
        case .awaitingFinal(let scram):
            return finish(scram, bytes)
        case .idle, .awaitingCredentials, .awaitingPasswordCheck, .done:
            return fail(.malformedRequest)
        }
    }

    /// The client sent `<abort/>`.
    package mutating func aborted() -> Action {
        fail(.aborted)
    }

    /// The credentials of the user are here; nil if there is no such user or the account has none of this hash.
    package mutating func credentialsLoaded(_ credentials: SCRAMCredentials?) -> Action {
        guard case .awaitingCredentials(var scram) = state else { return .failure(.malformedRequest) }
        let usable = credentials.flatMap { $0.hash == scram.hash ? $0 : nil }
        scram.isKnown = usable != nil
        scram.credentials = usable ?? decoy(username: scram.first.username, hash: scram.hash)
        state = .awaitingFinal(scram)
        return .challenge(Digest.base64(Array(scram.serverFirst.utf8)))
    }

    /// The credentials cannot be looked up now.
    package mutating func credentialsUnavailable() -> Action {
        fail(.temporaryAuthFailure)
    }

    /// The result of `needPasswordCheck`: whether the user exists and the password is right.
    package mutating func passwordChecked(_ isRight: Bool) -> Action {
        guard case .awaitingPasswordCheck(let username) = state, isRight else { return fail(.notAuthorized) }
        state = .done
        return .success(username: username, text: nil)
    }
}

extension SASLServerStateMachine {
    private mutating func fail(_ failure: SASLFailure) -> Action {
        if case .done = state { return .failure(failure) }
        state = .idle
        return .failure(failure)
    }

    private mutating func start(_ mechanism: SASLMechanism, _ bytes: [UInt8], _ nonce: String) -> Action {
        do throws(SASLFailure) {
            guard let hash = mechanism.hash else {
                let message = try PlainMessage(bytes)
                try check(authzid: message.authzid, of: message.username)
                state = .awaitingPasswordCheck(username: message.username)
                return .needPasswordCheck(username: message.username, password: message.password)
            }
            let first = try SCRAMClientFirst(bytes)
            let binding = try bindingData(first.binding, mechanism)
            try check(authzid: first.authzid, of: first.username)
            state = .awaitingCredentials(SCRAMServer(hash: hash, first: first, bindingData: binding, nonce: nonce))
            return .needCredentials(username: first.username, hash: hash)
        } catch {
            return fail(error)
        }
    }

    private mutating func finish(_ scram: SCRAMServer, _ bytes: [UInt8]) -> Action {
        do throws(SASLFailure) {
            let signature = try scram.verify(bytes)
            state = .done
            return .success(username: scram.first.username, text: Digest.base64(Array("v=\(signature)".utf8)))
        } catch {
            return fail(error)
        }
    }

    /// The rules against downgrades (RFC 5802 section 6); the data that the client must present.
    private func bindingData(_ flag: GS2Binding, _ mechanism: SASLMechanism) throws(SASLFailure) -> [UInt8] {
        switch flag {
        case .unsupported:
            guard !mechanism.usesChannelBinding else { throw .malformedRequest }
            return []
        case .supportedByClient:
            guard !mechanism.usesChannelBinding else { throw .malformedRequest }
            // The client believes that we cannot; we offered it: someone in between took it out.
            guard !configuration.offered.contains(where: \.usesChannelBinding) else { throw .notAuthorized }
            return []
        case .used(let name):
            guard mechanism.usesChannelBinding, let kind = ChannelBindings.Kind(rawValue: name),
                let data = configuration.bindings[kind]
            else { throw .malformedRequest }
            return data
        }
    }

    /// An authorisation identity may be given, but only that of the user (RFC 6120 section 6.3.8).
    private func check(authzid: String?, of username: String) throws(SASLFailure) {
        guard let authzid else { return }
        let own = BareJID(preparedLocal: username, domain: configuration.domain)
        guard (try? BareJID(authzid)) == own else { throw .invalidAuthzid }
    }
}
