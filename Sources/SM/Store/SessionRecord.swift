// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SASL
import XMPPCore

/// What a new owner of a user has to know of a client session before a C2S presents it, or does not.
struct SessionRecord: Sendable, Equatable {
    /// The session's name: 128 random bits in base32.
    var name: String
    var user: BareJID
    var resource: String
    /// ``hash(ofToken:)`` of the resumption token; nil: it cannot be resumed. The token itself is never stored.
    var tokenHash: [UInt8]?
    /// For how long it waits for its resumption, once its connection broke.
    var resumptionSeconds: UInt32
    /// The C2S instance that has, or had, its connection.
    var instance: String
    /// How often it was attached.
    var attach: UInt64
    /// When its connection broke, in microseconds since 1970 UTC; nil while it is there.
    var detachedAt: Int64?
    /// The number of the last stanza of the unbroken run of settled ones.
    var settledRun: UInt64
    /// The number of the client's last stanza before `<enable/>`.
    var countsFrom: UInt64
    /// What else the owner keeps for itself.
    var state: ByteBuffer?

    /// SHA-256.
    static func hash(ofToken token: String) -> [UInt8] {
        Digest.sha256(Array(token.utf8))
    }

    /// About as many bytes as it takes to write.
    var weight: Int { 200 + resource.utf8.count + user.domain.utf8.count + 2 * (state?.readableBytes ?? 0) }
}

/// What is written at once.
struct SessionRecordBatch: Sendable, Equatable {
    /// At most one for each session.
    var records: [SessionRecord] = []
    /// Sessions that ended. None of them is in ``records``.
    var ended: [String] = []
    /// With this batch all sessions of the writer are in the table.
    var completes = false
    /// The batch takes effect under this epoch only; 0: under any.
    var epoch: UInt64 = 0
}

/// Who writes, and since which start of its process.
struct SessionRecordAuthor: Sendable, Equatable {
    var instance: String
    var incarnation: String
}

/// The records of all sessions. They do not survive a crash of PostgreSQL.
protocol SessionRecordStorage {
    /// Writes a batch, all of it or nothing, and gives whether all sessions of the author had been in the table before:
    /// where that is gone, the table was emptied. Fails with `DatabaseError.fenced` under another epoch.
    func write(_ batch: SessionRecordBatch, by author: SessionRecordAuthor) -> EventLoopFuture<Bool>

    /// A page of the records, in the order of their names, after the given one. It is empty when there are no more.
    func load(after name: String, limit: Int) -> EventLoopFuture<[SessionRecord]>

    /// Whose sessions are all in the table.
    func authors() -> EventLoopFuture<[SessionRecordAuthor]>
}
