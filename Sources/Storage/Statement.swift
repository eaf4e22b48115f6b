// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// One SQL statement of the program, prepared under its name on first use by each connection.
///
/// Parameters are `$1`, `$2`, … ; results are read in binary form (see ``Row``). Names must be unique in a process.
package struct Statement: Sendable, Hashable {
    package let name: String
    package let sql: String
    /// Whether running it twice has the effect of running it once. A connection that is lost after the statement was
    /// sent leaves its outcome unknown: a repeatable statement is then sent again, any other fails with
    /// ``DatabaseError/unavailable``. What runs in the read lane is always repeatable.
    package let isRepeatable: Bool

    package init(_ name: String, isRepeatable: Bool = false, _ sql: String) {
        self.name = name
        self.sql = sql
        self.isRepeatable = isRepeatable
    }
}

/// A parameter of a statement.
///
/// All but the two byte forms travel in text form, so that PostgreSQL converts them to the parameter's inferred type.
package enum DatabaseValue: Sendable, Equatable {
    case null
    case text(String)
    case int(Int64)
    case bool(Bool)
    /// A `bytea`, sent as it is.
    case bytes([UInt8])
    /// A `bytea` (the readable bytes), sent as it is.
    case buffer(ByteBuffer)
    /// An array of any type whose elements are written as text: `text[]`, `int[]`, `bytea[]` (see ``hex(_:)``).
    case texts([String])

    /// Bytes as an element of a `bytea[]` in ``texts(_:)``.
    package static func hex(_ bytes: some Sequence<UInt8>) -> String {
        var text = "\\x"
        for byte in bytes {
            text.append(byte < 16 ? "0" : "")
            text.append(String(byte, radix: 16))
        }
        return text
    }

    /// A text, or null.
    package static func optional(_ text: String?) -> DatabaseValue {
        text.map { .text($0) } ?? .null
    }

    /// About as many bytes as the value occupies in a queue.
    var weight: Int {
        switch self {
        case .null, .int, .bool: 8
        case .text(let text): text.utf8.count
        case .bytes(let bytes): bytes.count
        case .buffer(let buffer): buffer.readableBytes
        case .texts(let texts): texts.reduce(0) { $0 + $1.utf8.count + 8 }
        }
    }
}

/// A statement and its parameters.
package struct Request: Sendable {
    package var statement: Statement
    package var values: [DatabaseValue]

    package init(_ statement: Statement, _ values: [DatabaseValue] = []) {
        self.statement = statement
        self.values = values
    }
}

/// Which connections may run a request.
package enum Lane: Sendable, Equatable {
    /// Any reading connection; no order among requests.
    case read
    /// The writing connection that the key selects: requests with the same key run in the order they were made.
    /// A read that must see an earlier write of the same key may use it, too.
    ///
    /// The key is a user's bare JID: where a fence is set (``Database/renewFence(epoch:keeping:)``), the request takes
    /// effect only while that user is ours.
    case write(String)
    /// Likewise, in order with what else has the key, but whoever owns the user: for accounts, and for what is no user's.
    case anyEpoch(String)
}
