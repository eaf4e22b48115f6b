// SPDX-License-Identifier: Apache-2.0

import Config
import Glibc
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import UnixSignals

/// One run of a process: loop, HTTP endpoint and services, from the start to the exit code.
struct DaemonProcess {
    /// What services have after SIGTERM; then they are cancelled.
    static let shutdownTime = Duration.seconds(20)

    private let arguments: Arguments
    private let loaded: ConfigurationFile.Loaded
    private let settings: LogSettings
    private let logger: Logger

    init(_ arguments: Arguments, _ loaded: ConfigurationFile.Loaded, _ settings: LogSettings) {
        self.arguments = arguments
        self.loaded = loaded
        self.settings = settings
        self.logger = settings.logger("jackdaw.\(arguments.instance.kind.rawValue)")
    }

    func run(_ start: DaemonRunner.Start) async -> ExitCode {
        _ = signal(SIGPIPE, SIG_IGN)
        let descriptors = DescriptorLimit.raise()
        logger.info(
            "starting",
            metadata: [
                "version": "\(BuildInformation.version)", "pid": "\(getpid())", "descriptors": "\(descriptors)",
                "config": "\(loaded.path ?? "(defaults)")",
            ]
        )
        let threads = NIOThreadPool(numberOfThreads: 2)
        threads.start()
        let context = DaemonContext(
            instance: arguments.instance,
            configuration: loaded.configuration,
            group: MultiThreadedEventLoopGroup(numberOfThreads: 1),
            threadPool: threads,
            logger: logger
        )
        do {
            try await serve(context, start)
            logger.info("stopped")
            return .success
        } catch let failure as DaemonFailure {
            logger.error("stopped: \(failure.description)")
            return failure.code
        } catch {
            logger.error("stopped by an internal error", metadata: ["reason": "\(error)"])
            return .internalError
        }
    }

    private func serve(_ context: DaemonContext, _ start: DaemonRunner.Start) async throws {
        ProcessMetrics.register(in: context.metrics, instance: context.instance)
        for result in ["taken", "refused"] { _ = Self.reloads(context, result) }
        context.readiness.require("started")
        let endpoint = try await listen(context)
        context.status.httpPort = endpoint.port
        logger.info("HTTP endpoint", metadata: ["port": "\(endpoint.port)"])
        #if DEBUG
        LoopStallWatchdog.start(on: context.eventLoop, logger: logger)
        #endif
        let services = try await start(context)
        context.readiness.met("started")
        let all: [any Service] =
            [EndpointService(endpoint: endpoint), ReloadService(process: self, context: context)] + services
            + [ReadinessService(readiness: context.readiness)]
        var configuration = ServiceGroupConfiguration(
            services: all,
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: Logger(label: "services") { _ in SwiftLogNoOpLogHandler() }
        )
        configuration.maximumGracefulShutdownDuration = Self.shutdownTime
        try await ServiceGroup(configuration: configuration).run()
    }

    private func listen(_ context: DaemonContext) async throws -> HTTPEndpoint {
        let http = context.configuration.http
        let port = context.configuration.httpPort(of: context.instance)
        do {
            return try await HTTPEndpoint.start(
                http,
                port: port,
                on: context.eventLoop,
                metrics: context.metrics,
                readiness: context.readiness,
                status: context.status
            )
        } catch {
            throw DaemonFailure(.unavailable, "cannot listen on \(http.address):\(port) for HTTP: \(error)")
        }
    }

    /// SIGHUP: a file with mistakes changes nothing.
    fileprivate func reload(_ context: DaemonContext) {
        do throws(ConfigurationError) {
            let loaded = try ConfigurationFile.load(argument: arguments.configuration)
            settings.apply(loaded.configuration.log)
            let renewal = context.configuration.renewed(by: loaded.configuration, for: arguments.instance.kind)
            context.reload(renewal.configuration)
            Self.reloads(context, "taken").increment()
            logger.notice("configuration read again")
            if !renewal.needsRestart.isEmpty {
                logger.warning("needs a restart: \(renewal.needsRestart.joined(separator: ", "))")
            }
        } catch {
            for line in error.lines { logger.error("configuration not taken over: \(line)") }
            Self.reloads(context, "refused").increment()
        }
    }

    private static func reloads(_ context: DaemonContext, _ result: String) -> Counter {
        context.metrics.counter(
            "jackdaw_configuration_reloads",
            help: "Times that SIGHUP had the configuration read again.",
            labels: ["result": result]
        )
    }
}

/// Stops last, so that a process tells its state until its end.
private struct EndpointService: Service {
    let endpoint: HTTPEndpoint

    func run() async throws {
        try? await gracefulShutdown()
        await endpoint.stop()
    }
}

/// Reads the configuration again at SIGHUP.
private struct ReloadService: Service {
    let process: DaemonProcess
    let context: DaemonContext

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown()
        for await _ in signals { process.reload(context) }
    }
}

/// Stops first: from then on `/ready` says no.
private struct ReadinessService: Service {
    let readiness: Readiness

    func run() async throws {
        try? await gracefulShutdown()
        readiness.unmet("started", reason: "stopping")
    }
}
