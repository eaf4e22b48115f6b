// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import Testing
import XMPPStream

@testable import C2S

@Suite struct LimitsTests {
    private static func address(_ text: String, prefix: Int = 64) -> ClientAddress {
        ClientAddress(text: text, ipv6Prefix: prefix)
    }

    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.2", false), ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true), ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ("::1", "0:0:0:0:0:0:0:2", true), ("::1", "192.0.2.1", false), ("fe80::1%eth0", "fe80::2%eth1", true),
    ])
    func `IPv4 counts by address and IPv6 by its prefix`(one: String, other: String, isSame: Bool) {
        #expect((Self.address(one) == Self.address(other)) == isSame)
    }

    /// SM counts registrations by it (XEP-0077), so a /64 is one address there too.
    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::9", "2001:db8:1:2:0:0:0:0/64"), ("2001:db8:1:2:ffff::1", "2001:db8:1:2:0:0:0:0/64"),
    ])
    func `a registration is told with the network of its client`(address: String, network: String) throws {
        let edge = try Edge { $0.registration.enabled = true }
        let client = try edge.connect(.direct, from: address)
        client.send(Conversation.header)
        client.send("<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>")
        let told = try #require(edge.takeSent().first)
        #expect(told.contains("<register ") && told.contains(" address='\(network)'"), "\(told)")
    }

    @Test func `other prefixes can be set`() {
        #expect(Self.address("2001:db8:1:2::1", prefix: 48) == Self.address("2001:db8:1:9::1", prefix: 48))
        #expect(Self.address("2001:db8::1", prefix: 128) != Self.address("2001:db8::2", prefix: 128))
        #expect(Self.address("2001:db8::1", prefix: 0) == Self.address("2002::2", prefix: 0))
        #expect(Self.address("::ffff:192.0.2.1").description == "192.0.2.1")
    }

    @Test(arguments: ["", "nonsense", "1.2.3", "1:2", "::g", "1.2.3.4.5", "1:2:3:4:5:6:7:8:9", ":::::::::"])
    func `what is no address is some address`(text: String) {
        #expect(Self.address(text).description == text)
    }

    @Test func `the connection that stands still for longest is known, and little is kept for it`() {
        final class Connection {}
        let connections = (0..<100).map { _ in Connection() }
        var order = ProgressOrder()
        var random = SystemRandomNumberGenerator()
        var times: [ObjectIdentifier: NIODeadline] = [:]
        for turn in 0..<20_000 {
            let id = ObjectIdentifier(connections[Int.random(in: 0..<100, using: &random)])
            if Int.random(in: 0..<10, using: &random) == 0 {
                order.remove(id)
                times[id] = nil
            } else {
                let time = NIODeadline.uptimeNanoseconds(UInt64(turn))
                order.progressed(id, at: time)
                times[id] = time
            }
            let stalest = order.stalest()
            #expect(stalest?.since == times.values.min())
            #expect(stalest.map { times[$0.id] == $0.since } ?? times.isEmpty)
            #expect(order.count == times.count)
            #expect(order.storedSteps <= 300)
        }
    }

    @Test func `what is unfinished is known, in all and of the one with the most`() {
        final class Connection {}
        let connections = (0..<4).map { _ in Connection() }
        let ids = connections.map { ObjectIdentifier($0) }
        var unfinished = UnfinishedInput()
        #expect(unfinished.largest == nil)
        for (index, bytes) in [10, 40, 20, 0].enumerated() { unfinished.set(bytes, of: ids[index]) }
        #expect(unfinished.total == 70)
        #expect(unfinished.largest == ids[1])
        unfinished.set(5, of: ids[1])
        #expect(unfinished.total == 35)
        #expect(unfinished.largest == ids[2])
        for id in ids { unfinished.set(0, of: id) }
        #expect(unfinished.total == 0)
        #expect(unfinished.largest == nil)
    }

    @Test func `connections are bounded per address, and in all`() {
        let limits = ConnectionLimiter.Limits(
            connections: 5,
            connectionsPerAddress: 3,
            unauthenticated: 4,
            unauthenticatedPerAddress: 2,
            handshakes: 1
        )
        var limiter = ConnectionLimiter(limits: limits)
        let (a, b, c) = (Self.address("192.0.2.1"), Self.address("192.0.2.2"), Self.address("192.0.2.3"))
        #expect(limiter.accepted(a) == nil)
        #expect(limiter.accepted(a) == nil)
        #expect(limiter.accepted(a) == .addressLimit)
        limiter.authenticated(a)
        #expect(limiter.accepted(a) == nil)
        #expect(limiter.accepted(a) == .addressLimit)
        #expect(limiter.accepted(b) == nil)
        #expect(limiter.accepted(b) == nil)
        // Four strangers.
        #expect(limiter.accepted(c) == .totalLimit)
        limiter.closed(b, wasAuthenticated: false)
        limiter.closed(a, wasAuthenticated: true)
        #expect(limiter.accepted(c) == nil)
        #expect(limiter.connections == 4)
        #expect(limiter.unauthenticated == 4)
        #expect(limiter.handshakeStarted() == true)
        #expect(limiter.handshakeStarted() == false)
        limiter.handshakeEnded()
        #expect(limiter.handshakeStarted() == true)
    }

    @Test func `what is closed leaves nothing behind`() {
        var limiter = ConnectionLimiter(limits: .init(connectionsPerAddress: 1))
        for number in 0..<1_000 {
            let address = Self.address("10.0.\(number / 256).\(number % 256)")
            #expect(limiter.accepted(address) == nil)
            limiter.authenticated(address)
            limiter.closed(address, wasAuthenticated: true)
        }
        #expect(limiter.connections == 0)
        #expect(limiter.unauthenticated == 0)
    }

    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test func `failed logins lock an account for a time, also one that does not exist`() {
        var throttle = LoginThrottle(limits: .init(failuresPerAccount: 2, failuresPerAddress: 100))
        let (a, b) = (Self.address("192.0.2.1"), Self.address("192.0.2.2"))
        #expect(throttle.mayTry(account: "x", address: a, now: Self.start) == true)
        _ = throttle.failed(account: "x", address: a, now: Self.start)
        #expect(throttle.mayTry(account: "x", address: b, now: Self.start) == true)
        _ = throttle.failed(account: "x", address: b, now: Self.start)
        #expect(throttle.mayTry(account: "x", address: a, now: Self.start) == false)
        #expect(throttle.mayTry(account: "x", address: b, now: Self.start) == false)
        #expect(throttle.mayTry(account: "y", address: a, now: Self.start) == true)
        #expect(throttle.mayTry(account: "x", address: a, now: Self.start + .minutes(5)) == true)
    }

    @Test func `where an account logged in before, the guesses of others do not lock it out`() {
        var throttle = LoginThrottle(limits: .init(failuresPerAccount: 2, failuresPerAddress: 10))
        let (home, attacker) = (Self.address("192.0.2.1"), Self.address("192.0.2.2"))
        throttle.succeeded(account: "x", address: home, now: Self.start)
        for _ in 0..<5 { _ = throttle.failed(account: "x", address: attacker, now: Self.start) }
        #expect(throttle.mayTry(account: "x", address: attacker, now: Self.start) == false)
        #expect(throttle.mayTry(account: "x", address: home, now: Self.start) == true)
    }

    @Test func `failed logins lock an address`() {
        var throttle = LoginThrottle(limits: .init(failuresPerAccount: 100, failuresPerAddress: 3))
        let a = Self.address("192.0.2.1")
        for number in 0..<3 { _ = throttle.failed(account: "user\(number)", address: a, now: Self.start) }
        throttle.succeeded(account: "own", address: a, now: Self.start)
        #expect(throttle.mayTry(account: "other", address: a, now: Self.start) == false)
    }

    @Test func `the delay grows and is bounded`() {
        let delays = (1...8).map { LoginThrottle.delay(afterFailures: $0).nanoseconds / 1_000_000 }
        #expect(delays == [100, 200, 400, 800, 1_600, 3_200, 3_200, 3_200])
        var throttle = LoginThrottle(limits: .init())
        let a = Self.address("192.0.2.1")
        #expect(throttle.failed(account: "x", address: a, now: Self.start) == .milliseconds(100))
        #expect(throttle.failed(account: "x", address: a, now: Self.start) == .milliseconds(200))
    }

    @Test func `the table of failures is bounded`() {
        var throttle = LoginThrottle(limits: .init(failuresPerAccount: 1, failuresPerAddress: 1, records: 100))
        for number in 0..<1_000 {
            let address = Self.address("10.0.\(number / 256).\(number % 256)")
            _ = throttle.failed(account: "user\(number)", address: address, now: Self.start)
            #expect(throttle.recordCount <= 102)
        }
    }
}
