// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// The address that limits count by: an IPv4 address, or the prefix of an IPv6 one, since a client has a whole /64.
package struct ClientAddress: Hashable, Sendable, CustomStringConvertible {
    /// 16 bytes of IPv6; IPv4 in its mapped form.
    private let high: UInt64
    private let low: UInt64
    /// The address as it was, for people.
    package let description: String
    /// What is equal for addresses that are: the address of IPv4, the prefix of IPv6.
    package let network: String

    package static func == (left: ClientAddress, right: ClientAddress) -> Bool {
        left.high == right.high && left.low == right.low
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(high)
        hasher.combine(low)
    }

    /// The key of a peer's address; what has no IP address (a test's channel) counts as one client.
    package init(_ address: SocketAddress?, ipv6Prefix: Int) {
        self.init(text: address?.ipAddress ?? "::", ipv6Prefix: ipv6Prefix)
    }

    /// The key of an address as text; what is none counts as one client.
    package init(text: String, ipv6Prefix: Int) {
        let groups = Self.groups(of: text) ?? Array(repeating: 0, count: 8)
        let high = groups[0..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        let low = groups[4..<8].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        let isIPv4 = high == 0 && low >> 32 == 0xFFFF
        let prefix = isIPv4 ? 128 : min(max(ipv6Prefix, 0), 128)
        self.high = high & Self.mask(bits: prefix)
        self.low = low & Self.mask(bits: prefix - 64)
        let mapped = "::ffff:"
        description = isIPv4 && text.hasPrefix(mapped) ? String(text.dropFirst(mapped.count)) : text
        network = isIPv4 ? description : Self.network(self.high, self.low, prefix)
    }

    private static func network(_ high: UInt64, _ low: UInt64, _ prefix: Int) -> String {
        let groups = [high, low].flatMap { half in
            [48, 32, 16, 0].map { String(half >> UInt64($0) & 0xFFFF, radix: 16) }
        }
        return "\(groups.joined(separator: ":"))/\(prefix)"
    }

    private static func mask(bits: Int) -> UInt64 {
        // Smart shifts: by 64 or more gives 0.
        bits <= 0 ? 0 : ~UInt64(0) << (64 - min(bits, 64))
    }

    /// The eight groups of an address as `inet_ntop` writes it; IPv4 in its mapped form.
    private static func groups(of text: String) -> [UInt16]? {
        let text = text.prefix { $0 != "%" }
        if !text.contains(":") {
            guard let tail = ipv4Groups(of: text) else { return nil }
            return [0, 0, 0, 0, 0, 0xFFFF] + tail
        }
        var groups: [UInt16] = []
        var gap: Int?
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if part.isEmpty {
                // The empty part of "::", or beside it at an end of the text.
                if index > 0, index < parts.count - 1 { gap = groups.count }
            } else if part.contains(".") {
                guard let tail = ipv4Groups(of: part) else { return nil }
                groups += tail
            } else {
                guard let group = UInt16(part, radix: 16) else { return nil }
                groups.append(group)
            }
        }
        if let gap, groups.count < 8 {
            groups.insert(contentsOf: Array(repeating: 0, count: 8 - groups.count), at: gap)
        }
        return groups.count == 8 ? groups : nil
    }

    private static func ipv4Groups(of text: Substring) -> [UInt16]? {
        let bytes = text.split(separator: ".").compactMap { UInt8($0) }
        guard bytes.count == 4 else { return nil }
        return [UInt16(bytes[0]) << 8 | UInt16(bytes[1]), UInt16(bytes[2]) << 8 | UInt16(bytes[3])]
    }
}
