// SPDX-License-Identifier: Apache-2.0

/// IPv6 addresses in brackets as domain parts (RFC 7622 section 3.2, RFC 3986 section 3.2.2).
///
/// An IPv4 address has the form of a domain name already.
enum IPLiteral {
    /// Checks `[address]` and gives it in lower case.
    static func prepare(_ literal: Substring) throws(JIDError) -> String {
        let bytes = Array(literal.utf8)
        guard bytes.count <= 47, bytes.first == UInt8(ascii: "["), bytes.last == UInt8(ascii: "]"),
            isIPv6(Array(bytes[1...].dropLast()))
        else { throw JIDError(.domain, .malformedAddressLiteral) }
        return ASCIIClass.lowercased(literal)
    }

    /// The grammar `IPv6address` of RFC 3986: eight groups, of which `::` stands for one or more, and of which the
    /// last two may be an IPv4 address.
    private static func isIPv6(_ bytes: [UInt8]) -> Bool {
        let groups = bytes.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        var count = 0
        for (index, group) in groups.enumerated() where !group.isEmpty {
            if group.contains(UInt8(ascii: ".")) {
                guard index == groups.count - 1, isIPv4(group) else { return false }
                count += 2
            } else {
                guard group.count <= 4, group.allSatisfy(isHexDigit) else { return false }
                count += 1
            }
        }
        switch gaps(groups.map(\.isEmpty)) {
        case 0: return count == 8
        case 1: return count <= 7
        default: return false
        }
    }

    /// How many `::` the list of groups holds; 2 for anything that is not allowed.
    private static func gaps(_ isEmpty: [Bool]) -> Int {
        let inner = isEmpty.dropFirst().dropLast().count { $0 }
        switch (isEmpty.first == true, isEmpty.last == true) {
        case (false, false): return inner
        // A leading or trailing `::` leaves two empty groups, and `::` alone three.
        case (true, false): return isEmpty.count > 2 && isEmpty[1] && inner == 1 ? 1 : 2
        case (false, true): return isEmpty.count > 2 && isEmpty[isEmpty.count - 2] && inner == 1 ? 1 : 2
        case (true, true): return isEmpty.count == 3 && inner == 1 ? 1 : 2
        }
    }

    private static func isIPv4(_ bytes: ArraySlice<UInt8>) -> Bool {
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { part in
                guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0"),
                    part.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
                else { return false }
                return part.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) } <= 255
            }
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }
}
