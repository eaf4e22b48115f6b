// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// A TLSA record (RFC 6698 §2), which DNSSEC has proved.
package struct TLSAssociation: Sendable, Hashable {
    /// 0 and 1: the certificate is signed by a trusted authority as well; 2: by this one; 3: it is this one.
    package var usage: UInt8
    /// 0: the whole certificate; 1: its public key.
    package var selector: UInt8
    /// 0: itself; 1: its SHA-256; 2: its SHA-512.
    package var matchingType: UInt8
    package var data: [UInt8]

    package init(usage: UInt8, selector: UInt8, matchingType: UInt8, data: [UInt8]) {
        self.usage = usage
        self.selector = selector
        self.matchingType = matchingType
        self.data = data
    }
}

/// What a server's certificate has to match by DNS (RFC 7671, RFC 7673): the records, and the names that it may be for.
package struct DANE: Sendable {
    package var associations: [TLSAssociation]
    /// The domain that is looked for, and the host that a secure SRV record named; in A-labels.
    package var names: [String]

    package init(associations: [TLSAssociation], names: [String]) {
        self.associations = associations
        self.names = names
    }

    /// Has OpenSSL decide by the records; false where none of them can be used (RFC 7671 §10.1: then they do not
    /// count).
    func apply(to ssl: OpaquePointer) -> Bool {
        guard let first = names.first, unsafe SSL_dane_enable(ssl, first) == 1 else {
            ErrorQueue.clear()
            return false
        }
        for name in names.dropFirst() { unsafe SSL_add1_host(ssl, name) }
        // RFC 9525 §6.3, §2: a wildcard is a whole label, and the subject's common name is no name of a host.
        unsafe SSL_set_hostflags(ssl, COpenSSL_host_flags())
        // RFC 7671 §5.1: a certificate that is named itself need not be for the name.
        unsafe SSL_dane_set_flags(ssl, UInt(1) << 0)
        var isUsable = false
        for record in associations {
            var data = record.data
            let result = unsafe SSL_dane_tlsa_add(
                ssl,
                record.usage,
                record.selector,
                record.matchingType,
                &data,
                data.count
            )
            if result == 1 { isUsable = true }
        }
        // Without records OpenSSL would still hold the certificate to the names, which is ours to do.
        if !isUsable { unsafe SSL_set1_host(ssl, nil) }
        ErrorQueue.clear()
        return isUsable
    }
}
