// SPDX-License-Identifier: Apache-2.0

package import Config
import Glibc
import Logging
package import NIOCore
package import NIOPosix

/// The ports of an edge, for clients or for other servers.
extension DaemonContext {
    /// Binds all of them, on the process's event loop, and meets the condition `listeners`.
    ///
    /// Several processes share a port (`SO_REUSEPORT`). `[::]` takes IPv4 as well, and stands for IPv4 alone where the host
    /// has no IPv6. What connects is read in pieces, so that it cannot hold more than one of them here.
    ///
    /// - Parameters:
    ///   - listeners: the ports.
    ///   - prepare: adds to a bootstrap what the edge has of its own; asked anew for each try to bind.
    /// - Returns: the listening channels.
    /// - Throws: `DaemonFailure` where one cannot be bound.
    package func listen(
        on listeners: [JackdawConfiguration.Listener],
        _ prepare: (ServerBootstrap, JackdawConfiguration.Listener) -> ServerBootstrap
    ) async throws -> [any Channel] {
        readiness.require("listeners")
        var channels: [any Channel] = []
        for listener in listeners {
            do {
                let channel = try await bind(listener, prepare)
                logger.info(
                    "listening",
                    metadata: [
                        "address": "\(channel.localAddress?.description ?? "")", "tls": "\(listener.tls.rawValue)",
                    ]
                )
                channels.append(channel)
            } catch {
                throw DaemonFailure(.unavailable, "cannot listen on \(listener.address): \(error)")
            }
        }
        readiness.met("listeners")
        return channels
    }

    private func bind(
        _ listener: JackdawConfiguration.Listener,
        _ prepare: (ServerBootstrap, JackdawConfiguration.Listener) -> ServerBootstrap
    ) async throws -> any Channel {
        let address = listener.address
        let isAny = address.host == "::"
        do {
            var bootstrap = prepare(sharedPort, listener)
            if address.host.contains(":") {
                let isV6Only = ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only)
                bootstrap = bootstrap.serverChannelOption(isV6Only, value: isAny ? 0 : 1)
            }
            return try await bootstrap.bind(host: address.host, port: address.port).get()
        } catch let error as IOError where isAny && error.errnoCode != EADDRINUSE {
            return try await prepare(sharedPort, listener).bind(host: "0.0.0.0", port: address.port).get()
        }
    }

    private var sharedPort: ServerBootstrap {
        ServerBootstrap(group: eventLoop)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.socketOption(NIOBSDSocket.Option(rawValue: SO_REUSEPORT)), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 1)
    }
}
