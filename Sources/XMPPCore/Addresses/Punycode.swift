// SPDX-License-Identifier: Apache-2.0

/// Punycode (RFC 3492) for the labels of domain names, without the prefix `xn--`.
enum Punycode {
    private static let base = 36
    private static let initialBias = 72
    private static let initialCode = 0x80
    private static let hyphen: UInt32 = 0x2D
    private static let maximumCode = 0x10FFFF

    /// Decodes a label; nil if it is none (RFC 3492 section 6.2).
    static func decode(_ input: some Collection<UInt32>) -> [UInt32]? {
        let bytes = Array(input)
        guard bytes.count <= 63, bytes.allSatisfy({ $0 < 0x80 }) else { return nil }
        let delimiter = bytes.lastIndex(of: hyphen)
        var output = Array(bytes[..<(delimiter ?? 0)])
        var position = delimiter.map { $0 + 1 } ?? 0
        var code = initialCode
        var index = 0
        var bias = initialBias
        while position < bytes.count {
            let before = index
            var weight = 1
            var k = base
            while true {
                guard position < bytes.count, let digit = digit(of: bytes[position]) else { return nil }
                position += 1
                // 63 digits cannot come near the range of Int before the bound stops them.
                index += digit * weight
                guard index <= maximumCode * 64 else { return nil }
                let t = threshold(k, bias)
                if digit < t { break }
                weight *= base - t
                guard weight <= maximumCode * 64 else { return nil }
                k += base
            }
            let count = output.count + 1
            bias = adapt(index - before, count, first: before == 0)
            code += index / count
            index %= count
            guard code <= maximumCode, !(0xD800...0xDFFF).contains(code) else { return nil }
            output.insert(UInt32(code), at: index)
            index += 1
        }
        return output
    }

    /// Encodes a label; nil if it is too long to be one (RFC 3492 section 6.3).
    static func encode(_ label: [UInt32]) -> [UInt32]? {
        guard label.count <= 63 else { return nil }
        var output = label.filter { $0 < 0x80 }
        let basicCount = output.count
        var handled = basicCount
        if basicCount > 0 { output.append(hyphen) }
        var code = initialCode
        var delta = 0
        var bias = initialBias
        while handled < label.count {
            guard let next = label.lazy.map(Int.init).filter({ $0 >= code }).min() else { return nil }
            // At most 0x10FFFF * 64 a round and 63 rounds: far from the range of Int.
            delta += (next - code) * (handled + 1)
            code = next
            for scalar in label.lazy.map(Int.init) {
                if scalar < code { delta += 1 }
                guard scalar == code else { continue }
                appendDelta(delta, bias, to: &output)
                bias = adapt(delta, handled + 1, first: handled == basicCount)
                delta = 0
                handled += 1
            }
            delta += 1
            code += 1
        }
        return output
    }

    private static func appendDelta(_ delta: Int, _ bias: Int, to output: inout [UInt32]) {
        var rest = delta
        var k = base
        while true {
            let t = threshold(k, bias)
            if rest < t { break }
            output.append(character(of: t + (rest - t) % (base - t)))
            rest = (rest - t) / (base - t)
            k += base
        }
        output.append(character(of: rest))
    }

    private static func threshold(_ k: Int, _ bias: Int) -> Int {
        min(max(k - bias, 1), 26)
    }

    /// The bias adaptation of RFC 3492 section 6.1.
    private static func adapt(_ delta: Int, _ count: Int, first: Bool) -> Int {
        var delta = first ? delta / 700 : delta / 2
        delta += delta / count
        var k = 0
        while delta > 455 {
            delta /= 35
            k += base
        }
        return k + 36 * delta / (delta + 38)
    }

    private static func digit(of scalar: UInt32) -> Int? {
        switch scalar {
        case 0x61...0x7A: Int(scalar) - 0x61
        case 0x41...0x5A: Int(scalar) - 0x41
        case 0x30...0x39: Int(scalar) - 0x30 + 26
        default: nil
        }
    }

    private static func character(of digit: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: digit < 26 ? 0x61 + digit : 0x30 + digit - 26)
    }
}
