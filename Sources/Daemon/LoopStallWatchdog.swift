// SPDX-License-Identifier: Apache-2.0

package import Logging
package import NIOCore

/// Tells when the event loop was held up for more than 50 ms; in debug builds only.
///
/// A task that should run every 25 ms looks at how late it is, so a stall is told when it ends.
package struct LoopStallWatchdog {
    static let interval = TimeAmount.milliseconds(25)
    static let allowed = TimeAmount.milliseconds(50)

    package static func start(on eventLoop: any EventLoop, logger: Logger) {
        watch(on: eventLoop, logger: logger, due: .now() + interval)
    }

    private static func watch(on eventLoop: any EventLoop, logger: Logger, due: NIODeadline) {
        _ = eventLoop.scheduleTask(deadline: due) {
            let late = NIODeadline.now() - due
            if late > allowed {
                let milliseconds = late.nanoseconds / 1_000_000
                logger.warning("the event loop was held up", metadata: ["milliseconds": "\(milliseconds)"])
            }
            watch(on: eventLoop, logger: logger, due: .now() + interval)
        }
    }
}
