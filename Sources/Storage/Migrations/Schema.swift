// SPDX-License-Identifier: Apache-2.0

/// The schema that this program knows.
package enum Schema {
    /// The version that the last migration makes.
    package static let version = 1
}
