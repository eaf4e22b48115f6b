// SPDX-License-Identifier: Apache-2.0

import DNS
import Testing

@Suite struct ResourceRecordTests {
    private static func srv(_ target: [UInt8]) -> [UInt8] { [0, 10, 0, 20, 0x14, 0x95] + target }

    private static func name(_ labels: String...) -> [UInt8] {
        labels.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    @Test func `A service record is read`() {
        let record = ServiceRecord(Self.srv(Self.name("xmpp", "Example", "net")))
        #expect(record == ServiceRecord(priority: 10, weight: 20, port: 5_269, target: "xmpp.example.net"))
    }

    @Test func `The root as a target says that there is no service`() {
        #expect(ServiceRecord(Self.srv([0]))?.target.isEmpty == true)
    }

    @Test(
        "What is no record is none",
        arguments: [
            [], [0], [0, 1, 0, 1, 0, 1], srv([]), srv([3, 0x61]), srv([1, 0x61]), srv([1, 0x61, 0, 0]),
            // A pointer, which may not be here; a label that is too long; a name that is too long; no host's name.
            srv([0xC0, 0x0C]), srv([64] + Array(repeating: 0x61, count: 64) + [0]),
            srv(Array(repeating: [63] + Array(repeating: UInt8(0x61), count: 63), count: 5).flatMap { $0 } + [0]),
            srv([3, 0x61, 0x00, 0x62, 0]), srv([2, 0x61, 0x2F, 0]),
        ] as [[UInt8]]
    )
    func noService(data: [UInt8]) {
        #expect(ServiceRecord(data) == nil)
    }

    @Test func `A record about a certificate is read`() {
        let record = CertificateRecord([3, 1, 1, 0xAB, 0xCD])
        #expect(
            record?.usage == 3 && record?.selector == 1 && record?.matchingType == 1 && record?.data == [0xAB, 0xCD]
        )
        #expect(CertificateRecord([3, 1, 1]) == nil && CertificateRecord([]) == nil)
    }

    @Test(
        "Addresses are written as text",
        arguments: [
            ([127, 0, 0, 1], "127.0.0.1"),
            ([0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "2001:db8:0:0:0:0:0:1"),
            ([1, 2, 3], nil), ([], nil),
        ] as [([UInt8], String?)]
    )
    func address(data: [UInt8], text: String?) {
        #expect(AddressRecord.text(data) == text)
    }
}
