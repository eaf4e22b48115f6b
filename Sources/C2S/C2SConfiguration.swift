// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import SASL
import TLS
import XML
import XMPPStream

/// What C2S takes from the suite's configuration, in the forms that its parts use.
struct C2SConfiguration {
    /// The hosted domains, prepared.
    var domains: Set<String>
    var mainDomain: String
    /// The domains at which anyone may register (XEP-0077).
    var registrationDomains: Set<String>
    var mechanisms: [SASLMechanism]
    /// The iterations that users who do not exist show, each one of them.
    var iterations: [Int]
    var limits: JackdawConfiguration.C2SLimits
    var timeouts: JackdawConfiguration.C2STimeouts
    /// Zero: resumption is not offered.
    var resumptionTime: Duration

    init(_ configuration: JackdawConfiguration) {
        let names = configuration.domains.map(\.name)
        domains = Set(names)
        mainDomain = configuration.mainDomain
        registrationDomains = Set(names.filter { configuration.allowsRegistration(at: $0) })
        mechanisms = configuration.sasl.mechanisms.compactMap { SASLMechanism(rawValue: $0.rawValue) }
        iterations = [configuration.sasl.iterations] + configuration.sasl.formerIterations
        limits = configuration.c2s.limits
        timeouts = configuration.c2s.timeouts
        resumptionTime = configuration.c2s.resumptionTime
    }

    /// What a stranger may send.
    var limitsBeforeLogin: StreamReader.Limits {
        StreamReader.Limits(
            stanzaBytes: limits.stanzaBytesBeforeLogin,
            tagBytes: min(limits.tagBytes, limits.stanzaBytesBeforeLogin),
            depth: limits.depth,
            attributes: limits.attributes,
            nodes: limits.nodesBeforeLogin
        )
    }

    /// What a user may send.
    var limitsAfterLogin: StreamReader.Limits {
        StreamReader.Limits(
            stanzaBytes: limits.stanzaBytes,
            tagBytes: limits.tagBytes,
            depth: limits.depth,
            attributes: limits.attributes,
            nodes: limits.nodes
        )
    }

    /// What the machine of a connection goes by.
    func machine(serverSecret: [UInt8]) -> C2SConnectionStateMachine.Configuration {
        C2SConnectionStateMachine.Configuration(
            domains: domains,
            mechanisms: mechanisms,
            serverSecret: serverSecret,
            iterations: iterations,
            loginFailures: limits.loginFailures,
            registrationDomains: registrationDomains,
            resumptionSeconds: UInt32(clamping: resumptionTime.components.seconds),
            unsettledStanzas: limits.unsettledStanzas,
            limitsBeforeLogin: StreamFeatures.Announcement(
                maxBytes: limits.stanzaBytesBeforeLogin,
                idleSeconds: Int(clamping: timeouts.login.components.seconds)
            ),
            limitsAfterLogin: StreamFeatures.Announcement(
                maxBytes: limits.stanzaBytes,
                idleSeconds: Int(clamping: timeouts.pingAfter.components.seconds)
            )
        )
    }

    /// The rates of one connection.
    var throttle: StreamThrottle {
        StreamThrottle(
            stanzas: TokenBucket(rate: limits.stanzasPerSecond, burst: limits.effectiveStanzaBurst),
            bytes: TokenBucket(rate: limits.bytesPerSecond, burst: limits.effectiveBytesBurst)
        )
    }

    var connectionLimits: ConnectionLimiter.Limits {
        ConnectionLimiter.Limits(
            connections: limits.connections,
            connectionsPerAddress: limits.connectionsPerAddress,
            unauthenticated: limits.unauthenticatedConnections,
            unauthenticatedPerAddress: limits.unauthenticatedPerAddress,
            handshakes: limits.handshakes
        )
    }

    var loginLimits: LoginThrottle.Limits {
        LoginThrottle.Limits(
            failuresPerAccount: limits.loginFailuresPerAccount,
            failuresPerAddress: limits.loginFailuresPerAddress,
            period: TimeAmount(limits.loginFailurePeriod)
        )
    }
}
