// SPDX-License-Identifier: Apache-2.0

/// An XMPP address, `[local@]domain[/resource]`, prepared after RFC 7622.
///
/// An address of ASCII letters is judged on its UTF-8 bytes and allocates nothing beyond its parts; only what is
/// not ASCII goes through the PRECIS rules.
package struct JID: Hashable, Sendable {
    package let bare: BareJID
    /// The part after the first `/`, prepared by the PRECIS profile OpaqueString; nil if there is none.
    package let resource: String?

    package var local: String? { bare.local }
    package var domain: String { bare.domain }
    package var isBare: Bool { resource == nil }

    /// Takes a resource that is known to be prepared.
    init(bare: BareJID, preparedResource: String?) {
        self.bare = bare
        self.resource = preparedResource
    }

    /// The address of the account or domain itself.
    package init(_ bare: BareJID) {
        self.init(bare: bare, preparedResource: nil)
    }

    /// Prepares the parts.
    package init(local: String?, domain: String, resource: String?) throws(JIDError) {
        self.bare = try BareJID(local: local, domain: domain)
        if let resource {
            self.resource = try AddressPart.resource(resource[...])
        } else {
            self.resource = nil
        }
    }

    /// Parses an address: the resource begins after the first `/`, the local part ends before the first `@` left of
    /// it (RFC 7622 section 3.2).
    package init(_ string: String) throws(JIDError) {
        // The three longest parts and two separators; a longer string need not be looked at.
        guard string.utf8.count <= 3 * AddressPart.maximumBytes + 2 else { throw JIDError(.domain, .tooLong) }
        let utf8 = string.utf8
        let slash = utf8.firstIndex(of: UInt8(ascii: "/"))
        let beforeResource = utf8[..<(slash ?? utf8.endIndex)]
        let at = beforeResource.firstIndex(of: UInt8(ascii: "@"))

        var local: String?
        if let at {
            local = try AddressPart.local(string[..<at])
        }
        let domainStart = at.map { utf8.index(after: $0) } ?? utf8.startIndex
        let domain = try AddressPart.domain(string[domainStart..<beforeResource.endIndex])
        self.bare = BareJID(preparedLocal: local, domain: domain)
        if let slash {
            self.resource = try AddressPart.resource(string[utf8.index(after: slash)...])
        } else {
            self.resource = nil
        }
    }
}

extension JID: CustomStringConvertible {
    package var description: String {
        switch (bare.local, resource) {
        case (nil, nil): bare.domain
        case (let local?, nil): "\(local)@\(bare.domain)"
        case (nil, let resource?): "\(bare.domain)/\(resource)"
        case (let local?, let resource?): "\(local)@\(bare.domain)/\(resource)"
        }
    }
}
