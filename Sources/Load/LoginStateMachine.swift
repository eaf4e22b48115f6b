// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SASL
import XML

/// A client's way from the TCP connection to a bound resource, as a value: RFC 6120 sections 4 to 7.
///
/// ```
/// header -> starttls -> (TLS) -> header -> auth -> [challenge] -> success -> header -> bind -> presence -> ready
/// ```
struct LoginStateMachine {
    enum State {
        case awaitingFeatures(isEncrypted: Bool)
        case awaitingProceed
        case authenticating(SCRAMClient?)
        case awaitingBindFeatures
        case binding
        case awaitingPresence
        case ready
        case failed
    }

    enum Action {
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

    private(set) var state: State
    private let account: Account

    init(account: Account, isEncrypted: Bool) {
        self.account = account
        state = .awaitingFeatures(isEncrypted: isEncrypted)
    }

    var header: String {
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
            + "to='\(account.domain)' version='1.0'>"
    }

    mutating func received(_ element: StreamElement, nonce: String) -> Action {
        switch (state, element.name) {
        case (.awaitingFeatures(isEncrypted: false), "features"):
            state = .awaitingProceed
            return .send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        case (.awaitingProceed, "proceed"):
            state = .awaitingFeatures(isEncrypted: true)
            return .startTLS
        case (.awaitingFeatures(isEncrypted: true), "features"): return authenticate(nonce: nonce)
        case (.authenticating(let scram), "challenge"): return respond(to: element, scram)
        case (.authenticating, "success"):
            state = .awaitingBindFeatures
            return .restartStream
        case (.awaitingBindFeatures, "features"):
            state = .binding
            return .send(
                "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>load</resource>"
                    + "</bind></iq>"
            )
        case (.binding, "iq") where element["type"] == "result":
            state = .awaitingPresence
            return .send("<presence/>")
        case (.awaitingPresence, "presence"):
            state = .ready
            return .ready
        case (.awaitingPresence, _), (.ready, _): return .nothing
        default:
            state = .failed
            return .failed("<\(element.name)> \(String(buffer: element.bytes).prefix(300))")
        }
    }

    private mutating func authenticate(nonce: String) -> Action {
        let (scram, initial) = initialResponse(nonce: nonce)
        state = .authenticating(scram)
        return .send(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='\(account.mechanism.rawValue)'>"
                + Digest.base64(Array(initial.utf8)) + "</auth>"
        )
    }

    private func initialResponse(nonce: String) -> (SCRAMClient?, String) {
        let hash: SCRAMHash
        switch account.mechanism {
        case .plain: return (nil, "\0\(account.user)\0\(account.password)")
        case .scramSHA1: hash = .sha1
        case .scramSHA256: hash = .sha256
        }
        let scram = SCRAMClient(hash: hash, username: account.user, password: account.password, nonce: nonce)
        return (scram, scram.first)
    }

    private mutating func respond(to challenge: StreamElement, _ scram: SCRAMClient?) -> Action {
        guard var scram, let text = try? challenge.element().text, let bytes = Digest.base64Decode(text),
            let final = try? scram.final(serverFirst: String(decoding: bytes, as: UTF8.self))
        else {
            state = .failed
            return .failed("a challenge that is none")
        }
        state = .authenticating(scram)
        return .send(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\(Digest.base64(Array(final.utf8)))</response>"
        )
    }
}
