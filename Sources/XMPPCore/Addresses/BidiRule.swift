// SPDX-License-Identifier: Apache-2.0

/// The Bidi Rule (RFC 5893 section 2), for strings and labels that hold right-to-left characters.
enum BidiRule {
    /// Throws if the string holds a right-to-left character and breaks the rule.
    static func check(_ scalars: [UInt32]) throws(PRECIS.Failure) {
        // Below U+0590 nothing is written from right to left.
        guard scalars.contains(where: { $0 >= 0x590 }) else { return }
        let classes = scalars.map(Unicode32.bidiClass)
        guard classes.contains(where: { $0 == .right || $0 == .arabicLetter || $0 == .arabicNumber }) else { return }
        guard isFulfilled(classes) else { throw .direction }
    }

    /// The six conditions of the rule.
    private static func isFulfilled(_ classes: [BidiClass]) -> Bool {
        let last = classes.last { $0 != .nonspacingMark }
        switch classes.first {
        case .right, .arabicLetter:
            let allowed = classes.allSatisfy { $0 != .left && $0 != .other }
            let ends = last == .right || last == .arabicLetter || last == .europeanNumber || last == .arabicNumber
            return allowed && ends && !(classes.contains(.europeanNumber) && classes.contains(.arabicNumber))
        case .left:
            let allowed = classes.allSatisfy {
                $0 == .left || $0 == .europeanNumber || $0 == .weak || $0 == .nonspacingMark
            }
            return allowed && (last == .left || last == .europeanNumber)
        default:
            return false
        }
    }
}
