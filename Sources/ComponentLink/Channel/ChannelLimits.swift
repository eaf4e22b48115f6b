// SPDX-License-Identifier: Apache-2.0

/// The bounds of a reliable channel.
package struct ChannelLimits: Sendable {
    /// Bytes that may be unacknowledged; beyond it the channel begins anew.
    package var bytes = 16 << 20
    /// How long the other end may be away, or acknowledge nothing of what it was sent, in milliseconds.
    package var silence: Int64 = 5_000
    /// A process that stood still for so long may have been given up by the others, in milliseconds.
    package var standstill: Int64 { self.silence / 2 }
    /// How long a way may stay without an acknowledgement, or a question without an answer, until the other ways are
    /// asked, in milliseconds.
    package var patience: Int64 = 1_000
    /// How long messages that are missing may stay away until they are asked for again, in milliseconds.
    package var gapAgain: Int64 = 250
    /// Messages, and bytes, that are taken before they are acknowledged at the end of a burst.
    package var acknowledgeEvery: UInt64 = 64
    package var acknowledgeEveryBytes = 256 << 10
    /// How long fewer wait for their acknowledgement, in milliseconds.
    package var acknowledgeAfter: Int64 = 100

    /// Makes the default bounds.
    package init() {}
}
