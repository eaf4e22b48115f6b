// SPDX-License-Identifier: Apache-2.0

import TLS
import XMPPCore

extension PeerCertificate {
    /// What it is worth for a prepared domain.
    func verdict(for domain: String) -> CertificateVerdict {
        if let fault = self.fault(for: BareJID.dnsName(ofPreparedDomain: domain), address: domain) {
            return self.isProvedByDANE == false ? .refuted(fault) : .doubtful(fault)
        }
        return .proved(self.isProvedByDANE == true ? .dane : .certificate)
    }
}
