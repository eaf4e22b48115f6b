// SPDX-License-Identifier: Apache-2.0

import Config
import Testing

@testable import Daemon

@Suite struct DaemonRunnerTests {
    @Test(
        arguments: [
            ([], "router-1", nil, Arguments.Mode.run), (["--check"], "router-1", nil, .check),
            (["--config", "x.yml", "--instance", "router-2"], "router-2", "x.yml", .run),
            (["--config=x.yml", "--instance=router-3"], "router-3", "x.yml", .run),
            (["--version", "nonsense"], "router-1", nil, .version), (["-h"], "router-1", nil, .help),
        ] as [([String], String, String?, Arguments.Mode)]
    )
    func argumentsAreFew(_ words: [String], _ instance: String, _ file: String?, _ mode: Arguments.Mode) throws {
        let arguments = try Arguments(words, kind: .router)
        #expect(arguments.instance.description == instance)
        #expect(arguments.configuration == file)
        #expect(arguments.mode == mode)
    }

    @Test(arguments: [
        ["--config"], ["--config="], ["--instance", "c2s-1"], ["--instance", "router"], ["--check=yes"], ["-x"], ["x"],
        [""],
        ["--instance"],
    ])
    func wrongArgumentsAreUsageErrors(_ words: [String]) async {
        #expect(throws: Arguments.UsageError.self) { _ = try Arguments(words, kind: .router) }
        let code = await DaemonRunner.run(arguments: words, kind: .router, check: { _ in [] }, start: { _ in [] })
        #expect(code == .usage)
    }

    @Test func missingConfigurationEndsWithItsOwnCode() async {
        let words = ["--config", "/nonexistent/jackdaw.yml"]
        let start = await DaemonRunner.run(arguments: words, kind: .sm, check: { _ in [] }, start: { _ in [] })
        #expect(start == .configuration)
        let check = await DaemonRunner.run(
            arguments: words + ["--check"],
            kind: .sm,
            check: { _ in [] },
            start: { _ in [] }
        )
        #expect(check == .configuration)
    }

    @Test(arguments: [
        (
            CheckFinding(.ok, "certificate localhost", "89 days left: until 2027"),
            "ok      certificate localhost: 89 days left: until 2027"
        ),
        (CheckFinding(.error, "database", "a\nb"), "error   database: a b"),
        (CheckFinding(.warning, "listener [::]:5222", "x"), "warning listener [::]:5222: x"),
    ])
    func findingsAreLinesThatCanBeReadAgain(_ finding: CheckFinding, _ line: String) throws {
        #expect(finding.line == line)
        let read = try #require(CheckFinding(line: line))
        #expect(read.line == line)
        #expect(read.subject == finding.subject)
        #expect(read.severity == finding.severity)
    }

    @Test(arguments: ["", "ok", "ok ", "fine    a: b", "ok      a b", "ok      a:b", "ok      a:"])
    func otherLinesAreNoFindings(_ line: String) {
        #expect(CheckFinding(line: line) == nil)
    }

    @Test func descriptorLimitIsRaisedToTheHardOne() {
        let raised = DescriptorLimit.raise()
        #expect(raised > 0)
        #expect(DescriptorLimit.current == raised)
    }
}
