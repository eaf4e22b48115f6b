// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// The commands that a process answers to `jackdawctl` (`docs/administration.md`). Every process answers `status`, and
/// `echo`, which says only that what came before it was read.
///
/// Confined to its event loop.
package final class AdminResponder {
    /// Carries out a command; fails with `AdminResponse.Failure` to say why it does not.
    package typealias Command = (AdminRequest) -> EventLoopFuture<[[AdminField]]>

    private let eventLoop: any EventLoop
    private var commands: [String: Command] = [:]

    /// Makes a responder whose `status` answers one row with the fields that `status` gives (`ProcessStatus.fields`).
    package init(eventLoop: any EventLoop, status: @escaping () -> [(name: String, value: String)]) {
        self.eventLoop = eventLoop
        self.register("status") { _ in
            eventLoop.makeSucceededFuture([status().map { AdminField($0.name, $0.value) }])
        }
        self.register("echo") { _ in eventLoop.makeSucceededFuture([]) }
    }

    /// Sets what carries out `command`.
    package func register(_ command: String, _ body: @escaping Command) {
        self.commands[command] = body
    }

    /// Carries out a request; the future never fails.
    package func respond(to request: AdminRequest) -> EventLoopFuture<AdminResponse> {
        let id = request.id
        guard let command = self.commands[request.command] else {
            let known = self.commands.keys.sorted().joined(separator: ", ")
            let failure = AdminResponse.Failure(
                "feature-not-implemented",
                "unknown command '\(request.command)', known here: \(known)"
            )
            return self.eventLoop.makeSucceededFuture(AdminResponse(id: id, error: failure))
        }
        return command(request).map { rows in
            AdminResponse(id: id, rows: rows)
        }.flatMapErrorThrowing { error in
            let failure = error as? AdminResponse.Failure
            return AdminResponse(
                id: id,
                error: failure ?? AdminResponse.Failure("internal-server-error", "\(error)")
            )
        }
    }
}
