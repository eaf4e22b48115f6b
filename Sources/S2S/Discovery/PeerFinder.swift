// SPDX-License-Identifier: Apache-2.0

import Config
import DNS
import Glibc
import NIOCore
import NIOPosix
import TLS
import XMPPCore

/// A connection to a domain's server, on which nothing was said.
struct FoundPeer: Sendable {
    let channel: any Channel
    let target: Target
    /// What DNS says of the server's certificate; empty: nothing that DNSSEC proved.
    let associations: [TLSAssociation]
}

/// Finds and connects to a domain's server: DNS, then TCP, where the hosts of one priority race (XEP-0495, `HostRace`),
/// and of each host its IPv6 and IPv4 addresses (RFC 8305, by NIO's bootstrap).
///
/// Confined to its event loop.
final class PeerFinder {
    private let eventLoop: any EventLoop
    private let resolver: DNSResolver
    var connectTimeout: TimeAmount
    private var random = SystemRandomNumberGenerator()

    init(resolver: DNSResolver, eventLoop: any EventLoop, connectTimeout: TimeAmount) {
        self.resolver = resolver
        self.eventLoop = eventLoop
        self.connectTimeout = connectTimeout
    }

    /// Connects to the server of a prepared domain; fails with `FederationFailure`. `note` hears each step in words.
    func connect(
        to domain: String,
        override entry: JackdawConfiguration.RemoteDomain?,
        usesDANE: Bool,
        note: @escaping (String) -> Void
    ) -> EventLoopFuture<FoundPeer> {
        if let entry, let host = entry.host {
            note("the configuration says that it is at \(host)")
            let target = Target(host: host.host, port: host.port, isDirectTLS: entry.isDirectTLS, isSecure: false)
            return self.connect(domain, [[target]], usesDANE: false, note: note)
        }
        let name = BareJID.dnsName(ofPreparedDomain: domain)
        if Self.address(name, port: Self.port) != nil {
            let target = Target(host: name, port: Self.port, isDirectTLS: false, isSecure: false)
            return self.connect(domain, [[target]], usesDANE: false, note: note)
        }
        return self.targets(of: domain, name, note).assumeIsolated().flatMap { targets in
            self.connect(domain, targets[...], usesDANE: usesDANE, note: note)
        }.nonisolated()
    }

    /// Where a domain's server is unless DNS says otherwise (RFC 6120 §3.2.2).
    private static let port = 5_269

    /// An address that is written out, IPv6 in brackets or without; nil: it is a name.
    private static func address(_ host: String, port: Int) -> SocketAddress? {
        try? SocketAddress(ipAddress: host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host, port: port)
    }

    // MARK: - DNS

    private func targets(
        of domain: String,
        _ name: String,
        _ note: @escaping (String) -> Void
    ) -> EventLoopFuture<[[Target]]> {
        let direct = self.ask("_xmpps-server._tcp.\(name)", note)
        let startTLS = self.ask("_xmpp-server._tcp.\(name)", note)
        return direct.and(startTLS).assumeIsolated().flatMapThrowing { direct, startTLS in
            if direct == nil, startTLS == nil {
                throw Self.unasked(domain)
            }
            guard let targets = Targets.order(direct: direct, startTLS: startTLS, using: &self.random) else {
                // XEP-0368 §3: without direct TLS, there may still be the other kind.
                if startTLS == nil { throw Self.unasked(domain) }
                let text = "\(domain) says in DNS that it has no XMPP server"
                throw FederationFailure(.remoteServerNotFound, text, isFinal: true)
            }
            if !targets.isEmpty { return targets }
            note("there is no SRV record, so the host \(name) itself is tried")
            // Who keeps one answer back must not make us ask for less.
            let isSecure = direct?.isSecure != false && startTLS?.isSecure != false
            return [[Target(host: name, port: Self.port, isDirectTLS: false, isSecure: isSecure)]]
        }.flatMapErrorThrowing { error in throw Self.failure(error, domain) }.nonisolated()
    }

    private static func unasked(_ domain: String) -> FederationFailure {
        FederationFailure(.remoteServerTimeout, "DNS could not be asked for the server of \(domain)")
    }

    /// Nil: it could not be asked. What DNSSEC proves wrong is an error.
    private func ask(_ name: String, _ note: @escaping (String) -> Void) -> EventLoopFuture<Answer?> {
        self.resolver.resolve(name, .srv).assumeIsolated().map { answer -> Answer? in
            let records = answer.records.compactMap(ServiceRecord.init).map { record in
                "\(record.priority) \(record.weight) \(record.port) \(record.target.isEmpty ? "." : record.target)"
            }
            let secured = answer.isSecure ? ", proved by DNSSEC" : ""
            note("SRV \(name): \(records.isEmpty ? "none" : records.joined(separator: "; "))\(secured)")
            return answer
        }.flatMapErrorThrowing { error in
            note("SRV \(name): \(error)")
            if case .bogus? = error as? ResolverError { throw error }
            return nil
        }.nonisolated()
    }

    private static func failure(_ error: any Error, _ domain: String) -> FederationFailure {
        if let failure = error as? FederationFailure { return failure }
        return FederationFailure(.remoteServerNotFound, "\(domain): \(error)", isFinal: Self.isBogus(error))
    }

    /// Whether DNSSEC proved an answer wrong: asking again brings the same.
    private static func isBogus(_ error: (any Error)?) -> Bool {
        if case .bogus? = error as? ResolverError { true } else { false }
    }

    // MARK: - TCP

    /// The Connection Attempt Delay (RFC 8305 §5), between hosts as between addresses.
    private static let attemptDelay = TimeAmount.milliseconds(250)

    /// Tries one priority after the other. `isHopeless` is whether trying those before again would bring nothing.
    private func connect(
        _ domain: String,
        _ groups: ArraySlice<[Target]>,
        usesDANE: Bool,
        isHopeless: Bool = true,
        note: @escaping (String) -> Void
    ) -> EventLoopFuture<FoundPeer> {
        guard let group = groups.first else {
            let text = "no host of \(domain) can be connected to"
            return self.eventLoop.makeFailedFuture(FederationFailure(.remoteServerTimeout, text))
        }
        // What those say that come too late is no step of the search any more.
        var isOver = false
        var areAllHopeless = isHopeless
        let race = HostRace<Target, FoundPeer>(
            group[...],
            eventLoop: self.eventLoop,
            delay: Self.attemptDelay,
            attempt: { target in
                self.reach(domain, target, usesDANE) { step in
                    if !isOver { note(step) }
                }
            },
            whenFailed: { _, error in
                areAllHopeless = areAllHopeless && (error as? FederationFailure)?.isFinal == true
            },
            whenLate: { $0.channel.close(promise: nil) }
        )
        return race.run().assumeIsolated().always { _ in isOver = true }.flatMapError { error in
            let rest = groups.dropFirst()
            guard rest.isEmpty else {
                return self.connect(domain, rest, usesDANE: usesDANE, isHopeless: areAllHopeless, note: note)
            }
            var failure = error as? FederationFailure ?? FederationFailure(.remoteServerTimeout, "\(error)")
            failure.isFinal = areAllHopeless
            return self.eventLoop.makeFailedFuture(failure)
        }.nonisolated()
    }

    /// Connects to one host, and looks what DNS says of its certificate; fails with `FederationFailure`.
    private func reach(
        _ domain: String,
        _ target: Target,
        _ usesDANE: Bool,
        _ note: @escaping (String) -> Void
    ) -> EventLoopFuture<FoundPeer> {
        let addresses = AddressResolver(self.resolver)
        return self.connect(target, addresses).assumeIsolated().flatMap { channel in
            note("connected to \(target) at \(channel.remoteAddress?.ipAddress ?? "")")
            let isSecure = target.isSecure && addresses.isSecure
            return self.associations(of: target, isSecure && usesDANE, note).assumeIsolated().map { associations in
                FoundPeer(channel: channel, target: target, associations: associations)
            }.flatMapErrorThrowing { error in
                channel.close(promise: nil)
                throw error
            }.nonisolated()
        }.flatMapErrorThrowing { error in
            let known = error as? FederationFailure
            let reason = known?.text ?? Self.words(error)
            note("\(target): \(reason)")
            throw known ?? Self.failure(domain, target, error, reason)
        }.nonisolated()
    }

    private static func failure(
        _ domain: String,
        _ target: Target,
        _ error: any Error,
        _ reason: String
    ) -> FederationFailure {
        if let error = error as? NIOConnectionError, error.connectionErrors.isEmpty, error.dnsAError == nil,
            error.dnsAAAAError == nil
        {
            let isItself = target.host == BareJID.dnsName(ofPreparedDomain: domain)
            let text =
                isItself ? "\(domain) is not in DNS" : "\(domain) is to be at \(target.host), which is not in DNS"
            return FederationFailure(.remoteServerNotFound, text, isFinal: true)
        }
        let error = error as? NIOConnectionError
        let isBogus =
            error?.connectionErrors.isEmpty == true
            && (Self.isBogus(error?.dnsAError) || Self.isBogus(error?.dnsAAAAError))
        let text = "\(domain) cannot be reached at \(target): \(reason)"
        return FederationFailure(.remoteServerTimeout, text, isFinal: isBogus)
    }

    private func connect(_ target: Target, _ addresses: AddressResolver) -> EventLoopFuture<any Channel> {
        let bootstrap = ClientBootstrap(group: self.eventLoop)
            .channelOption(.autoRead, value: false)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.maxMessagesPerRead, value: 1)
            .connectTimeout(self.connectTimeout)
            .resolver(addresses)
        if let address = Self.address(target.host, port: target.port) { return bootstrap.connect(to: address) }
        return bootstrap.connect(host: target.host, port: target.port)
    }

    private static func words(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let reason = error.connectionErrors.last { return Self.words(reason.error) }
            let failure = error.dnsAAAAError ?? error.dnsAError
            return failure.map { "\($0)" } ?? "it has no address in DNS"
        case let error as IOError where error.errnoCode == ECONNREFUSED: return "the connection is refused"
        case let error as IOError where error.errnoCode == EHOSTUNREACH: return "there is no route to it"
        case let error as IOError where error.errnoCode == ENETUNREACH: return "its network cannot be reached"
        case ChannelError.connectTimeout: return "it does not answer"
        default: return "\(error)"
        }
    }

    /// TLSA records count where DNSSEC proved everything that led to them, the addresses included (RFC 7673 §3).
    private func associations(
        of target: Target,
        _ usesDANE: Bool,
        _ note: @escaping (String) -> Void
    ) -> EventLoopFuture<[TLSAssociation]> {
        guard usesDANE else { return self.eventLoop.makeSucceededFuture([]) }
        let name = "_\(target.port)._tcp.\(target.host)"
        return self.resolver.resolve(name, .tlsa).assumeIsolated().flatMapThrowing { answer in
            guard answer.isSecure else { return [] }
            let records = answer.records.compactMap(CertificateRecord.init)
            note("TLSA \(name): \(records.count) records, proved by DNSSEC")
            return records.map { record in
                TLSAssociation(
                    usage: record.usage,
                    selector: record.selector,
                    matchingType: record.matchingType,
                    data: record.data
                )
            }
        }.flatMapErrorThrowing { error in
            note("TLSA \(name): \(error)")
            // Who keeps the answer back must not make us trust more: this host is not used (RFC 7672 §2.1.2).
            let text = "the TLSA records of \(target.host) are not known: \(error)"
            throw FederationFailure(.remoteServerTimeout, text, isFinal: Self.isBogus(error))
        }.nonisolated()
    }
}
