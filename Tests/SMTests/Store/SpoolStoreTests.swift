// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import TestSupport
import Testing
import XMPPCore

@testable import SM

@Suite struct SpoolStoreTests {
    private func entry(_ number: Int, _ user: BareJID = StoreFixture.juliet) -> SpoolEntry {
        SpoolEntry(
            user: user,
            stableID: "session-\(number)",
            stored: 1_700_000_000_123_456 + Int64(number),
            stanza: ByteBuffer(string: "<message><body>\(number)\0</body></message>")
        )
    }

    private func append(_ entries: [SpoolEntry], quota: Int, to fixture: StoreFixture) async throws -> [SpoolOutcome] {
        try await fixture.on { database in
            let store = SpoolStore(database: database)
            let futures = entries.map { store.append($0, quota: quota) }
            return EventLoopFuture.whenAllSucceed(futures, on: database.eventLoop)
        }
    }

    @Test("Messages come back in order, page by page, as they were stored")
    func load() async throws {
        let fixture = try await StoreFixture()
        let entries = (0..<25).map { entry($0) }
        let outcomes = try await append(entries, quota: 1000, to: fixture)
        #expect(outcomes.allSatisfy { $0.isStored })
        var rows: [SpoolRow] = []
        while true {
            let last = rows.last?.position ?? .start
            let page = try await fixture.on {
                SpoolStore(database: $0).load(StoreFixture.juliet, after: last, limit: 10, bytes: 1 << 20)
            }
            rows += page
            if page.count < 10 { break }
        }
        #expect(rows.map(\.stableID) == entries.map(\.stableID))
        #expect(rows.map(\.stored) == entries.map(\.stored))
        #expect(rows.map(\.stanza) == entries.map(\.stanza))
        #expect(try await fixture.on { SpoolStore(database: $0).count(StoreFixture.juliet) } == 25)
        #expect(try await fixture.on { SpoolStore(database: $0).count(StoreFixture.romeo) } == 0)
        try await fixture.database.shutdown()
    }

    @Test("What arrived earlier and is stored later comes first, on whatever page")
    func arrivals() async throws {
        let fixture = try await StoreFixture()
        for number in [3, 1, 4, 0, 2] { _ = try await append([entry(number)], quota: 1000, to: fixture) }
        var names: [String] = []
        var last = SpoolPosition.start
        while true {
            let after = last
            let page = try await fixture.on {
                SpoolStore(database: $0).load(StoreFixture.juliet, after: after, limit: 2, bytes: 1 << 20)
            }
            guard let end = page.last?.position else { break }
            names += page.map(\.stableID)
            last = end
        }
        #expect(names == (0..<5).map { entry($0).stableID })
        try await fixture.database.shutdown()
    }

    @Test("A page ends with the row that makes it large enough, and is never empty while there are rows")
    func pageBytes() async throws {
        let fixture = try await StoreFixture()
        let sizes = [3_000, 10, 10, 5_000, 1, 1]
        let entries = sizes.enumerated().map { number, size in
            var entry = entry(number)
            entry.stanza = ByteBuffer(repeating: UInt8(ascii: "x"), count: size)
            return entry
        }
        _ = try await append(entries, quota: 1000, to: fixture)
        var pages: [[Int]] = []
        var last = SpoolPosition.start
        while true {
            let after = last
            let page = try await fixture.on {
                SpoolStore(database: $0).load(StoreFixture.juliet, after: after, limit: 3, bytes: 3_000)
            }
            guard let end = page.last?.position else { break }
            pages.append(page.map(\.stanza.readableBytes))
            last = end
        }
        #expect(pages == [[3_000], [10, 10, 5_000], [1, 1]])
        try await fixture.database.shutdown()
    }

    @Test("Storing a message twice stores it once, also when the spool is full by then")
    func duplicates() async throws {
        let fixture = try await StoreFixture()
        let twice = [entry(0), entry(0), entry(1), entry(0)]
        let outcomes = try await append(twice, quota: 2, to: fixture)
        #expect(outcomes.allSatisfy { $0.isStored } && Set(outcomes.map(\.row)).count == 2)
        #expect(try await fixture.on { SpoolStore(database: $0).count(StoreFixture.juliet) } == 2)
        let again = try await append([entry(1)], quota: 2, to: fixture)
        #expect(again == [outcomes[2]])
        try await fixture.database.shutdown()
    }

    @Test("The quota counts each user's messages alone")
    func quota() async throws {
        let fixture = try await StoreFixture()
        let entries = (0..<12).map { entry($0) } + [entry(0, StoreFixture.romeo), entry(0, StoreFixture.nobody)]
        let outcomes = try await append(entries, quota: 10, to: fixture)
        #expect(outcomes.prefix(10).allSatisfy { $0.isStored })
        #expect(outcomes[10...11].allSatisfy { $0 == .full })
        #expect(outcomes[12].isStored)
        #expect(outcomes[13] == .noSuchUser)
        #expect(try await append([entry(20, StoreFixture.romeo)], quota: 0, to: fixture) == [.full])
        try await fixture.database.shutdown()
    }

    @Test("Deleting by id or stable id takes what is named, once")
    func delete() async throws {
        let fixture = try await StoreFixture()
        _ = try await append((0..<5).map { entry($0) }, quota: 10, to: fixture)
        let juliet = StoreFixture.juliet
        let rows = try await fixture.on {
            SpoolStore(database: $0).load(juliet, after: .start, limit: 100, bytes: 1 << 20)
        }
        let ids = rows.prefix(2).map(\.id)
        #expect(try await fixture.on { SpoolStore(database: $0).delete(ids, of: StoreFixture.romeo) } == 0)
        #expect(try await fixture.on { SpoolStore(database: $0).delete(ids, of: juliet) } == 2)
        #expect(try await fixture.on { SpoolStore(database: $0).delete(ids, of: juliet) } == 0)
        let names = ["session-3", "session-9"]
        #expect(try await fixture.on { SpoolStore(database: $0).delete(stableIDs: names, of: juliet) } == 1)
        let left = try await fixture.on {
            SpoolStore(database: $0).load(juliet, after: .start, limit: 100, bytes: 1 << 20)
        }
        #expect(left.map(\.stableID) == ["session-2", "session-4"])
        try await fixture.database.shutdown()
    }
}

extension SpoolOutcome {
    var row: Int64? {
        guard case .stored(let row) = self else { return nil }
        return row
    }

    var isStored: Bool { row != nil }
}
