// SPDX-License-Identifier: Apache-2.0

import XML
package import XMPPCore

/// The counters of stream management (XEP-0198 version 1.6) on the side that holds the socket.
///
/// Numbers are those of `docs/protocols.md` section 2: 64 bits wide and never reset, so that nothing wraps between
/// our processes; `h` on the wire is their distance from the base, modulo 2^32.
///
/// | phase | left by |
/// | --- | --- |
/// | off | `enableRequested` → enabling |
/// | enabling (`<enable/>` went to the session's owner) | `enabled` → on, `enableFailed` → off |
/// | on | never |
///
/// What the client sent counts as handled when the owner reports it settled, not when it was read. A request that is
/// answered with less than was received leaves a debt, which `settled(upTo:)` pays with an `<a/>` of its own.
package struct StreamManagement: Hashable, Sendable {
    /// What to do with `<enable/>`.
    package enum EnableVerdict: Hashable, Sendable {
        /// Ask the session's owner; so many stanzas came before.
        case askOwner(stanzasBefore: UInt64)
        /// It was asked for before: `<failed/>` with `<unexpected-request/>` (XEP-0198 section 3).
        case unexpectedRequest
    }

    /// What to do with the client's `<a/>`.
    package enum AcknowledgementVerdict: Hashable, Sendable {
        /// The number of the last stanza that is acknowledged now, for the owner.
        case acknowledged(UInt64)
        /// Nothing new.
        case nothing
        /// Stream management is not on.
        case notEnabled
        /// The client acknowledges what was not sent: the stream ends.
        case handledCountTooHigh(HandledCountTooHigh)
    }

    private enum Phase: Hashable, Sendable {
        case off
        case enabling
        case on
    }

    /// How many stanzas the client sent in the session.
    package private(set) var received: UInt64 = 0
    /// Up to which of them all are settled.
    package private(set) var settled: UInt64 = 0
    /// The number of the last stanza that was sent to the client since stream management is on.
    package private(set) var sent: UInt64 = 0
    /// Up to which of them the client acknowledged.
    package private(set) var acknowledged: UInt64 = 0

    private var phase = Phase.off
    /// The number of the stanza before the first one that `h` counts; wraps when a session is resumed.
    package private(set) var base: UInt64 = 0
    /// What had been received when the oldest and the newest request was answered short; 0 for no debt.
    private var oldestDebt: UInt64 = 0
    private var newestDebt: UInt64 = 0
    /// The stanza up to which we asked the client to acknowledge, and whether the answer is still to come.
    private var requested: UInt64 = 0
    private var isRequestOpen = false

    package init() {}

    /// The counters of a session that is resumed on a new connection.
    ///
    /// - Parameters:
    ///   - next: the number of the next stanza from the client.
    ///   - handled: `h` as told to the client in `<resumed/>`.
    ///   - sent: the number of the last stanza that was ever sent to the client.
    ///   - clientHandled: `h` of the client's `<resume/>`, checked by the owner.
    package init(resumedAt next: UInt64, handled: UInt32, sent: UInt64, clientHandled: UInt32) {
        received = next &- 1
        settled = received
        base = received &- UInt64(handled)
        // What is beyond the client's count is sent again and counts as sent when it is.
        acknowledged = sent &- UInt64(UInt32(truncatingIfNeeded: sent) &- clientHandled)
        self.sent = acknowledged
        requested = acknowledged
        phase = .on
    }

    package var isOn: Bool { phase == .on }

    /// Whether the client's stanzas count: it has asked for it.
    package var isCounting: Bool { phase != .off }

    /// How many stanzas the client has received, as far as we know, without acknowledging them.
    package var unacknowledged: UInt64 { sent - acknowledged }

    /// The count of handled stanzas as the client is told it.
    package var handled: UInt32 { UInt32(truncatingIfNeeded: settled &- base) }
}

// MARK: - From the client

extension StreamManagement {
    /// The client sent a stanza; gives its number.
    package mutating func stanzaReceived() -> UInt64 {
        received &+= 1
        return received
    }

    /// The owner reported that all stanzas up to this one are settled. Gives the `h` of an `<a/>` to send unasked.
    package mutating func settled(upTo number: UInt64) -> UInt32? {
        guard number > settled else { return nil }
        settled = min(number, received)
        return payDebt()
    }

    /// The client sent `<r/>`. Gives the `h` to answer at once; nil if there is nothing to answer yet, which while
    /// `<enable/>` is under way is paid for by `enabled`.
    package mutating func acknowledgementRequested() -> UInt32? {
        guard phase != .off else { return nil }
        if settled < received || phase == .enabling {
            if oldestDebt == 0 { oldestDebt = received }
            newestDebt = received
        }
        return phase == .on ? handled : nil
    }

    /// Whether the debt is due, and its amount. After the oldest debt the newest is what the client waits for; those
    /// between need no answer of their own.
    private mutating func payDebt() -> UInt32? {
        guard phase == .on, oldestDebt > 0, settled >= oldestDebt else { return nil }
        oldestDebt = settled >= newestDebt ? 0 : newestDebt
        if oldestDebt == 0 { newestDebt = 0 }
        return handled
    }
}

// MARK: - Enabling

extension StreamManagement {
    /// The client sent `<enable/>`.
    package mutating func enableRequested() -> EnableVerdict {
        guard phase == .off else { return .unexpectedRequest }
        phase = .enabling
        base = received
        return .askOwner(stanzasBefore: received)
    }

    /// The owner agreed: `<enabled/>` goes to the client, and after it an `<a/>` if this gives its `h`.
    package mutating func enabled() -> UInt32? {
        guard phase == .enabling else { return nil }
        phase = .on
        // Stanzas from before are not counted, and need not be settled for the count to start.
        settled = max(settled, base)
        let wasRequested = oldestDebt > 0
        return payDebt() ?? (wasRequested ? handled : nil)
    }

    /// The owner refused: `<failed/>` goes to the client.
    package mutating func enableFailed() {
        guard phase == .enabling else { return }
        phase = .off
        oldestDebt = 0
        newestDebt = 0
    }
}

// MARK: - To the client

extension StreamManagement {
    /// A stanza with this number was written to the client.
    package mutating func stanzaSent(number: UInt64) {
        sent = max(sent, number)
    }

    /// Whether to write an `<r/>` at the end of a run of stanzas: something was sent since the last one, and its
    /// answer is not still to come. To be asked once per flush, so that a busy stream has one request under way.
    package mutating func requestIsDue() -> Bool {
        guard phase == .on, !isRequestOpen, sent > requested else { return false }
        requested = sent
        isRequestOpen = true
        return true
    }

    /// Whether an `<a/>` with this `h` would acknowledge anything that is not acknowledged yet.
    package func isNew(h: UInt32) -> Bool {
        let step = UInt64(h &- UInt32(truncatingIfNeeded: acknowledged))
        return phase == .on && step > 0 && step <= sent - acknowledged
    }

    /// The client sent `<a/>`.
    package mutating func acknowledgementReceived(h: UInt32) -> AcknowledgementVerdict {
        guard phase == .on else { return .notEnabled }
        isRequestOpen = false
        let step = UInt64(h &- UInt32(truncatingIfNeeded: acknowledged))
        guard step <= sent - acknowledged else {
            let fault = HandledCountTooHigh(h: h, sendCount: UInt32(truncatingIfNeeded: sent))
            return .handledCountTooHigh(fault)
        }
        guard step > 0 else { return .nothing }
        acknowledged += step
        return .acknowledged(acknowledged)
    }
}

/// The error of a client that acknowledged more than it was sent: the stream error `<undefined-condition/>` with
/// `<handled-count-too-high/>` (XEP-0198 section 4).
package struct HandledCountTooHigh: Error, Hashable, Sendable {
    package let h: UInt32
    package let sendCount: UInt32

    package init(h: UInt32, sendCount: UInt32) {
        self.h = h
        self.sendCount = sendCount
    }

    /// The error to end the stream with.
    package var streamError: StreamError {
        let fault = Element(
            "handled-count-too-high",
            Namespace.streamManagement,
            attributes: ["h": String(h), "send-count": String(sendCount)]
        )
        return StreamError(.undefinedCondition, application: fault)
    }
}
