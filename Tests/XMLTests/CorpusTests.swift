// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOCore
import Testing
import XMLTestSupport

@testable import XML

/// Replays `Tests/Corpus/XML`.
@Suite struct CorpusTests {
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Corpus/XML")

    static var names: [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".xml") }.map { String($0.dropLast(4)) }.sorted()
    }

    @Test("Each document is read as its file says, in whatever pieces it comes", arguments: names)
    func replay(name: String) throws {
        let document = try Data(contentsOf: Self.folder.appendingPathComponent(name + ".xml"))
        let expected = try String(
            contentsOf: Self.folder.appendingPathComponent(name + ".expected"),
            encoding: .utf8
        )
        let lines = StreamTranscript().verified(Array(document)).map(Self.oneLine)
        #expect(lines == expected.split(separator: "\n").map(String.init))
    }

    @Test("The corpus is where it is looked for")
    func corpus() {
        #expect(Self.names.count >= 30)
    }

    private static func oneLine(_ text: String) -> String {
        text.unicodeScalars.map { scalar in
            switch scalar {
            case "\n": "\\n"
            case "\r": "\\r"
            default: String(scalar)
            }
        }.joined()
    }
}
