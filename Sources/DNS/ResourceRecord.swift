// SPDX-License-Identifier: Apache-2.0

/// What DNS is asked for, with its number.
package enum RecordType: Int32, Sendable {
    case a = 1
    case aaaa = 28
    case srv = 33
    case tlsa = 52
}

/// Where a service is (RFC 2782).
package struct ServiceRecord: Hashable, Sendable {
    package var priority: UInt16
    package var weight: UInt16
    package var port: UInt16
    /// Without a dot at its end; empty: the service is decidedly not there.
    package var target: String

    package init(priority: UInt16, weight: UInt16, port: UInt16, target: String) {
        self.priority = priority
        self.weight = weight
        self.port = port
        self.target = target
    }

    /// Reads the data of a record; nil for what is none.
    package init?(_ data: [UInt8]) {
        guard data.count >= 7 else { return nil }
        guard let target = Self.name(data[6...]) else { return nil }
        self.init(
            priority: UInt16(data[0]) << 8 | UInt16(data[1]),
            weight: UInt16(data[2]) << 8 | UInt16(data[3]),
            port: UInt16(data[4]) << 8 | UInt16(data[5]),
            target: target
        )
    }

    /// A name as labels with their lengths, without compression, which RFC 2782 forbids and resolvers undo.
    private static func name(_ bytes: ArraySlice<UInt8>) -> String? {
        var labels: [String] = []
        var rest = bytes
        var total = 0
        while let length = rest.popFirst() {
            if length == 0 { return rest.isEmpty ? labels.joined(separator: ".") : nil }
            total += Int(length) + 1
            guard length < 64, total < 255, rest.count >= Int(length) else { return nil }
            let label = rest.prefix(Int(length))
            // A name of a host: anything else is nothing that can be connected to.
            let isHost = label.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            }
            guard isHost else { return nil }
            labels.append(String(decoding: label, as: UTF8.self).lowercased())
            rest = rest.dropFirst(Int(length))
        }
        return nil
    }
}

/// What a server's certificate has to match (RFC 6698 §2.1).
package struct CertificateRecord: Hashable, Sendable {
    package var usage: UInt8
    package var selector: UInt8
    package var matchingType: UInt8
    package var data: [UInt8]

    /// Reads the data of a record; nil for what is none.
    package init?(_ data: [UInt8]) {
        guard data.count > 3 else { return nil }
        self.usage = data[0]
        self.selector = data[1]
        self.matchingType = data[2]
        self.data = Array(data[3...])
    }
}

/// An address as text, IPv6 with all its eight groups.
package enum AddressRecord {
    /// Reads the data of an A or AAAA record; nil for what is none.
    package static func text(_ data: [UInt8]) -> String? {
        switch data.count {
        case 4: return data.map { String($0) }.joined(separator: ".")
        case 16:
            let groups = stride(from: 0, to: 16, by: 2).map { UInt16(data[$0]) << 8 | UInt16(data[$0 + 1]) }
            return groups.map { String($0, radix: 16) }.joined(separator: ":")
        default: return nil
        }
    }
}
