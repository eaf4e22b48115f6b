// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// How a process starts, reads its configuration again and ends; the router stands for all, since it needs no other.
@Suite struct LifecycleTests {
    /// A router with a configuration and secrets of its own.
    final class LoneRouter {
        let directory: String
        let httpPort: Int
        let child: ChildProcess
        /// Ends the process should the test run be killed.
        private let janitor: ChildProcess
        private var isEnded = false
        private let output: AsyncStream<String>

        init(_ extra: String = "") throws {
            directory = try TemporaryDirectory.make("router")
            httpPort = try FreePort.next()
            let port = try FreePort.next()
            try FileManager.default.createDirectory(atPath: "\(directory)/secrets", withIntermediateDirectories: false)
            for name in ["router-c2s", "router-sm", "router-s2s", "router-ctl"] {
                let path = "\(directory)/secrets/\(name)"
                let attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
                _ = FileManager.default.createFile(
                    atPath: path,
                    contents: Data("secret\n".utf8),
                    attributes: attributes
                )
            }
            configuration = "router: {listen: \"127.0.0.1:\(port)\"}\nhttp: {router_port: \(httpPort)}\n"
            try Self.write(configuration + extra, directory)
            let child = try ChildProcess(Self.command(directory), capturesOutput: true)
            self.child = child
            janitor = try ChildProcess(["sh", "-c", "cat >/dev/null; kill -9 \(child.pid) 2>/dev/null"])
            // On a thread of its own: a read that blocks must not hold one of the few that run the tests.
            let (stream, continuation) = AsyncStream.makeStream(of: String.self)
            Thread.detachNewThread {
                continuation.yield(child.readOutput())
                continuation.finish()
            }
            output = stream
        }

        let configuration: String

        deinit {
            if !isEnded {
                child.send(signal: SIGKILL)
                _ = child.wait()
            }
            janitor.closeInput()
            _ = janitor.wait()
            try? FileManager.default.removeItem(atPath: directory)
        }

        static func command(_ directory: String) -> [String] {
            let own = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path
            return ["\(own)/jackdaw-router", "--config", "\(directory)/jackdaw.yml"]
        }

        static func write(_ text: String, _ directory: String) throws {
            try text.write(toFile: "\(directory)/jackdaw.yml", atomically: true, encoding: .utf8)
        }

        func awaitReady() async throws {
            for _ in 0..<400 {
                if (try? await HTTPProbe.get(port: httpPort, path: "/ready").status) == 200 { return }
                try await Task.sleep(for: .milliseconds(25))
            }
            throw RunningSuite.Failure(description: "the router is not ready")
        }

        /// Sends SIGTERM; the exit code and all that the process wrote.
        func stop() async -> (status: Int32, log: String) {
            child.send(signal: SIGTERM)
            let log = await output.first { _ in true } ?? ""
            isEnded = true
            return (status: child.wait(), log: log)
        }
    }

    @Test func `a process that is asked to stop ends with 0 and says so`() async throws {
        let router = try LoneRouter()
        try await router.awaitReady()
        let end = await router.stop()
        #expect(end.status == 0)
        #expect(end.log.hasSuffix(" info router-1: stopped\n"), "\(end.log)")
        for line in end.log.split(separator: "\n") {
            #expect(line.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [a-z]+ router-1: .*/) != nil, "\(line)")
        }
    }

    @Test func `logs are JSON by a setting`() async throws {
        let router = try LoneRouter("log: {format: json}\n")
        try await router.awaitReady()
        let end = await router.stop()
        #expect(end.status == 0)
        for line in end.log.split(separator: "\n") {
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            #expect(object?["instance"] as? String == "router-1" && object?["message"] != nil)
        }
    }

    @Test func `a port that is taken ends the start with 69`() async throws {
        let router = try LoneRouter()
        try await router.awaitReady()
        let second = try await SuiteProcess.run(LoneRouter.command(router.directory))
        #expect(second.status == 69, "\(second.output)")
        #expect(second.output.contains("cannot listen on 127.0.0.1:\(router.httpPort)"))
    }

    @Test func `a secret that others may read ends the start with 78`() async throws {
        let router = try LoneRouter()
        try await router.awaitReady()
        _ = await router.stop()
        let path = "\(router.directory)/secrets/router-sm"
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
        for arguments in [[], ["--check"]] {
            let again = try await SuiteProcess.run(LoneRouter.command(router.directory) + arguments)
            #expect(again.status == 78, "\(again.output)")
            #expect(again.output.contains("its mode 0644 lets others read the secret"))
        }
    }

    @Test func `SIGHUP takes over a good configuration and refuses a bad one`() async throws {
        let router = try LoneRouter()
        try await router.awaitReady()
        try LoneRouter.write(router.configuration + "log: {lvel: debug}\n", router.directory)
        router.child.send(signal: SIGHUP)
        try await router.awaitMetric(reloads: 0, refused: 1)
        let changed = router.configuration.replacing("http: {", with: "http: {connections: 3, ")
        try LoneRouter.write(changed + "log: {format: json}\n", router.directory)
        router.child.send(signal: SIGHUP)
        try await router.awaitMetric(reloads: 1, refused: 1)
        let end = await router.stop()
        #expect(end.status == 0)
        #expect(end.log.contains("jackdaw.yml:3:7: unknown key 'log.lvel', did you mean 'level'?"), "\(end.log)")
        #expect(end.log.contains("\"message\":\"needs a restart: http.connections\""), "\(end.log)")
        #expect(end.log.hasSuffix("\"message\":\"stopped\"}\n"), "\(end.log)")
    }
}

extension LifecycleTests.LoneRouter {
    /// Waits until the process has looked at its configuration again so many times.
    func awaitMetric(reloads: Int, refused: Int) async throws {
        for _ in 0..<400 {
            let text = try await HTTPProbe.get(port: httpPort, path: "/metrics").body
            let isDone =
                text.contains("jackdaw_configuration_reloads_total{result=\"taken\"} \(reloads)\n")
                && text.contains("jackdaw_configuration_reloads_total{result=\"refused\"} \(refused)\n")
            if isDone { return }
            try await Task.sleep(for: .milliseconds(25))
        }
        throw RunningSuite.Failure(description: "the configuration was not read again")
    }
}
