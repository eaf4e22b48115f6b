// SPDX-License-Identifier: Apache-2.0

import TLS
import TestSupport

extension TestCertificates {
    /// The identity of a domain, by its name in the DNS.
    static func identity(_ name: String) throws -> TLSContext.Identity {
        let path = try directory()
        return TLSContext.Identity(certificateFile: "\(path)/\(name).pem", keyFile: "\(path)/\(name).key")
    }
}
