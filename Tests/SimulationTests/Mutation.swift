// SPDX-License-Identifier: Apache-2.0

/// A rule of `docs/protocols.md` that is broken in a schedule, so that it is seen that the simulation notices it.
enum Mutation: CaseIterable, Sendable {
    /// A stanza is settled as soon as an SM has it (section 2).
    case settledAtOnce
    /// A forwarded stanza is settled as soon as its owner has it (section 5).
    case forwardedIsSettledAtOnce
    /// What a client was sent and has not acknowledged is not handed over with its session (section 5).
    case unacknowledgedIsNotPresented
    /// An SM delivers before it has heard what others have of its users (section 5).
    case takeoverDoesNotWait
    /// A C2S forgets a broken session before its owner has taken that (section 5).
    case ghostsAreForgotten
    /// A client gets each stanza twice (section 4).
    case deliveredTwice
    /// A row is gone before a client has acknowledged it (section 2).
    case rowsGoWhenTheyAreRead
    /// An SM that is no owner any more writes on (section 5).
    case nothingIsFenced
    /// Nobody knows of the sessions that were broken when their SM died (section 5).
    case recordsAreLost

    /// Schedules that noticed it, which are tried first: few do. Names of sessions are random, so none is certain to.
    var seeds: [Int] {
        switch self {
        case .takeoverDoesNotWait: [674]
        case .nothingIsFenced: [990]
        default: []
        }
    }
}
