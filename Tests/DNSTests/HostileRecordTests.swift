// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import DNS

@Suite struct HostileRecordTests {
    @Test func `a name has at most 255 bytes`() {
        let label = [UInt8(49)] + [UInt8](repeating: 0x61, count: 49)
        let five = [UInt8](repeating: 0, count: 6) + label + label + label + label + label
        #expect(ServiceRecord(five + [3, 0x61, 0x61, 0x61, 0]) != nil)
        #expect(ServiceRecord(five + [4, 0x61, 0x61, 0x61, 0x61, 0]) == nil)
    }

    @Test func `any bytes are read to an end`() {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<20_000 {
            let data = (0..<random.below(40)).map { _ in UInt8(random.below(random.below(2) == 0 ? 256 : 8)) }
            if let record = ServiceRecord(data) { #expect(record.target.utf8.count <= data.count) }
            if let record = CertificateRecord(data) { #expect(record.data.count == data.count - 3) }
            #expect((AddressRecord.text(data) != nil) == (data.count == 4 || data.count == 16))
        }
    }
}
