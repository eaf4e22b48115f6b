// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import XMLTestSupport

/// Documents changed at random: whatever comes, the reader answers the same in any pieces, holds its memory bounds,
/// and what it lets pass is read alike by the inner readers.
@Suite struct StreamFuzzTests {
    static let seeds = [
        "<?xml version='1.0'?>\(clientHeader)<message to='a' id='1'><body>hi &amp; ho</body></message>"
            + "<iq type='get'><query xmlns='jabber:iq:roster'/></iq></stream:stream>",
        "\(clientHeader)<m xmlns:x='urn:x'><x:a x:b='1'><![CDATA[<>]]]></x:a><b xmlns='jabber:client'/></m>",
        "\(clientHeader)<c:m xmlns:c='jabber:client'><c:a><b xmlns='urn:b'><c:d/></b></c:a></c:m><presence/>",
        "\(clientHeader.dropLast()) xmlns:r='urn:r'><m r:a='1'><r:b/><stream:c xml:lang='de'/>&#x1F600;ä</m> \n <p/>",
        "\(clientHeader)<j:route xmlns:j='urn:jackdaw:link:0' to='b'><m><b xmlns=\"u\">\"</b></m></j:route>",
    ]
    static let pieces = [
        "<", ">", "/", "'", "\"", "&", ";", "=", ":", " ", "<!", "<?", "]]>", "<![CDATA[", "xmlns",
        "xmlns:x='jabber:client'",
        "xmlns='jabber:client'", "xmlns=''", "&lt;", "&#0;", "\u{0}", "ä", "<a>", "</a>", "<a/>", "</m>", "<c:d>",
        "stream:", "j:",
        "xmlns='jabber:component:accept'",
    ]

    private func mutated(_ random: inout SeededGenerator) -> [UInt8] {
        var bytes = Array(Self.seeds[random.below(Self.seeds.count)].utf8)
        for _ in 0...random.below(4) {
            let at = random.below(bytes.count)
            switch random.below(6) {
            case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes.remove(at: at)
            case 2: bytes.insert(contentsOf: Self.pieces[random.below(Self.pieces.count)].utf8, at: at)
            case 3: bytes.removeSubrange(at..<min(bytes.count, at + random.below(20)))
            case 4:
                let from = random.below(bytes.count)
                bytes.insert(contentsOf: Array(bytes[from..<min(bytes.count, from + random.below(40))]), at: at)
            default: bytes.swapAt(at, random.below(bytes.count))
            }
            if bytes.isEmpty { bytes = [0x3C] }
        }
        return bytes
    }

    @Test("Random changes are read alike in any pieces, by each kind of reader", arguments: 0..<8)
    func mutations(part: UInt64) throws {
        for seed in 0..<200 {
            var random = SeededGenerator(seed: part << 32 | UInt64(seed))
            let bytes = self.mutated(&random)
            #expect(throws: Never.self, "part \(part), seed \(seed)") {
                try StreamProperties.checkPieces(bytes, cut: random.below(bytes.count))
            }
        }
    }

    @Test("What passes the edge means the same to the inner readers, and to expat", arguments: 0..<8)
    func agreement(part: UInt64) throws {
        for seed in 0..<200 {
            var random = SeededGenerator(seed: part << 32 | UInt64(seed))
            let bytes = self.mutated(&random)
            #expect(throws: Never.self, "part \(part), seed \(seed)") {
                try StreamProperties.checkAgreement(bytes)
            }
        }
    }
}
