// SPDX-License-Identifier: Apache-2.0

import NIOCore
import TestSupport
import Testing
import XMPPStream

@Suite struct TokenBucketTests {
    private func at(_ milliseconds: Int64) -> NIODeadline {
        .uptimeNanoseconds(1_000_000_000_000) + .milliseconds(milliseconds)
    }

    @Test func `a burst passes, and what is beyond waits for its share of the rate`() {
        var bucket = TokenBucket(rate: 10, burst: 5)
        for _ in 0..<5 { #expect(bucket.take(1, now: at(0)) == nil) }
        #expect(bucket.take(1, now: at(0)) == at(100))
        #expect(bucket.take(1, now: at(100)) == at(200))
        #expect(bucket.take(1, now: at(250)) == at(300))
    }

    @Test func `a bucket fills up to its burst and no further`() {
        var bucket = TokenBucket(rate: 10, burst: 5)
        for _ in 0..<8 { _ = bucket.take(1, now: at(0)) }
        #expect(bucket.take(5, now: at(1_000_000)) == nil)
        #expect(bucket.take(1, now: at(1_000_000)) == at(1_000_100))
    }

    @Test func `two hundred stanzas at ten a second take nineteen seconds`() {
        var bucket = TokenBucket(rate: 10, burst: 10)
        var now = at(0)
        for _ in 0..<200 {
            if let goOn = bucket.take(1, now: now) { now = goOn }
        }
        #expect(now == at(19_000))
    }

    @Test func `one taking that is larger than the burst is a debt, not a refusal`() {
        var bucket = TokenBucket(rate: 1000, burst: 100)
        #expect(bucket.take(1100, now: at(0)) == at(1000))
        #expect(bucket.take(0, now: at(500)) == at(1000))
        #expect(bucket.take(0, now: at(1000)) == nil)
    }

    @Test func `what is given back can be taken again, and fills no bucket over its brim`() {
        var bucket = TokenBucket(rate: 10, burst: 5)
        #expect(bucket.take(15, now: at(0)) == at(1_000))
        bucket.giveBack(8)
        #expect(bucket.take(0, now: at(0)) == at(200))
        bucket.giveBack(100)
        #expect(bucket.take(5, now: at(0)) == nil)
        #expect(bucket.take(1, now: at(0)) == at(100))
        var fresh = TokenBucket(rate: 1, burst: 1)
        fresh.giveBack(.max)
        fresh.giveBack(.min)
        #expect(fresh.take(1, now: at(0)) == nil)
    }

    @Test func `no rate is no limit`() {
        var bucket = TokenBucket.unlimited
        #expect(bucket.take(.max, now: at(0)) == nil)
        var negative = TokenBucket(rate: -1, burst: -1)
        #expect(negative.take(5, now: at(0)) == nil)
    }

    @Test func `extreme numbers do not trap`() {
        var bucket = TokenBucket(rate: 1, burst: 1)
        #expect(bucket.take(.max, now: at(0)) != nil)
        #expect(bucket.take(.min, now: at(0)) != nil)
        for _ in 0..<1000 { _ = bucket.take(.max, now: at(0)) }
        var fast = TokenBucket(rate: .max, burst: .max)
        #expect(fast.take(1, now: at(0)) == nil)
        var late = TokenBucket(rate: 1, burst: 1)
        _ = late.take(.max, now: .distantFuture)
        var early = TokenBucket(rate: 1, burst: .max)
        #expect(early.take(1, now: .uptimeNanoseconds(0)) == nil)
    }

    @Test func `a new limit keeps the debt`() {
        var bucket = TokenBucket(rate: 10, burst: 1)
        _ = bucket.take(20, now: at(0))
        var faster = bucket.with(rate: 100, burst: 1)
        #expect(faster.take(0, now: at(0)) == at(1990))
    }

    @Test(arguments: 1..<20)
    func `over time no more than rate and burst pass`(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        let rate = Int(1 + random.next() % 1000)
        let burst = Int(1 + random.next() % 1000)
        var bucket = TokenBucket(rate: rate, burst: burst)
        let start = at(0)
        var now = start
        var passed = 0
        for _ in 0..<2000 {
            let amount = Int(random.next() % 20)
            passed += amount
            if let goOn = bucket.take(amount, now: now) {
                #expect(goOn > now)
                now = goOn
            } else {
                now = now + .nanoseconds(Int64(random.next() % 20_000_000))
            }
            // A taking is allowed whole once the bucket is out of debt: what had passed by now is within the limit.
            let seconds = Double((now - start).nanoseconds) / 1e9
            #expect(Double(passed) <= seconds * Double(rate) + Double(burst) + 1)
        }
    }

    @Test func `the stricter of the two limits counts`() {
        var throttle = StreamThrottle(
            stanzas: TokenBucket(rate: 10, burst: 1),
            bytes: TokenBucket(rate: 1000, burst: 1000)
        )
        #expect(throttle.charge(stanzas: 1, bytes: 500, now: at(0)) == nil)
        #expect(throttle.charge(stanzas: 1, bytes: 100, now: at(0)) == at(100))
        #expect(throttle.charge(stanzas: 0, bytes: 1400, now: at(0)) == at(1000))
        var open = StreamThrottle()
        #expect(open.charge(stanzas: 1_000_000, bytes: 1_000_000_000, now: at(0)) == nil)
    }
}
