// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import SM

/// RFC 6121 appendix A, row by row. The tables stand here as the RFC prints them, so that they can be laid beside it.
@Suite struct SubscriptionTableTests {
    struct Row: CustomTestStringConvertible, Sendable {
        let isOutbound: Bool
        let stanza: SubscriptionStanza
        let state: SubscriptionState
        let passes: Bool
        let newState: SubscriptionState

        var testDescription: String { "\(isOutbound ? "outbound" : "inbound") \(stanza) in \(state)" }
    }

    private static let names: [String: SubscriptionState] = [
        "None": .none, "None + Pending Out": .nonePendingOut, "None + Pending In": .nonePendingIn,
        "None + Pending Out+In": .nonePendingOutIn, "To": .to, "To + Pending In": .toPendingIn, "From": .from,
        "From + Pending Out": .fromPendingOut, "Both": .both,
    ]

    private static let outbound: [(SubscriptionStanza, String)] = [
        (
            .subscribe,
            """
            None                  | MUST     | None + Pending Out
            None + Pending Out    | MUST     | no state change
            None + Pending In     | MUST     | None + Pending Out+In
            None + Pending Out+In | MUST     | no state change
            To                    | MUST     | no state change
            To + Pending In       | MUST     | no state change
            From                  | MUST     | From + Pending Out
            From + Pending Out    | MUST     | no state change
            Both                  | MUST     | no state change
            """
        ),
        (
            .unsubscribe,
            """
            None                  | MUST     | no state change
            None + Pending Out    | MUST     | None
            None + Pending In     | MUST     | no state change
            None + Pending Out+In | MUST     | None + Pending In
            To                    | MUST     | None
            To + Pending In       | MUST     | None + Pending In
            From                  | MUST     | no state change
            From + Pending Out    | MUST     | From
            Both                  | MUST     | From
            """
        ),
        (
            .subscribed,
            """
            None                  | MUST NOT | no state change
            None + Pending Out    | MUST NOT | no state change
            None + Pending In     | MUST     | From
            None + Pending Out+In | MUST     | From + Pending Out
            To                    | MUST NOT | no state change
            To + Pending In       | MUST     | Both
            From                  | MUST NOT | no state change
            From + Pending Out    | MUST NOT | no state change
            Both                  | MUST NOT | no state change
            """
        ),
        (
            .unsubscribed,
            """
            None                  | MUST NOT | no state change
            None + Pending Out    | MUST NOT | no state change
            None + Pending In     | MUST     | None
            None + Pending Out+In | MUST     | None + Pending Out
            To                    | MUST NOT | no state change
            To + Pending In       | MUST     | To
            From                  | MUST     | None
            From + Pending Out    | MUST     | None + Pending Out
            Both                  | MUST     | To
            """
        ),
    ]

    private static let inbound: [(SubscriptionStanza, String)] = [
        (
            .subscribe,
            """
            None                  | MUST     | None + Pending In
            None + Pending Out    | MUST     | None + Pending Out+In
            None + Pending In     | MUST NOT | no state change
            None + Pending Out+In | MUST NOT | no state change
            To                    | MUST     | To + Pending In
            To + Pending In       | MUST NOT | no state change
            From                  | MUST NOT | no state change
            From + Pending Out    | MUST NOT | no state change
            Both                  | MUST NOT | no state change
            """
        ),
        (
            .unsubscribe,
            """
            None                  | MUST NOT | no state change
            None + Pending Out    | MUST NOT | no state change
            None + Pending In     | MUST     | None
            None + Pending Out+In | MUST     | None + Pending Out
            To                    | MUST NOT | no state change
            To + Pending In       | MUST     | To
            From                  | MUST     | None
            From + Pending Out    | MUST     | None + Pending Out
            Both                  | MUST     | To
            """
        ),
        (
            .subscribed,
            """
            None                  | MUST NOT | no state change
            None + Pending Out    | MUST     | To
            None + Pending In     | MUST NOT | no state change
            None + Pending Out+In | MUST     | To + Pending In
            To                    | MUST NOT | no state change
            To + Pending In       | MUST NOT | no state change
            From                  | MUST NOT | no state change
            From + Pending Out    | MUST     | Both
            Both                  | MUST NOT | no state change
            """
        ),
        (
            .unsubscribed,
            """
            None                  | MUST NOT | no state change
            None + Pending Out    | MUST     | None
            None + Pending In     | MUST NOT | no state change
            None + Pending Out+In | MUST     | None + Pending In
            To                    | MUST     | None
            To + Pending In       | MUST     | None + Pending In
            From                  | MUST NOT | no state change
            From + Pending Out    | MUST     | From
            Both                  | MUST     | From
            """
        ),
    ]

    static let rows: [Row] =
        outbound.flatMap { parse($0.1, $0.0, isOutbound: true) }
        + inbound.flatMap { parse($0.1, $0.0, isOutbound: false) }

    private static func parse(_ table: String, _ stanza: SubscriptionStanza, isOutbound: Bool) -> [Row] {
        table.split(separator: "\n").compactMap { line in
            let cells = line.split(separator: "|").map { cell in
                String(cell.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
            }
            guard cells.count == 3, let state = names[cells[0]] else { return nil }
            guard let newState = cells[2] == "no state change" ? state : names[cells[2]] else { return nil }
            return Row(
                isOutbound: isOutbound,
                stanza: stanza,
                state: state,
                passes: cells[1] == "MUST",
                newState: newState
            )
        }
    }

    @Test func `the tables are complete`() {
        #expect(Self.rows.count == 8 * 9)
        #expect(Set(Self.rows.map(\.testDescription)).count == 8 * 9)
    }

    @Test(arguments: rows)
    func `a row moves as the RFC says`(_ row: Row) {
        let entry =
            row.isOutbound
            ? SubscriptionTables.outbound(row.stanza, in: row.state)
            : SubscriptionTables.inbound(row.stanza, in: row.state)
        #expect(entry == SubscriptionTables.Row(passes: row.passes, newState: row.newState))

        var machine = SubscriptionStateMachine(state: row.state)
        let outcome = row.isOutbound ? machine.sent(row.stanza) : machine.received(row.stanza)
        #expect(machine.state == row.newState)
        #expect(outcome.passes == row.passes)
    }

    /// What a roster shows is pushed when it changed, and only then; a request of the contact does not show.
    @Test(arguments: rows)
    func `a row pushes what a roster shows, and nothing else`(_ row: Row) {
        var machine = SubscriptionStateMachine(state: row.state)
        let outcome = row.isOutbound ? machine.sent(row.stanza) : machine.received(row.stanza)
        let isShownChanged =
            row.state.subscription != row.newState.subscription || row.state.isPendingOut != row.newState.isPendingOut
        #expect(outcome.pushes == (isShownChanged || machine.isApproved))
        switch (row.state.isPendingIn, row.newState.isPendingIn) {
        case (false, true): #expect(outcome.request == .store)
        case (true, false): #expect(outcome.request == .drop)
        default: #expect(outcome.request == .keep)
        }
    }

    @Test(arguments: rows)
    func `presence follows the leave to see it, and the server answers only who has it`(_ row: Row) {
        var machine = SubscriptionStateMachine(state: row.state)
        let outcome = row.isOutbound ? machine.sent(row.stanza) : machine.received(row.stanza)
        let isAskedAgain = !row.isOutbound && row.stanza == .subscribe && row.state.sendsPresence
        #expect(outcome.reply == (isAskedAgain ? .subscribed : nil))
        switch (row.state.sendsPresence, row.newState.sendsPresence) {
        case (false, true): #expect(outcome.presence == .sendCurrent)
        case (true, false): #expect(outcome.presence == .sendUnavailable)
        default: #expect(outcome.presence == (isAskedAgain ? .sendCurrent : .keep))
        }
    }
}
