// SPDX-License-Identifier: Apache-2.0

/// Random numbers that are the same at each run (SplitMix64).
package struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) {
        // Mixed, so that the numbers of one seed are not those of the next one, moved by one place.
        self.state = Self.mix(seed &+ 0x9E37_79B9_7F4A_7C15)
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Self.mix(state)
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var value = value
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    package mutating func below(_ bound: Int) -> Int {
        Int(self.next() % UInt64(bound))
    }
}
