// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import TestSupport
import Testing
import XMPPCore

@testable import SM

@Suite struct UserStoreTests {
    private static let credentials = [
        CredentialRow(hash: "SHA-1", iterations: 4096, salt: [1, 0], storedKey: [2], serverKey: [3]),
        CredentialRow(hash: "SHA-512", iterations: 10_000, salt: [255], storedKey: [92, 34], serverKey: []),
    ]

    @Test("A user is made once, with its credentials")
    func create() async throws {
        let fixture = try await StoreFixture()
        let user = try BareJID(local: "o{}\\,b", domain: "localhost")
        #expect(try await fixture.on { UserStore(database: $0).create(user, credentials: Self.credentials) })
        #expect(try await fixture.on { UserStore(database: $0).exists(user) })
        #expect(try await !fixture.on { UserStore(database: $0).create(user, credentials: []) })
        let found = try await fixture.on {
            CredentialReader($0).credentials(local: user.local ?? "", domain: user.domain)
        }
        #expect(found == Self.credentials)
        try await fixture.database.shutdown()
    }

    @Test("New credentials replace all old ones, and only those of a user that exists")
    func setCredentials() async throws {
        let fixture = try await StoreFixture()
        let new = Array(Self.credentials.suffix(1))
        for credentials in [Self.credentials, new] {
            #expect(
                try await fixture.on { UserStore(database: $0).setCredentials(credentials, of: StoreFixture.juliet) }
            )
        }
        let found = try await fixture.on { CredentialReader($0).credentials(local: "juliet", domain: "localhost") }
        #expect(found == new)
        #expect(try await !fixture.on { UserStore(database: $0).setCredentials(new, of: StoreFixture.nobody) })
        try await fixture.database.shutdown()
    }

    @Test("Users are listed page by page, by domain")
    func list() async throws {
        let fixture = try await StoreFixture()
        for local in ["a", "b", "c"] {
            let user = try BareJID(local: local, domain: "example.org")
            _ = try await fixture.on { UserStore(database: $0).create(user, credentials: []) }
        }
        let first = try await fixture.on { UserStore(database: $0).list(domain: "example.org", limit: 2) }
        #expect(first.map(\.user.description) == ["a@example.org", "b@example.org"])
        #expect(first.allSatisfy { $0.created > 1_500_000_000_000_000 })
        let last = first.last?.user
        let rest = try await fixture.on { UserStore(database: $0).list(domain: "example.org", after: last, limit: 2) }
        #expect(rest.map(\.user.description) == ["c@example.org"])
        let all = try await fixture.on { UserStore(database: $0).list(domain: nil) }
        #expect(all.map(\.user.local) == ["a", "b", "c", "juliet", "romeo"])
        #expect(try await fixture.on { UserStore(database: $0).count(domain: "localhost") } == 2)
        #expect(try await fixture.on { UserStore(database: $0).count(domain: nil) } == 5)
        try await fixture.database.shutdown()
    }

    @Test("Removing a user removes every row of that user and none of another's")
    func remove() async throws {
        let fixture = try await StoreFixture()
        for user in [StoreFixture.juliet, StoreFixture.romeo] { try await fill(fixture, user) }
        let tables = try fixture.psql(
            """
            SELECT table_name FROM information_schema.tables
            WHERE table_schema = 'public' AND table_name <> 'schema_version' AND table_name NOT LIKE 'owner\\_%'
                AND table_name NOT LIKE 'session\\_%' ORDER BY 1
            """
        ).split(separator: "\n").map(String.init)
        #expect(tables.count >= 10)
        var before: [String: Int] = [:]
        for table in tables {
            before[table] = Int(try fixture.psql("SELECT count(*) FROM \(table)"))
            #expect((before[table] ?? 0) >= 2, "the test fills \(table)")
        }
        #expect(try await fixture.on { UserStore(database: $0).remove(StoreFixture.juliet) })
        for table in tables {
            #expect(Int(try fixture.psql("SELECT count(*) FROM \(table)")).map { $0 * 2 } == before[table], "\(table)")
        }
        #expect(try await !fixture.on { UserStore(database: $0).remove(StoreFixture.juliet) })
        #expect(try await fixture.on { UserStore(database: $0).remove(StoreFixture.romeo) })
        for table in tables { #expect(try fixture.psql("SELECT count(*) FROM \(table)") == "0", "\(table)") }
        try await fixture.database.shutdown()
    }

    /// Puts a row of the user into every table.
    private func fill(_ fixture: StoreFixture, _ user: BareJID) async throws {
        let bytes = ByteBuffer(string: "<x/>")
        let item = RosterItemRow(
            contact: "a@example.org",
            name: nil,
            subscription: "both",
            ask: false,
            approved: false,
            groups: []
        )
        var removed = item
        removed.contact = "b@example.org"
        let changes: [RosterChange] = [
            .put(item), .put(removed), .remove(contact: removed.contact),
            .putRequest(SubscriptionRequestRow(contact: "c@example.org", stanza: bytes, received: 1)),
        ]
        let entry = SpoolEntry(user: user, stableID: "s-1", stored: 1, stanza: bytes)
        try await fixture.on { database in
            let futures: [EventLoopFuture<Void>] = [
                UserStore(database: database).setCredentials(Self.credentials, of: user).map { _ in },
                RosterStore(database: database).apply(changes, to: user).map { _ in },
                SpoolStore(database: database).append(entry, quota: 10).map { _ in },
                BlocklistStore(database: database).add(["d@example.org"], to: user).map { _ in },
                VCardStore(database: database).set(bytes, of: user).map { _ in },
                PrivateStore(database: database).set(bytes, namespace: "n", name: "x", of: user).map { _ in },
                LastActivityStore(database: database).set(LastActivityRow(seen: 1, status: nil), of: user).map { _ in },
            ]
            return EventLoopFuture.andAllSucceed(futures, on: database.eventLoop)
        }
    }
}
