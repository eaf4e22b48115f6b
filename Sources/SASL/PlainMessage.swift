// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// The message of the mechanism PLAIN (RFC 4616 section 2): `[authzid] NUL authcid NUL passwd`.
struct PlainMessage: Hashable, Sendable {
    let authzid: String?
    /// Prepared as a local part.
    let username: String
    /// Prepared by OpaqueString.
    let password: String

    init(_ bytes: [UInt8]) throws(SASLFailure) {
        let parts = bytes.split(separator: 0, omittingEmptySubsequences: false)
        guard parts.count == 3, let authzid = String(validating: parts[0], as: UTF8.self),
            let username = String(validating: parts[1], as: UTF8.self),
            let password = String(validating: parts[2], as: UTF8.self), !username.isEmpty, !password.isEmpty
        else { throw .malformedRequest }
        self.authzid = authzid.isEmpty ? nil : authzid
        self.username = try SASLName.prepare(username)
        // What no account can have is answered as a wrong password is.
        do throws(PRECIS.Failure) {
            self.password = try PRECIS.opaqueString(password)
        } catch {
            throw .notAuthorized
        }
    }
}

/// User names as they stand in SASL messages.
enum SASLName {
    /// Prepares a name as a local part. One that no account can have is answered as an unknown user is.
    static func prepare(_ name: String) throws(SASLFailure) -> String {
        do throws(JIDError) {
            return try BareJID.prepareLocal(name)
        } catch {
            throw .notAuthorized
        }
    }
}
