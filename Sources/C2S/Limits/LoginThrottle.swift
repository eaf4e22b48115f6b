// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XMPPStream

/// Makes guessing passwords slow: counts failed logins per account and per client address. Pure; owned by the loop.
///
/// Each failure makes the answer to the next one later; at the bound, logins are refused until the period is over.
/// An account that does not exist is counted like one that does, so that nothing tells them apart. Addresses at which
/// an account has logged in are not locked out by the guesses of others.
struct LoginThrottle {
    struct Limits: Equatable {
        var failuresPerAccount = 20
        var failuresPerAddress = 50
        var period = TimeAmount.minutes(5)
        /// What is remembered at most: past it, the records that end first go.
        var records = 100_000
    }

    private enum Key: Hashable {
        case account(String)
        case address(ClientAddress)
    }

    private struct Record {
        var failures: Int
        var end: NIODeadline
    }

    private struct Acquaintance: Hashable {
        var account: String
        var address: ClientAddress
    }

    var limits: Limits
    private var records: [Key: Record] = [:]
    private var acquaintances: [Acquaintance: NIODeadline] = [:]
    private var nextSweep = NIODeadline.uptimeNanoseconds(0)
    /// An account is known at an address for so long after a login.
    private static let acquaintanceTime = TimeAmount.hours(24 * 7)

    var recordCount: Int { records.count }

    init(limits: Limits) {
        self.limits = limits
    }

    /// Whether a login may be tried. The answer does not depend on whether the account exists.
    mutating func mayTry(account: String, address: ClientAddress, now: NIODeadline) -> Bool {
        if failures(.address(address), now) >= limits.failuresPerAddress { return false }
        if failures(.account(account), now) < limits.failuresPerAccount { return true }
        return (acquaintances[Acquaintance(account: account, address: address)] ?? now) > now
    }

    /// A login failed; the result says for how long to hold the answer back.
    mutating func failed(account: String?, address: ClientAddress, now: NIODeadline) -> TimeAmount {
        sweep(now)
        let fromAddress = count(.address(address), now)
        let ofAccount = account.map { count(.account($0), now) } ?? 0
        return Self.delay(afterFailures: max(fromAddress, ofAccount))
    }

    /// A login succeeded: the account's failures are forgiven, those of the address are not, since whoever owns one
    /// account could otherwise guess at others for ever.
    mutating func succeeded(account: String, address: ClientAddress, now: NIODeadline) {
        sweep(now)
        records[.account(account)] = nil
        acquaintances[Acquaintance(account: account, address: address)] = now + Self.acquaintanceTime
    }

    /// 0.1 s, doubled by every failure, up to 3.2 s.
    static func delay(afterFailures failures: Int) -> TimeAmount {
        .milliseconds(Int64(100) << Int64(min(max(failures - 1, 0), 5)))
    }

    private func failures(_ key: Key, _ now: NIODeadline) -> Int {
        guard let record = records[key], record.end > now else { return 0 }
        return record.failures
    }

    private mutating func count(_ key: Key, _ now: NIODeadline) -> Int {
        let failures = failures(key, now) + 1
        let end = failures == 1 ? now + limits.period : records[key]?.end ?? now + limits.period
        records[key] = Record(failures: failures, end: end)
        return failures
    }

    /// Forgets what is over, now and then, or, when it is too much, what would end first.
    private mutating func sweep(_ now: NIODeadline) {
        guard now >= nextSweep || records.count >= limits.records || acquaintances.count >= limits.records else {
            return
        }
        nextSweep = now + limits.period
        records = records.filter { $0.value.end > now }
        acquaintances = acquaintances.filter { $0.value > now }
        if records.count >= limits.records {
            let kept = records.sorted { $0.value.end > $1.value.end }.prefix(limits.records / 2)
            records = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
        }
        if acquaintances.count >= limits.records {
            let kept = acquaintances.sorted { $0.value > $1.value }.prefix(limits.records / 2)
            acquaintances = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
        }
    }
}
