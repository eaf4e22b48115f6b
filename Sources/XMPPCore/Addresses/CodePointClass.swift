// SPDX-License-Identifier: Apache-2.0

/// The string classes of PRECIS: which code points a string may hold, and where (RFC 8264 sections 4, 8 and 9).
enum CodePointClass {
    /// What the derived property of a code point says (RFC 8264 section 8).
    private enum Derived {
        case valid
        /// FREE_PVAL and ID_DIS: valid in the FreeformClass only.
        case freeformOnly
        case contextual
        case disallowed
    }

    /// Checks every code point against the IdentifierClass or the FreeformClass.
    static func check(_ scalars: [UInt32], freeform: Bool) throws(PRECIS.Failure) {
        var rule = ContextRule(scalars)
        for (index, scalar) in scalars.enumerated() {
            if (0x21...0x7E).contains(scalar) { continue }
            switch derived(scalar) {
            case .valid: continue
            case .freeformOnly: guard freeform else { throw .disallowed }
            case .contextual: guard rule.allows(at: index) else { throw .context }
            case .disallowed: throw .disallowed
            }
        }
    }

    /// The algorithm of RFC 8264 section 8, in its order.
    private static func derived(_ scalar: UInt32) -> Derived {
        if let exception = exceptions(scalar) { return exception }
        if Unicode32.category(of: scalar, isIn: .unassigned) { return .disallowed }
        if (0x21...0x7E).contains(scalar) { return .valid }
        if scalar == 0x200C || scalar == 0x200D { return .contextual }
        if isOldHangulJamo(scalar) { return .disallowed }
        if Unicode32.isDefaultIgnorable(scalar) || Unicode32.isNoncharacter(scalar) { return .disallowed }
        if Unicode32.category(of: scalar, isIn: .controls) { return .disallowed }
        if Unicode32.hasCompatibilityMapping(scalar) { return .freeformOnly }
        if Unicode32.category(of: scalar, isIn: .letterDigits) { return .valid }
        let freeform: CategorySet = [.otherLetterDigits, .spaces, .symbolsAndPunctuation]
        return Unicode32.category(of: scalar, isIn: freeform) ? .freeformOnly : .disallowed
    }

    /// The exceptions of RFC 5892 section 2.6, which RFC 8264 section 9.6 takes over.
    private static func exceptions(_ scalar: UInt32) -> Derived? {
        switch scalar {
        case 0x00DF, 0x03C2, 0x06FD, 0x06FE, 0x0F0B, 0x3007: .valid
        case 0x00B7, 0x0375, 0x05F3, 0x05F4, 0x30FB, 0x0660...0x0669, 0x06F0...0x06F9: .contextual
        case 0x0640, 0x07FA, 0x302E, 0x302F, 0x3031...0x3035, 0x303B: .disallowed
        default: nil
        }
    }

    /// Category OldHangulJamo of RFC 8264 section 9.9: Hangul_Syllable_Type L, V or T.
    private static func isOldHangulJamo(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x1100...0x11FF, 0xA960...0xA97C, 0xD7B0...0xD7C6, 0xD7CB...0xD7FB: true
        default: false
        }
    }
}

/// The contextual rules of RFC 5892 appendix A, for one string. What is asked of the whole string is looked up once, so
/// that the work grows with its length alone.
struct ContextRule {
    private let scalars: [UInt32]
    private lazy var hasJapanese = scalars.contains { scalar in
        scalar != 0x30FB && [0x3042, 0x30A2, 0x4E00].contains { Unicode32.sameScript(scalar, $0) }
    }
    private lazy var hasArabicIndicDigits = scalars.contains { (0x0660...0x0669).contains($0) }
    private lazy var hasExtendedArabicIndicDigits = scalars.contains { (0x06F0...0x06F9).contains($0) }

    init(_ scalars: [UInt32]) {
        self.scalars = scalars
    }

    /// Whether the contextual code point at the index stands where its rule lets it stand.
    mutating func allows(at index: Int) -> Bool {
        let before = index > 0 ? scalars[index - 1] : nil
        let after = index + 1 < scalars.count ? scalars[index + 1] : nil
        switch scalars[index] {
        case 0x200C: return before.map(Unicode32.isVirama) == true || joins(around: index)
        case 0x200D: return before.map(Unicode32.isVirama) == true
        case 0x00B7: return before == 0x6C && after == 0x6C
        case 0x0375: return after.map { Unicode32.sameScript($0, 0x3B1) } == true
        case 0x05F3, 0x05F4: return before.map { Unicode32.sameScript($0, 0x5D0) } == true
        case 0x30FB: return hasJapanese
        case 0x0660...0x0669: return !hasExtendedArabicIndicDigits
        case 0x06F0...0x06F9: return !hasArabicIndicDigits
        default: return false
        }
    }

    /// Whether cursive letters meet around a ZERO WIDTH NON-JOINER (RFC 5892 appendix A.1). No further than to the next
    /// code point that is not transparent, which another ZERO WIDTH NON-JOINER is not.
    private func joins(around index: Int) -> Bool {
        let before = scalars[..<index].reversed().lazy.map(Unicode32.joiningType).first { $0 != .transparent }
        let after = scalars[(index + 1)...].lazy.map(Unicode32.joiningType).first { $0 != .transparent }
        return (before == .left || before == .dual) && (after == .right || after == .dual)
    }
}
