// SPDX-License-Identifier: Apache-2.0

/// An address without a resource: an account (`local@domain`) or a whole domain (RFC 7622 section 3.1).
///
/// The parts are prepared: two addresses are the same if and only if they are equal as values.
package struct BareJID: Hashable, Sendable {
    /// The part before the `@`, prepared by the PRECIS profile UsernameCaseMapped; nil if there is none.
    package let local: String?
    /// The domain with its labels as lower case U-labels, or an IP address literal; without a trailing dot.
    package let domain: String

    /// Takes parts that are known to be prepared.
    package init(preparedLocal local: String?, domain: String) {
        self.local = local
        self.domain = domain
    }

    /// Prepares the two parts.
    package init(local: String?, domain: String) throws(JIDError) {
        if let local {
            self.local = try AddressPart.local(local[...])
        } else {
            self.local = nil
        }
        self.domain = try AddressPart.domain(domain[...])
    }

    /// Parses an address that must not have a resource.
    package init(_ string: String) throws(JIDError) {
        let jid = try JID(string)
        guard jid.resource == nil else { throw JIDError(.resource, .forbiddenCharacter) }
        self = jid.bare
    }

    /// Prepares a local part alone, as for the user name of a login.
    package static func prepareLocal(_ local: String) throws(JIDError) -> String {
        try AddressPart.local(local[...])
    }

    /// Prepares a domain alone, as for the `to` of a stream.
    package static func prepareDomain(_ domain: String) throws(JIDError) -> String {
        try AddressPart.domain(domain[...])
    }

    /// The form that the DNS, certificates and TLS have of a prepared domain: `xn--bcher-kva.example` (RFC 5890
    /// section 2.3.2.1).
    package static func dnsName(ofPreparedDomain domain: String) -> String {
        DomainName.ascii(ofPrepared: domain)
    }

    /// The address of the domain that this address belongs to.
    package var domainJID: BareJID { BareJID(preparedLocal: nil, domain: domain) }

    /// The full address of a resource of this one.
    package func with(resource: String) throws(JIDError) -> JID {
        JID(bare: self, preparedResource: try AddressPart.resource(resource[...]))
    }
}

extension BareJID: CustomStringConvertible {
    package var description: String {
        guard let local else { return domain }
        return "\(local)@\(domain)"
    }
}
