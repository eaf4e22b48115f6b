// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

extension BareJID {
    /// The lane of all that is stored for this user by its owner: reads and writes keep the order in which they were
    /// asked for, and take effect only while the user is ours.
    var lane: Lane { .write(description) }

    /// The lane of the user's account, in order with the other one, for all instances.
    var accountLane: Lane { .anyEpoch(description) }

    /// The first two parameters of a statement about this user.
    var key: [DatabaseValue] { [.text(local ?? ""), .text(domain)] }
}

extension Database {
    /// Runs a statement about one user, in the user's lane, and reads its rows.
    ///
    /// - Throws (in the future): ``DatabaseError/unexpectedResult(statement:)`` when `read` does not understand a row.
    func rows<Value: Sendable>(
        _ statement: Statement,
        for user: BareJID,
        _ values: [DatabaseValue] = [],
        read: @escaping @Sendable (Row) -> Value?
    ) -> EventLoopFuture<[Value]> {
        query(statement, user.key + values, on: user.lane).flatMapThrowing { rows in
            try rows.map { row in
                guard let value = read(row) else {
                    throw DatabaseError.unexpectedResult(statement: statement.name)
                }
                return value
            }
        }
    }

    /// Runs a statement about one user, in the user's lane, and gives the number of rows that it changed.
    func change(_ statement: Statement, for user: BareJID, _ values: [DatabaseValue] = []) -> EventLoopFuture<Int> {
        execute(statement, user.key + values, on: user.lane)
    }
}
