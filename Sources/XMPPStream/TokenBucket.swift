// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// A rate with a burst: tells when to go on, and drops nothing.
///
/// What was taken is always taken; when it was more than the bucket held, the answer is the time at which the bucket
/// is out of debt, until which the caller stops reading. Kept as the time at which the bucket would be full again
/// (the generic cell rate algorithm): one number, no timer, no drift.
package struct TokenBucket: Hashable, Sendable {
    /// Tokens per second; 0 for no limit.
    package let rate: Int
    /// How many tokens the full bucket holds.
    package let burst: Int
    /// When the bucket is full again.
    private var fullAt = NIODeadline.uptimeNanoseconds(0)

    package init(rate: Int, burst: Int) {
        self.rate = max(rate, 0)
        self.burst = max(burst, 1)
    }

    package static let unlimited = TokenBucket(rate: 0, burst: 1)

    /// Takes tokens; gives the time to go on at if the bucket is in debt now.
    package mutating func take(_ tokens: Int, now: NIODeadline) -> NIODeadline? {
        guard rate > 0 else { return nil }
        fullAt = max(fullAt, now) + .nanoseconds(Self.nanoseconds(max(tokens, 0), at: rate))
        let goOn = fullAt - .nanoseconds(Self.nanoseconds(burst, at: rate))
        return goOn > now ? goOn : nil
    }

    /// Gives tokens back that were taken; a bucket is never fuller than full.
    package mutating func giveBack(_ tokens: Int) {
        guard rate > 0 else { return }
        let time = UInt64(clamping: Self.nanoseconds(max(tokens, 0), at: rate))
        fullAt = .uptimeNanoseconds(fullAt.uptimeNanoseconds - min(time, fullAt.uptimeNanoseconds))
    }

    /// The same history under another limit, as when a client has logged in.
    package func with(rate: Int, burst: Int) -> TokenBucket {
        var bucket = TokenBucket(rate: rate, burst: burst)
        bucket.fullAt = fullAt
        return bucket
    }

    /// The time that so many tokens take, a day at most, which keeps the arithmetic in range.
    private static func nanoseconds(_ tokens: Int, at rate: Int) -> Int64 {
        let second: UInt = 1_000_000_000
        let day = Int64(86_400) * 1_000_000_000
        let product = UInt(tokens).multipliedFullWidth(by: second)
        let divisor = UInt(rate)
        guard product.high < divisor else { return day }
        let (quotient, remainder) = divisor.dividingFullWidth(product)
        let rounded = remainder > 0 && quotient < UInt.max ? quotient + 1 : quotient
        return min(Int64(clamping: rounded), day)
    }
}

/// The limits of one connection: stanzas and bytes per second (XEP-0478 announces them).
package struct StreamThrottle: Hashable, Sendable {
    package var stanzas: TokenBucket
    package var bytes: TokenBucket

    package init(stanzas: TokenBucket = .unlimited, bytes: TokenBucket = .unlimited) {
        self.stanzas = stanzas
        self.bytes = bytes
    }

    /// Charges what was read; gives the time until which to stop reading, if any.
    package mutating func charge(stanzas count: Int, bytes size: Int, now: NIODeadline) -> NIODeadline? {
        let afterStanzas = stanzas.take(count, now: now)
        let afterBytes = bytes.take(size, now: now)
        guard let afterStanzas, let afterBytes else { return afterStanzas ?? afterBytes }
        return max(afterStanzas, afterBytes)
    }
}
