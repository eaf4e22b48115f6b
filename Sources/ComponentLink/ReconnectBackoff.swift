// SPDX-License-Identifier: Apache-2.0

/// How long to wait before the next try to connect: doubled at each failure, with a random part so that processes
/// which lost the same router do not come back in one instant.
package struct ReconnectBackoff: Sendable, Equatable {
    /// The first delay.
    package var first: Duration
    /// The delays grow up to this one.
    package var longest: Duration
    private var failures = 0

    /// Makes the schedule of delays from `first` to `longest`.
    package init(first: Duration = .milliseconds(100), longest: Duration = .seconds(1)) {
        self.first = first
        self.longest = longest
    }

    /// The delay before the next try; `random` is between 0 and 1 and chooses in its upper half.
    package mutating func next(random: Double) -> Duration {
        let full = min(self.longest, self.first * (1 << min(self.failures, 16)))
        self.failures += 1
        return full / 2 + (full / 2) * max(0, min(1, random))
    }

    /// The link is up: the next failure starts over.
    package mutating func reset() {
        self.failures = 0
    }
}
