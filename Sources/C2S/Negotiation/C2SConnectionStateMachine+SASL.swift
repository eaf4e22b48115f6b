// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SASL
import XML
import XMPPCore

// RFC 6120 §6: SASL. The mechanisms are the SASL target's; here is the protocol around them.

extension C2SConnectionStateMachine {
    /// `<auth/>`, `<response/>` or `<abort/>` arrived.
    mutating func saslReceived(_ element: StreamElement, id: String) -> [Action] {
        let isNegotiating = phase == .authenticating
        switch element.name {
        case "auth":
            guard !isNegotiating else { return saslFailed(.malformedRequest, id: id) }
            guard let text = try? element.element().text else { return saslFailed(.malformedRequest, id: id) }
            var machine = SASLServerStateMachine(
                SASLServerStateMachine.Configuration(
                    domain: domain,
                    offered: offeredMechanisms,
                    bindings: bindings,
                    serverSecret: configuration.serverSecret,
                    iterations: configuration.iterations
                )
            )
            mechanismName = element["mechanism"] ?? ""
            let action = machine.begin(mechanism: mechanismName, initialResponse: text, nonce: id)
            sasl = machine
            user = nil
            return run(action, id: id)
        case "response":
            guard isNegotiating, var machine = sasl, let text = try? element.element().text else {
                return saslFailed(.malformedRequest, id: id)
            }
            sasl = nil
            let action = machine.responseReceived(text)
            sasl = machine
            return run(action, id: id)
        case "abort":
            return saslFailed(.aborted, id: id)
        default:
            return fail(StreamError(.unsupportedStanzaType), id: id)
        }
    }

    /// The credentials for which `loadCredentials` asked for a hash; nil: there are none.
    mutating func credentialsLoaded(_ credentials: SCRAMCredentials?, id: String) -> [Action] {
        guard phase == .waiting(.credentials), var machine = sasl else { return [] }
        sasl = nil
        let action = machine.credentialsLoaded(credentials)
        sasl = machine
        return run(action, id: id)
    }

    /// Credentials cannot be looked up now, or this client may not try.
    mutating func credentialsUnavailable(id: String) -> [Action] {
        switch phase {
        case .waiting(.credentials), .waiting(.passwordCheck): return saslFailed(.temporaryAuthFailure, id: id)
        default: return []
        }
    }

    /// Whether the password that the client sent is right.
    mutating func passwordChecked(_ isRight: Bool, id: String) -> [Action] {
        guard phase == .waiting(.passwordCheck), var machine = sasl else { return [] }
        sasl = nil
        pendingPassword = ""
        let action = machine.passwordChecked(isRight)
        sasl = machine
        return run(action, id: id)
    }

    /// What stands in for the credentials of the user if there is none: the check takes the same time.
    func decoy(hash: SCRAMHash) -> SCRAMCredentials? {
        sasl?.decoy(username: user?.local ?? "", hash: hash)
    }

    private mutating func run(_ action: SASLServerStateMachine.Action, id: String) -> [Action] {
        switch action {
        case .challenge(let text):
            phase = .authenticating
            return [.send(ByteBuffer(string: "<challenge xmlns='\(Namespace.sasl)'>\(text)</challenge>"))]
        case .needCredentials(let username, let hash):
            return load(username, hash, .credentials, id: id)
        case .needPasswordCheck(let username, let password):
            pendingPassword = password
            return load(username, nil, .passwordCheck, id: id)
        case .success(let username, let text):
            return succeeded(username, text, id: id)
        case .failure(let failure):
            return saslFailed(failure, id: id)
        }
    }

    private mutating func load(_ username: String, _ hash: SCRAMHash?, _ wait: Wait, id: String) -> [Action] {
        guard let user = try? BareJID(local: username, domain: domain) else {
            return saslFailed(.notAuthorized, id: id)
        }
        self.user = user
        phase = .waiting(wait)
        return [.loadCredentials(user: user, hash: hash)]
    }

    private mutating func succeeded(_ username: String, _ text: String?, id: String) -> [Action] {
        guard let user = try? BareJID(local: username, domain: domain) else {
            return saslFailed(.notAuthorized, id: id)
        }
        self.user = user
        sasl = nil
        stage = .authenticated
        phase = .header(.authenticated)
        isHeaderSent = false
        let success = text.map { "<success xmlns='\(Namespace.sasl)'>\($0)</success>" }
        return [
            .send(ByteBuffer(string: success ?? "<success xmlns='\(Namespace.sasl)'/>")), .restartStream,
            .loggedIn(user: user),
        ]
    }

    /// A negotiation failed. Whoever may be guessing gets the answer late.
    mutating func saslFailed(_ failure: SASLFailure, id: String) -> [Action] {
        sasl = nil
        pendingPassword = ""
        let user = user
        self.user = nil
        phase = .waiting(.failureDelay(failure))
        return [.delayFailure(user: user, failure)]
    }

    /// The time has come to tell the client of its failure.
    mutating func failureDelayElapsed(id: String) -> [Action] {
        guard case .waiting(.failureDelay(let failure)) = phase else { return [] }
        failedLogins += 1
        phase = .negotiating(stage)
        let text = "<failure xmlns='\(Namespace.sasl)'><\(failure.rawValue)/></failure>"
        var actions: [Action] = [.send(ByteBuffer(string: text))]
        if failedLogins >= configuration.loginFailures {
            actions += fail(StreamError(.policyViolation, text: "too many failed logins"), id: id)
        }
        return actions
    }
}
