// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import TestSupport
import Testing
import XMPPCore

@testable import SM

/// Blocklists, vCards, private storage and last activity.
@Suite struct ProfileStoreTests {
    private static let juliet = StoreFixture.juliet

    @Test("A blocklist is a set of addresses, up to the longest that there are")
    func blocklist() async throws {
        let fixture = try await StoreFixture()
        let part = { (character: Character) in String(repeating: character, count: 1023) }
        // Text that does not compress, as an index would compress it.
        let random = String((0..<1023).map { _ in Character(Unicode.Scalar(UInt8.random(in: 0x61...0x7a))) })
        let long = "\(random)@\(part("b"))/\(random.reversed())"
        let jids = ["example.org", "a@example.org/r", long]
        #expect(try await fixture.on { BlocklistStore(database: $0).add(jids + ["example.org"], to: Self.juliet) } == 3)
        #expect(try await fixture.on { BlocklistStore(database: $0).add([long], to: Self.juliet) } == 0)
        #expect(try await Set(fixture.on { BlocklistStore(database: $0).load(Self.juliet) }) == Set(jids))
        let gone = [long, "x.org"]
        #expect(try await fixture.on { BlocklistStore(database: $0).remove(gone, from: Self.juliet) } == 1)
        #expect(try await fixture.on { BlocklistStore(database: $0).clear(Self.juliet) } == 2)
        #expect(try await fixture.on { BlocklistStore(database: $0).load(Self.juliet) }.isEmpty)
        try await fixture.database.shutdown()
    }

    @Test("A vCard is kept whole and replaced")
    func vcard() async throws {
        let fixture = try await StoreFixture()
        #expect(try await fixture.on { VCardStore(database: $0).load(Self.juliet) } == nil)
        for text in ["<vCard/>", "<vCard>\0\u{ff}</vCard>"] {
            let vcard = ByteBuffer(string: text)
            #expect(try await fixture.on { VCardStore(database: $0).set(vcard, of: Self.juliet) })
            #expect(try await fixture.on { VCardStore(database: $0).load(Self.juliet) } == vcard)
            #expect(try await !fixture.on { VCardStore(database: $0).set(vcard, of: StoreFixture.nobody) })
        }
        try await fixture.database.shutdown()
    }

    @Test("Private storage keeps one element for each namespace and name")
    func privateXML() async throws {
        let fixture = try await StoreFixture()
        for (namespace, name, text) in [("n", "a", "1"), ("n", "b", "2"), ("m", "a", "33"), ("n", "a", "4")] {
            let xml = ByteBuffer(string: text)
            #expect(
                try await fixture.on {
                    PrivateStore(database: $0).set(xml, namespace: namespace, name: name, of: Self.juliet)
                }
            )
        }
        for (namespace, name, text) in [("n", "a", "4"), ("n", "b", "2"), ("m", "a", "33")] {
            let xml = try await fixture.on {
                PrivateStore(database: $0).load(Self.juliet, namespace: namespace, name: name)
            }
            #expect(xml == ByteBuffer(string: text))
        }
        let none = try await fixture.on { PrivateStore(database: $0).load(Self.juliet, namespace: "m", name: "b") }
        #expect(none == nil)
        let usage = try await fixture.on { PrivateStore(database: $0).usage(Self.juliet, without: []) }
        #expect(usage == PrivateUsageRow(elements: 3, bytes: 4))
        let rest = try await fixture.on { PrivateStore(database: $0).usage(Self.juliet, without: [("m", "a")]) }
        #expect(rest == PrivateUsageRow(elements: 2, bytes: 2))
        try await fixture.database.shutdown()
    }

    @Test("A namespace that is too long for the index is refused by a constraint")
    func longNamespace() async throws {
        let fixture = try await StoreFixture()
        let namespace = String(repeating: "n", count: 1501)
        let error = await failure {
            try await fixture.on {
                PrivateStore(database: $0).set(ByteBuffer(), namespace: namespace, name: "x", of: Self.juliet)
            }
        }
        #expect(error == .constraint(name: "private_xml_namespace_check", sqlstate: "23514"))
        try await fixture.database.shutdown()
    }

    @Test("Last activity is the last one")
    func lastActivity() async throws {
        let fixture = try await StoreFixture()
        #expect(try await fixture.on { LastActivityStore(database: $0).load(Self.juliet) } == nil)
        for activity in [LastActivityRow(seen: 1_700_000_000_000_001, status: "bye"), LastActivityRow(seen: 5)] {
            #expect(try await fixture.on { LastActivityStore(database: $0).set(activity, of: Self.juliet) })
            #expect(try await fixture.on { LastActivityStore(database: $0).load(Self.juliet) } == activity)
        }
        try await fixture.database.shutdown()
    }
}
