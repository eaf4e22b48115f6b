// SPDX-License-Identifier: Apache-2.0

/// Why a request has no result.
package enum DatabaseError: Error, Sendable, Equatable, CustomStringConvertible {
    /// There is no connection, or it was lost after the request was sent: its outcome is then unknown.
    case unavailable
    /// The queue of the lane is at its bound.
    case overloaded
    /// The user has another owner since: nothing was changed.
    case fenced
    /// A constraint of the schema refused the change (SQLSTATE class 23).
    case constraint(name: String, sqlstate: String)
    /// PostgreSQL refused the statement.
    case failed(sqlstate: String, message: String)
    /// The schema was made by a newer Jackdaw.
    case schemaTooNew(found: Int, known: Int)
    /// A row does not have the form that the code expects of the statement.
    case unexpectedResult(statement: String)

    package var description: String {
        switch self {
        case .unavailable:
            "the database is not available"
        case .overloaded:
            "the database does not keep up: its queue is full"
        case .fenced:
            "the user belongs to another instance now"
        case .constraint(let name, let sqlstate):
            "the constraint \(name) refused the change (SQLSTATE \(sqlstate))"
        case .failed(let sqlstate, let message):
            "\(message) (SQLSTATE \(sqlstate))"
        case .schemaTooNew(let found, let known):
            """
            the database was made by a newer version of Jackdaw (its schema has version \(found), this program knows \
            up to \(known)): install that version or a newer one, or restore a backup made before the upgrade
            """
        case .unexpectedResult(let statement):
            "the result of the statement \(statement) has an unexpected form"
        }
    }
}
