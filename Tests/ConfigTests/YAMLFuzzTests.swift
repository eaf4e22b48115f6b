// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Config

/// Whatever bytes the file has, reading it ends in values or in words, never in a trap.
@Suite struct YAMLFuzzTests {
    /// The same numbers in every run; a failure names its seed.
    struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            // SplitMix64.
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    /// Reads and says how it ended, so that the tests can tell that both ends were reached.
    static func outcome(_ bytes: [UInt8]) -> Bool {
        do throws(ConfigurationError) {
            _ = try ConfigurationFile.parse(bytes, file: "f", directory: "/d")
            return true
        } catch {
            // Every refusal names a reason; the place lies within the file.
            let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).count
            for issue in error.issues {
                #expect(!issue.text.isEmpty)
                // YAML also breaks lines at CR, NEL, LS and PS, so a place may lie beyond what we count.
                if let mark = issue.mark { #expect(mark.line >= 1 && mark.line <= lines + bytes.count + 1) }
            }
            return error.issues.isEmpty
        }
    }

    @Test func everyPrefixOfTheDocumentedFileEnds() {
        let file = DocumentedDefaultsTests.file
        var accepted = 0
        for length in stride(from: 0, through: file.count, by: 7) where Self.outcome(Array(file.prefix(length))) {
            accepted += 1
        }
        #expect(accepted > 0 && accepted < file.count / 7)
    }

    @Test(arguments: 0..<40)
    func changedBytesEnd(_ seed: Int) {
        var random = Generator(state: UInt64(seed))
        let alphabet = Array(":-[]{}&*!|>'\"%@`#,? \n\t~\0\u{FE}x1".utf8) + [0xFF, 0xC0, 0xED, 0xEF, 0xBB, 0xBF]
        for _ in 0..<10 {
            var bytes = DocumentedDefaultsTests.file
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                let byte = alphabet.randomElement(using: &random) ?? 0
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[index] = byte
                case 1: bytes.insert(byte, at: index)
                default: bytes.remove(at: index)
                }
            }
            _ = Self.outcome(bytes)
        }
    }

    @Test(arguments: 0..<20)
    func randomBytesEnd(_ seed: Int) {
        var random = Generator(state: UInt64(seed) &+ 1_000)
        for _ in 0..<50 {
            let count = Int.random(in: 0..<200, using: &random)
            _ = Self.outcome((0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
        }
    }

    @Test func valuesOfEveryWrongKindAreRefusedAtEveryKey() throws {
        let keys = try ConfigurationFile.parse([], file: "f", directory: "").absentKeys.filter { !$0.contains("[") }
        #expect(keys.count > 20)
        for key in keys {
            for value in ["[[[[]]]]", "{a: {b: c}}", "\"\\0\"", "[{}, ~]"] {
                let parts = key.split(separator: ".")
                let document = parts.reversed().reduce(value) { "{\($1): \($0)}" }
                #expect(!Self.outcome(Array(document.utf8)), "\(document)")
            }
        }
    }

    @Test(arguments: ["[", "{a: ", "- ", "? ", "\"", "a:\n "])
    func deepNestingIsRefused(_ opening: String) {
        let document = String(repeating: opening, count: 20_000)
        #expect(!Self.outcome(Array(document.utf8)))
    }
}
