// SPDX-License-Identifier: Apache-2.0
//
// The only file that calls libunistring; what leaves it are values. All properties are those of the one Unicode
// version that this library knows (Debian 12: Unicode 14).

import CUnistring
import Glibc

/// The operations of the Unicode Standard that PRECIS needs, on arrays of code points.
enum Unicode32 {
    /// Normalisation form C.
    static func nfc(_ scalars: [UInt32]) -> [UInt32] {
        var length = 0
        guard let result = unsafe CUnistring_nfc(scalars, scalars.count, &length) else { return scalars }
        return unsafe take(result, length)
    }

    /// Normalisation form KC.
    static func nfkc(_ scalars: [UInt32]) -> [UInt32] {
        var length = 0
        guard let result = unsafe CUnistring_nfkc(scalars, scalars.count, &length) else { return scalars }
        return unsafe take(result, length)
    }

    /// The operation toLowercase of the Unicode Standard (section 3.13), for no language in particular: with the
    /// context rule for the final sigma, and ß untouched.
    static func lowercased(_ scalars: [UInt32]) -> [UInt32] {
        var length = 0
        guard let result = unsafe u32_tolower(scalars, scalars.count, "", nil, nil, &length) else { return scalars }
        return unsafe take(result, length)
    }

    /// The code point that a fullwidth or halfwidth one stands for, or the code point itself.
    static func widthMapped(_ scalar: UInt32) -> UInt32 {
        CUnistring_width_mapped(scalar)
    }

    /// Whether normalisation form KC changes the code point alone (category HasCompat of RFC 8264 section 9.17).
    static func hasCompatibilityMapping(_ scalar: UInt32) -> Bool {
        nfkc([scalar]) != [scalar]
    }

    /// Whether the general category of the code point is one of the set.
    static func category(of scalar: UInt32, isIn set: CategorySet) -> Bool {
        uc_is_general_category_withtable(scalar, set.rawValue)
    }

    static func isDefaultIgnorable(_ scalar: UInt32) -> Bool {
        uc_is_property_default_ignorable_code_point(scalar)
    }

    static func isNoncharacter(_ scalar: UInt32) -> Bool {
        uc_is_property_not_a_character(scalar)
    }

    static func isVirama(_ scalar: UInt32) -> Bool {
        uc_combining_class(scalar) == Int32(UC_CCC_VR)
    }

    static func joiningType(of scalar: UInt32) -> JoiningType {
        switch Int(uc_joining_type(scalar)) {
        case Int(UC_JOINING_TYPE_L): .left
        case Int(UC_JOINING_TYPE_R): .right
        case Int(UC_JOINING_TYPE_D): .dual
        case Int(UC_JOINING_TYPE_T): .transparent
        default: .other
        }
    }

    /// Whether the two code points belong to the same script.
    static func sameScript(_ one: UInt32, _ other: UInt32) -> Bool {
        unsafe uc_script(one) == uc_script(other)
    }

    static func bidiClass(of scalar: UInt32) -> BidiClass {
        switch Int(uc_bidi_class(scalar)) {
        case Int(UC_BIDI_L): .left
        case Int(UC_BIDI_R): .right
        case Int(UC_BIDI_AL): .arabicLetter
        case Int(UC_BIDI_AN): .arabicNumber
        case Int(UC_BIDI_EN): .europeanNumber
        case Int(UC_BIDI_NSM): .nonspacingMark
        case Int(UC_BIDI_ES), Int(UC_BIDI_CS), Int(UC_BIDI_ET), Int(UC_BIDI_ON), Int(UC_BIDI_BN): .weak
        default: .other
        }
    }

    /// Copies an array that libunistring allocated, and frees it.
    private static func take(_ pointer: UnsafeMutablePointer<UInt32>, _ count: Int) -> [UInt32] {
        defer { unsafe free(pointer) }
        return unsafe Array(UnsafeBufferPointer(start: pointer, count: count))
    }
}

/// A set of general categories, as libunistring's bit mask.
struct CategorySet: OptionSet, Sendable {
    let rawValue: UInt32

    init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    private init(_ mask: Int) {
        self.rawValue = UInt32(truncatingIfNeeded: mask)
    }

    static let unassigned = CategorySet(Int(UC_CATEGORY_MASK_Cn))
    static let controls = CategorySet(Int(UC_CATEGORY_MASK_Cc))
    /// Category LetterDigits of RFC 8264 section 9.1.
    static let letterDigits = CategorySet(
        Int(UC_CATEGORY_MASK_Ll) | Int(UC_CATEGORY_MASK_Lu) | Int(UC_CATEGORY_MASK_Lo) | Int(UC_CATEGORY_MASK_Nd)
            | Int(UC_CATEGORY_MASK_Lm) | Int(UC_CATEGORY_MASK_Mn) | Int(UC_CATEGORY_MASK_Mc)
    )
    /// Category OtherLetterDigits of RFC 8264 section 9.18.
    static let otherLetterDigits = CategorySet(
        Int(UC_CATEGORY_MASK_Lt) | Int(UC_CATEGORY_MASK_Nl) | Int(UC_CATEGORY_MASK_No) | Int(UC_CATEGORY_MASK_Me)
    )
    static let spaces = CategorySet(Int(UC_CATEGORY_MASK_Zs))
    static let symbolsAndPunctuation = CategorySet(Int(UC_CATEGORY_MASK_S) | Int(UC_CATEGORY_MASK_P))
    static let marks = CategorySet(Int(UC_CATEGORY_MASK_M))
}

/// The joining types that the rule for ZERO WIDTH NON-JOINER asks for (RFC 5892 appendix A.1).
enum JoiningType {
    case left
    case right
    case dual
    case transparent
    case other
}

/// The bidirectional classes that the Bidi Rule tells apart (RFC 5893 section 2).
enum BidiClass {
    case left
    case right
    case arabicLetter
    case arabicNumber
    case europeanNumber
    case nonspacingMark
    /// ES, CS, ET, ON and BN, which the rule always names together.
    case weak
    case other
}
