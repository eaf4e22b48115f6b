// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing
import XML

/// `jackdawctl` and the HTTP endpoints, against the real processes (`docs/administration.md`).
@Suite struct AdministrationTests {
    /// Runs the tool with `--json` and reads what it prints.
    private func json(_ suite: RunningSuite, _ arguments: [String]) async throws -> [[String: Any]] {
        let result = try await suite.control(arguments + ["--json"])
        guard result.status == 0 else { throw RunningSuite.Failure(description: "\(arguments): \(result.output)") }
        let value = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        if let object = value as? [String: Any] { return [object] }
        return try #require(value as? [[String: Any]])
    }

    @Test func `an account is made, listed, changed and removed`() async throws {
        let suite = try await RunningSuite.shared()
        let account = try await suite.addAccount(named: "managed")

        let again = try await suite.control(["user", "add", account.bareJID, "--password", "x"])
        #expect(again.status == 1 && again.output.contains("(conflict)"))
        let listed = try await json(suite, ["user", "list", account.domain])
        #expect(listed.contains { $0["user"] as? String == account.bareJID && $0["sessions"] as? Int == 0 })
        let others = try await json(suite, ["user", "list", suite.secondDomain])
        #expect(!others.contains { $0["user"] as? String == account.bareJID })

        let changed = try await suite.control(["user", "passwd", account.bareJID, "--password", "another secret"])
        #expect(changed.status == 0, "\(changed.output)")
        let client = try await TestClient.connect(port: suite.clientPort)
        let fresh = TestClient.Account(user: account.user, domain: account.domain, password: "another secret")
        try await client.authenticate(fresh)

        let removed = try await json(suite, ["user", "remove", account.bareJID])
        #expect(removed.first?["user"] as? String == account.bareJID)
        let after = try await json(suite, ["user", "list"])
        #expect(!after.contains { $0["user"] as? String == account.bareJID })
        let twice = try await suite.control(["user", "remove", account.bareJID])
        #expect(twice.status == 1 && twice.output.contains("(item-not-found)"))
    }

    private static let refusals: [(arguments: [String], code: Int32)] = [
        (["user", "add", "nobody", "--password", "x"], 64),
        (["user", "add", "a@localhost/r", "--password", "x"], 64),
        (["user", "add", "a b@localhost", "--password", "x"], 64),
        (["user", "add", "a@foreign.example", "--password", "x"], 1),
        (["user", "add", "a@localhost", "--password", ""], 1),
        (["user", "passwd", "nobody@localhost", "--password", "x"], 1),
        (["user", "add", "a@localhost"], 64),
        (["session", "kick", "nobody@localhost"], 1),
        (["user", "frobnicate"], 64),
        (["status", "--timeout", "0"], 64),
    ]

    @Test(arguments: refusals)
    func `what cannot be done has its exit code`(_ arguments: [String], _ code: Int32) async throws {
        let suite = try await RunningSuite.shared()
        let result = try await suite.control(arguments)
        #expect(result.status == code, "\(result.output)")
        #expect(!result.output.isEmpty)
    }

    @Test func `a session is listed and ended`() async throws {
        let suite = try await RunningSuite.shared()
        let account = try await suite.addAccount(named: "kicked")
        let client = try await TestClient.connect(port: suite.clientPort)
        try await client.authenticate(account)
        let jid = try await client.bind("phone")

        let sessions = try await json(suite, ["session", "list", account.bareJID])
        let session = try #require(sessions.first)
        #expect(sessions.count == 1)
        #expect(session["jid"] as? String == jid)
        #expect(session["instance"] as? String == "c2s-1")
        #expect(session["state"] as? String == "attached")
        #expect(session["mechanism"] as? String == "PLAIN")
        #expect(session["priority"] is NSNull)
        let all = try await json(suite, ["session", "list"])
        #expect(all.contains { $0["jid"] as? String == jid })

        let kicked = try await json(suite, ["session", "kick", jid])
        #expect(kicked.first?["jid"] as? String == jid)
        let error = try await client.element()
        #expect(error.name == "error")
        #expect(error.child("policy-violation", "urn:ietf:params:xml:ns:xmpp-streams") != nil)
        let after = try await json(suite, ["session", "list", account.bareJID])
        #expect(after.isEmpty)
    }

    @Test func `a message is traced until its client has acknowledged it`() async throws {
        let suite = try await RunningSuite.shared()
        let account = try await suite.addAccount(named: "traced")
        let (sender, _) = try await TestClient.login(suite.addAccount(named: "tracer"), to: suite)
        try await sender.send("<message to='\(account.bareJID)' type='chat'><body>x</body></message>")
        _ = try await sender.ask("get", to: suite.domain, id: "sent", "<ping xmlns='urn:xmpp:ping'/>")

        let (client, jid) = try await TestClient.login(account, to: suite)
        _ = try await client.enableManagement()
        try await client.send("<presence/>")
        let message = try await client.first { $0.name == "message" }
        let id = try #require(message.child("stanza-id", "urn:xmpp:sid:0")?["id"])
        let places = try await json(suite, ["trace", "message", id])
        #expect(places.map { $0["place"] as? String } == ["sent", "spool"])
        #expect(places.first?["session"] as? String == jid)
        #expect(places.first?["instance"] as? String == "c2s-1")
        #expect(places.allSatisfy { $0["stored"] as? Bool == true && $0["user"] as? String == account.bareJID })

        try await client.send("</stream:stream>")
        while true { if case .streamClosed = try await client.next() { break } }
        let (next, _) = try await TestClient.login(account, to: suite)
        try await next.send("<presence/>")
        _ = try await next.first { $0.name == "message" }
        try await next.send("</stream:stream>")
        while true { if case .streamClosed = try await next.next() { break } }
        let gone = try await suite.control(["trace", "message", id])
        #expect(gone.status == 1 && gone.output.contains("nobody holds '\(id)'"), "\(gone.output)")
    }

    @Test func `every process tells its status, and components are listed`() async throws {
        let suite = try await RunningSuite.shared()
        let processes = try await json(suite, ["status"])
        #expect(Set(processes.compactMap { $0["instance"] as? String }) == ["router-1", "sm-1", "c2s-1"])
        for process in processes {
            #expect(process["ready"] as? Bool == true && process["connected"] as? Bool == true)
            #expect(
                process["pid"] as? Int != nil && process["uptime"] as? Int != nil && process["sessions"] as? Int != nil
            )
        }
        let components = try await json(suite, ["component", "list"])
        let manager = components.first { $0["name"] as? String == "sm-1.jackdaw.internal" }
        #expect(manager?["names"] as? [String] == [suite.domain, suite.secondDomain])
        #expect(manager?["kind"] as? String == "internal")
    }

    @Test func `check judges configuration, certificates, database and processes`() async throws {
        let suite = try await RunningSuite.shared()
        let findings = try await json(suite, ["check"])
        let subjects = findings.compactMap { $0["subject"] as? String }
        #expect(subjects.first == "configuration")
        #expect(subjects.contains("sm, database") && subjects.contains("c2s, database"))
        #expect(subjects.contains("process c2s-1"))
        let certificate = findings.first { ($0["subject"] as? String)?.contains("certificate of localhost") == true }
        #expect((certificate?["text"] as? String)?.contains("days left") == true)
        #expect(!findings.contains { $0["severity"] as? String == "error" })
    }

    @Test func `a wrong configuration is refused by check and by every process`() async throws {
        let directory = try TemporaryDirectory.make("config")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let file = "\(directory)/jackdaw.yml"
        try "c2s:\n  limits:\n    stanza_byte: 1\n".write(toFile: file, atomically: true, encoding: .utf8)
        let own = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path
        let commands = [
            ["jackdawctl", "check"], ["jackdawctl", "config"], ["jackdaw-router"], ["jackdaw-sm"], ["jackdaw-c2s"],
        ]
        for command in commands {
            let arguments = ["\(own)/\(command[0])"] + command.dropFirst() + ["--config", file]
            let result = try await SuiteProcess.run(arguments)
            #expect(result.status == 78, "\(command): \(result.output)")
            let expected = "\(file):3:5: unknown key 'c2s.limits.stanza_byte', did you mean 'stanza_bytes'?"
            #expect(result.output.contains(expected), "\(command): \(result.output)")
        }
    }

    @Test(arguments: ["router-1", "sm-1", "c2s-1"])
    func `every process serves its state over HTTP`(_ name: String) async throws {
        let suite = try await RunningSuite.shared()
        let live = try await suite.http(name, "/live")
        #expect(live.status == 200 && live.body == "live\n")
        #expect(try await suite.http(name, "/ready").body.hasPrefix("ready\n"))
        let metrics = try await suite.http(name, "/metrics").body
        #expect(metrics.hasSuffix("# EOF\n"))
        #expect(metrics.contains("jackdaw_build_info{") && metrics.contains("\nprocess_resident_memory_bytes "))
        let status = try JSONSerialization.jsonObject(with: Data(try await suite.http(name, "/status").body.utf8))
        #expect((status as? [String: Any])?["instance"] as? String == name)
    }
}
