// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import TLS

extension ClientBootstrap {
    /// For one client; with a context, TLS begins with the first byte (XEP-0368). To be made on the client's event loop.
    convenience init(
        for client: some ChannelHandler,
        directTLS: TLSContext?,
        domain: String,
        on eventLoop: any EventLoop
    ) {
        self.init(group: eventLoop)
        let bound = NIOLoopBound((client, directTLS), eventLoop: eventLoop)
        _ = channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (client, tls) = bound.value
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(TLSHandler(context: tls, domain: domain))
                    }
                    try channel.pipeline.syncOperations.addHandler(client)
                }
            }
    }
}
