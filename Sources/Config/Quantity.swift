// SPDX-License-Identifier: Apache-2.0

import Glibc

/// How numbers, sizes, times, names and addresses are written in the file.
enum Quantity {
    /// Decimal digits, `_` between them allowed.
    static func integer(_ text: String) -> Int? {
        let digits = text.utf8.filter { $0 != UInt8(ascii: "_") }
        guard
            let first = text.utf8.first, first != UInt8(ascii: "_"), digits.count <= 19,
            digits.allSatisfy({ (0x30...0x39).contains($0) })
        else { return nil }
        return Int(String(decoding: digits, as: UTF8.self))
    }

    static func boolean(_ text: String) -> Bool? {
        switch text {
        case "true", "yes", "on": true
        case "false", "no", "off": false
        default: nil
        }
    }

    private static let byteUnits = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)]

    /// `512`, `64KiB`, `16 MiB`.
    static func bytes(_ text: String) -> Int? {
        quantity(text, units: byteUnits, bare: 1)
    }

    static func describe(bytes: Int) -> String {
        for (name, factor) in byteUnits where factor > 1 && bytes >= factor && bytes % factor == 0 {
            return "\(bytes / factor)\(name)"
        }
        return "\(bytes)B"
    }

    /// In milliseconds; the long names first, since a suffix decides.
    private static let timeUnits = [
        ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]

    /// `500ms`, `30s`, `10m`, `1h`, `7d`; a bare number is seconds.
    static func duration(_ text: String) -> Duration? {
        quantity(text, units: timeUnits, bare: 1_000).map { .milliseconds($0) }
    }

    static func describe(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        if attoseconds != 0 { return "\(seconds * 1_000 + attoseconds / 1_000_000_000_000_000)ms" }
        for (name, factor) in [("d", Int64(86_400)), ("h", 3_600), ("m", 60)]
        where seconds >= factor && seconds % factor == 0 {
            return "\(seconds / factor)\(name)"
        }
        return "\(seconds)s"
    }

    private static func quantity(_ text: String, units: [(String, Int)], bare: Int) -> Int? {
        let unit = units.first { text.hasSuffix($0.0) }
        var number = Substring(text)
        if let unit { number = number.dropLast(unit.0.count) }
        while number.last == " " { number = number.dropLast() }
        guard let value = integer(String(number)) else { return nil }
        let (product, overflow) = value.multipliedReportingOverflow(by: unit?.1 ?? bare)
        return overflow ? nil : product
    }

    static func isOneLine(_ text: String) -> Bool {
        text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    }
}

extension ListenAddress {
    /// Reads `127.0.0.1:5347` or `[::1]:5347`; the host is an address, no name.
    package init?(parsing text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        var host = text[..<colon]
        let digits = text[text.index(after: colon)...]
        guard
            (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = Int(digits), port <= 65_535
        else { return nil }
        let isIPv6 = host.hasPrefix("[") && host.hasSuffix("]")
        if isIPv6 { host = host.dropFirst().dropLast() }
        guard Self.isAddress(String(host), family: isIPv6 ? AF_INET6 : AF_INET) else { return nil }
        self.init(host: String(host), port: port)
    }

    /// Reads `router.example.org:5348`, or an address as the other initializer does.
    package init?(parsingRemote text: String) {
        if let address = ListenAddress(parsing: text) {
            self = address
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (1...65_535).contains(port)
        else { return nil }
        let host = text[..<colon]
        let isName = host.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || byte == 0x2d || byte == 0x2e
        }
        guard isName, !host.isEmpty, host.utf8.count <= 253, !host.hasPrefix("-"), !host.hasPrefix(".") else {
            return nil
        }
        self.init(host: String(host), port: port)
    }

    static func isAddress(_ text: String, family: Int32) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 16)
        return unsafe inet_pton(family, text, &bytes) == 1
    }
}
