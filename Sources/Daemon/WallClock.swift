// SPDX-License-Identifier: Apache-2.0

/// The time of day, for what is kept or shown; for durations there is `NIODeadline`.
package enum WallClock {
    /// Microseconds since 1970-01-01 UTC.
    package static func microseconds() -> Int64 {
        let now = Timestamp.now()
        return Int64(now.seconds) * 1_000_000 + Int64(now.microseconds)
    }
}
