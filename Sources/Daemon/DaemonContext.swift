// SPDX-License-Identifier: Apache-2.0

package import Config
package import Logging
package import NIOCore
package import NIOPosix
import Synchronization

/// What `DaemonRunner` gives an executable to build its services from.
package final class DaemonContext: Sendable {
    package let instance: InstanceName
    /// What the process was started with; SIGHUP tells those who asked (`onReload`) what is new.
    package let configuration: JackdawConfiguration
    /// The one loop of the process.
    package let eventLoop: any EventLoop
    package let group: MultiThreadedEventLoopGroup
    /// For what blocks: password hashing, files.
    package let threadPool: NIOThreadPool
    package let logger: Logger
    package let metrics: MetricsRegistry
    package let readiness: Readiness
    package let status: ProcessStatus
    /// A random name of this start of the process, the `epoch` of `docs/protocols.md`.
    package let epoch: String
    private let reloads = Mutex<[@Sendable (JackdawConfiguration) -> Void]>([])

    package init(
        instance: InstanceName,
        configuration: JackdawConfiguration,
        group: MultiThreadedEventLoopGroup,
        threadPool: NIOThreadPool,
        logger: Logger,
        metrics: MetricsRegistry = MetricsRegistry(),
        readiness: Readiness = Readiness()
    ) {
        self.instance = instance
        self.configuration = configuration
        self.group = group
        self.eventLoop = group.next()
        self.threadPool = threadPool
        self.logger = logger
        self.metrics = metrics
        self.readiness = readiness
        self.status = ProcessStatus(instance: instance, readiness: readiness)
        self.epoch = String(UInt64.random(in: 0 ... .max), radix: 36)
    }

    /// Registers what SIGHUP calls, on the event loop, with the new, valid configuration as far as a running process
    /// takes it (`JackdawConfiguration.renewed`).
    package func onReload(_ body: @escaping @Sendable (JackdawConfiguration) -> Void) {
        reloads.withLock { $0.append(body) }
    }

    /// Hands a new configuration to all who asked for it.
    package func reload(_ configuration: JackdawConfiguration) {
        let bodies = reloads.withLock { $0 }
        eventLoop.execute {
            for body in bodies { body(configuration) }
        }
    }
}

/// Why a process ends; the codes are those of sysexits.h.
package enum ExitCode: Int32, Sendable {
    case success = 0
    case usage = 64
    /// A service that is needed at the start is absent.
    case unavailable = 69
    case internalError = 70
    case configuration = 78
}

/// Thrown by a start or a service to end the process with a code and words for the operator.
package struct DaemonFailure: Error, CustomStringConvertible {
    package let code: ExitCode
    package let description: String

    package init(_ code: ExitCode, _ description: String) {
        self.code = code
        self.description = description
    }
}
