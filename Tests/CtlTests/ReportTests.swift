// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ComponentLink
import Config
import Daemon
import Testing

@testable import Ctl

/// What the tool prints, for people and for machines, and how it ends.
@Suite struct ReportTests {
    private static let rows = [
        [
            AdminField("user", "alice@localhost"), AdminField("created", "2026-11-23T08:00:00Z"),
            AdminField("sessions", "2"),
        ],
        [AdminField("user", "b@localhost"), AdminField("sessions", ""), AdminField("more", "x")],
    ]

    // MARK: - Tables

    @Test func aTableHasItsHeadAndItsColumnsInLine() {
        #expect(
            Report.lines(Self.rows, columns: ["user", "created", "sessions"]) == [
                "user             created               sessions",
                "alice@localhost  2026-11-23T08:00:00Z  2",
                "b@localhost      -                     -",
            ]
        )
    }

    @Test func aTableOfNothingIsItsHead() {
        #expect(Report.lines([], columns: ["user", "created"]) == ["user  created"])
    }

    @Test func widthsAreThoseOfCharacters() {
        let rows = [[AdminField("a", "müller"), AdminField("b", "1")], [AdminField("a", "x"), AdminField("b", "2")]]
        #expect(Report.lines(rows, columns: ["a", "b"]) == ["a       b", "müller  1", "x       2"])
    }

    @Test(arguments: [
        ("plain", "plain"), ("", "-"), ("a\u{1B}[2Jb", "a\u{FFFD}[2Jb"), ("a\nb", "a\u{FFFD}b"),
        ("a\u{202E}b", "a\u{FFFD}b"), ("straße", "straße"),
    ])
    func textOfOthersDoesNotMoveTheCursor(_ value: String, _ expected: String) {
        #expect(Report.cell(value) == expected)
    }

    // MARK: - JSON

    @Test func jsonHasEveryFieldInItsOrder() {
        let text = Report.json(Self.rows, typed: UserCommand.typed)
        #expect(
            text == #"[{"user":"alice@localhost","created":"2026-11-23T08:00:00Z","sessions":2},"#
                + #"{"user":"b@localhost","sessions":"","more":"x"}]"#
        )
        #expect(Report.json([], typed: UserCommand.typed) == "[]")
    }

    @Test func jsonEscapesWhatATableReplaces() {
        let rows = [[AdminField("user", "a\u{1B}\"\\\n\u{7F}")]]
        #expect(Report.json(rows, typed: UserCommand.typed) == #"[{"user":"a\u001b\"\\\n\u007f"}]"#)
    }

    @Test(arguments: [
        ("priority", "-1", JSONText.Value.integer(-1)), ("priority", "", .null), ("unacknowledged", "7", .integer(7)),
        ("resumable", "true", .boolean(true)), ("resumable", "false", .boolean(false)), ("jid", "7", .text("7")),
    ])
    func fieldsOfSessionsHaveTheirTypes(_ name: String, _ value: String, _ expected: JSONText.Value) {
        #expect(SessionCommand.typed(name, value) == expected)
    }

    @Test(arguments: [
        ("uptime", "12", JSONText.Value.integer(12)), ("stanzas_in", "x", .text("x")),
        ("queued_bytes", "0", .integer(0)),
        ("default_route", "true", .boolean(true)), ("names", "a b", .array([.text("a"), .text("b")])),
        ("names", "", .array([])), ("name", "1", .text("1")),
    ])
    func fieldsOfComponentsHaveTheirTypes(_ name: String, _ value: String, _ expected: JSONText.Value) {
        #expect(ComponentCommand.typed(name, value) == expected)
    }

    @Test func whatWasDoneIsASentenceOrAnObject() {
        let members = [JSONText.Member("user", .text("alice@localhost"))]
        #expect(Report(json: false).text("alice@localhost was added.", members) == "alice@localhost was added.")
        #expect(Report(json: true).text("alice@localhost was added.", members) == #"{"user":"alice@localhost"}"#)
    }

    @Test func findingsAreLinesOrObjects() {
        let findings = [CheckFinding(.warning, "certificate of a", "9 days left"), CheckFinding(.ok, "b", "c")]
        #expect(CheckCommand.text(findings, json: false) == "warning certificate of a: 9 days left\nok      b: c")
        #expect(
            CheckCommand.text(findings, json: true)
                == #"[{"severity":"warning","subject":"certificate of a","text":"9 days left"},"#
                + #"{"severity":"ok","subject":"b","text":"c"}]"#
        )
    }

    @Test func theConfigurationIsLinesOrOneObject() {
        var configuration = JackdawConfiguration()
        configuration.domains = [HostedDomain(name: "müller.example")]
        let value = ConfigCommand.summary(configuration)
        let lines = ConfigCommand.lines(value)
        for line in [
            "domains[0]: müller.example", "certificates[0].dns_name: xn--mller-kva.example", "private_database: true",
            "paths.run: run", "router: 127.0.0.1:5347", "listeners[1].tls: direct", "http.sm: 15300",
            "supervisor.restart_delay_maximum: 30",
        ] {
            #expect(lines.contains(line), "\(line) in \(lines)")
        }
        #expect(JSONText.encode(value).hasPrefix(#"{"domains":["müller.example"],"certificates":[{"domain":"#))
    }

    // MARK: - Exit codes

    private struct Surprise: Error {}

    private func code(of body: () async throws -> Void) async -> Int32 {
        do {
            try await Report.running(body)
            return 0
        } catch {
            return Main.exitCode(for: error).rawValue
        }
    }

    @Test func aRefusalEndsWithItsCode() async {
        #expect(await code {} == 0)
        #expect(await code { throw Refusal(refused: "no") } == 1)
        for expected in [Daemon.ExitCode.usage, .unavailable, .internalError, .configuration] {
            #expect(await code { throw Refusal(expected, "no") } == expected.rawValue)
        }
        #expect(await code { throw ArgumentParser.ExitCode(78) } == 78)
    }

    @Test func aMistakeOfOursEndsWith70() async {
        #expect(await code { throw Surprise() } == 70)
    }
}
