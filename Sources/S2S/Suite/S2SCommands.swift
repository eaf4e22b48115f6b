// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import XMPPCore

/// The requests of `jackdawctl` that S2S answers (`docs/administration.md`), beside `status`.
///
/// Confined to the event loop; kept alive by the responder.
final class S2SCommands {
    private let hub: S2SHub

    init(_ hub: S2SHub) {
        self.hub = hub
    }

    func register(at responder: AdminResponder) {
        let eventLoop = self.hub.eventLoop
        responder.register("s2s-list") { request in
            let domain = request["domain"].flatMap { try? BareJID.prepareDomain($0) }
            return eventLoop.makeSucceededFuture(self.hub.rows(of: domain))
        }
        responder.register("s2s-close") { request in
            guard let domain = Self.domain(request) else { return Self.noDomain(eventLoop) }
            let count = self.hub.close(domain)
            return eventLoop.makeSucceededFuture([[AdminField("closed", String(count))]])
        }
        responder.register("s2s-test") { request in
            guard let domain = Self.domain(request) else { return Self.noDomain(eventLoop) }
            let local = request["from"].flatMap { try? BareJID.prepareDomain($0) } ?? ""
            guard self.hub.rules.ours.contains(local) else {
                let failure = AdminResponse.Failure("item-not-found", "'\(local)' is no domain of this server")
                return eventLoop.makeFailedFuture(failure)
            }
            let seconds = min(request["seconds"].flatMap(Int64.init) ?? 30, 3_600)
            return self.hub.test(domain, from: local, within: .seconds(max(1, seconds))).map { steps in
                steps.map { [AdminField("step", $0)] }
            }
        }
    }

    private static func domain(_ request: AdminRequest) -> String? {
        request["domain"].flatMap { try? BareJID.prepareDomain($0) }
    }

    private static func noDomain(_ eventLoop: any EventLoop) -> EventLoopFuture<[[AdminField]]> {
        eventLoop.makeFailedFuture(AdminResponse.Failure("bad-request", "a domain is needed"))
    }
}
