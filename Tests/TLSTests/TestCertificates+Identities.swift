// SPDX-License-Identifier: Apache-2.0

import TLS
import TestSupport

extension TestCertificates {
    /// A directory with the certificates of one.example and two.example, and their identities.
    static func identities() throws -> (path: String, identities: [String: TLSContext.Identity]) {
        let path = try directory(["one.pem": one, "one.key": oneKey, "two.pem": two, "two.key": twoKey])
        return (
            path,
            [
                "one.example": .init(certificateFile: "\(path)/one.pem", keyFile: "\(path)/one.key"),
                "two.example": .init(certificateFile: "\(path)/two.pem", keyFile: "\(path)/two.key"),
            ]
        )
    }
}
