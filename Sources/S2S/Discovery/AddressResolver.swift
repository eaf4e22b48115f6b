// SPDX-License-Identifier: Apache-2.0

import DNS
import NIOCore
import NIOPosix

/// The addresses of one host, by our resolver, for NIO's race over them (RFC 8305).
///
/// Sendable: it is used on the event loop alone, which the bootstrap that holds it belongs to.
final class AddressResolver: NIOPosix.Resolver, @unchecked Sendable {
    /// So many addresses of a kind are tried: one answer of DNS can hold thousands.
    private static let maximumCount = 8

    private let resolver: DNSResolver
    /// Whether DNSSEC proved all answers that came so far.
    private(set) var isSecure = true

    init(_ resolver: DNSResolver) {
        self.resolver = resolver
    }

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        self.addresses(host, .a, port)
    }

    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        self.addresses(host, .aaaa, port)
    }

    /// What is found too late is remembered by the resolver.
    func cancelQueries() {}

    private func addresses(_ host: String, _ type: RecordType, _ port: Int) -> EventLoopFuture<[SocketAddress]> {
        self.resolver.resolve(host, type).map { answer in
            if !answer.isSecure { self.isSecure = false }
            return answer.records.prefix(Self.maximumCount).compactMap { record in
                AddressRecord.text(record).flatMap { try? SocketAddress(ipAddress: $0, port: port) }
            }
        }
    }
}
