// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Daemon
import Testing

@testable import Ctl

/// The lists of several session managers as one.
@Suite struct SeveralManagersTests {
    private func rows(_ name: String, _ values: [(String, String)], _ other: String) -> [[AdminField]] {
        values.map { [AdminField(name, $0.0), AdminField(other, $0.1)] }
    }

    @Test func sessionsAreListedOnceInTheOrderOfTheirAddresses() {
        let lists = [
            rows("jid", [("b@x/1", "sm-1"), ("d@x/1", "sm-1")], "manager"),
            rows("jid", [("a@x/1", "sm-2"), ("d@x/1", "sm-2")], "manager"),
            [],
        ]
        let joined = SessionCommand.List.joined(lists).map { $0.map(\.value) }
        #expect(joined == [["a@x/1", "sm-2"], ["b@x/1", "sm-1"], ["d@x/1", "sm-2"]])
    }

    @Test func sessionsOfAUserAreCountedWhereverTheyAre() {
        let lists = [
            rows("user", [("a@x", "0"), ("b@x", "2")], "sessions"),
            rows("user", [("a@x", "1"), ("b@x", "1"), ("new@x", "1")], "sessions"),
        ]
        #expect(UserCommand.List.joined(lists).map { $0.map(\.value) } == [["a@x", "1"], ["b@x", "3"]])
        #expect(UserCommand.List.joined([]).isEmpty)
    }

    @Test func aRowOfTheSpoolIsToldOnce() {
        let spool = [AdminField("place", "spool"), AdminField("since", "then")]
        let sent = { (manager: String) in [AdminField("place", "sent"), AdminField("manager", manager)] }
        let lists = [[sent("sm-1"), spool], [spool], [sent("sm-2"), spool]]
        #expect(TraceCommand.Message.joined(lists) == [sent("sm-1"), sent("sm-2"), spool])
    }

    @Test func whoDidNotAnswerIsTold() throws {
        var answers = AdminClient.Answers()
        try answers.requireAll()
        answers.refusals = [Refusal(.unavailable, "sm-2 gave no answer in time"), .absent("sm-3 does not run")]
        let refusal = #expect(throws: Refusal.self) { try answers.requireAll() }
        #expect(refusal?.code == Daemon.ExitCode.unavailable.rawValue)
        #expect(refusal?.text == "this is not all: sm-2 gave no answer in time; sm-3 does not run")
    }
}
