// SPDX-License-Identifier: Apache-2.0

/// Dates and times in the profile of XEP-0082, in UTC, between the years 0000 and 9999.
package enum DateTime {
    /// `2026-11-23T08:30:00Z`.
    package static func format(epochSeconds: Int64) -> String {
        self.format(seconds: epochSeconds, microseconds: nil)
    }

    /// `2026-11-23T08:30:00.123456Z`.
    package static func format(epochMicroseconds: Int64) -> String {
        let (seconds, microseconds) = self.floorDivide(epochMicroseconds, 1_000_000)
        return self.format(seconds: seconds, microseconds: microseconds)
    }

    /// The microseconds since 1970 that a DateTime of XEP-0082 §3.2 means; nil if it is none. Digits of a second
    /// beyond the sixth are dropped; a leap second counts as the first of the next minute.
    package static func parse(_ text: String) -> Int64? {
        var reader = Reader(bytes: Array(text.utf8.prefix(64)))
        guard let year = reader.number(digits: 4), reader.take("-"), let month = reader.number(digits: 2),
            reader.take("-"), let day = reader.number(digits: 2), reader.take("T"),
            let hour = reader.number(digits: 2), reader.take(":"), let minute = reader.number(digits: 2),
            reader.take(":"), let second = reader.number(digits: 2)
        else { return nil }
        guard (1...12).contains(month), (1...self.daysIn(month: month, of: year)).contains(day),
            hour <= 23, minute <= 59, second <= 60
        else { return nil }
        guard let microseconds = reader.fraction(), let offset = reader.offset(), reader.isAtEnd else { return nil }
        let seconds = self.days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset
        return seconds * 1_000_000 + microseconds
    }

    private static func format(seconds: Int64, microseconds: Int64?) -> String {
        // From the first second of the year 0000 to the last of 9999.
        let bounded = min(max(seconds, -62_167_219_200), 253_402_300_799)
        let (day, time) = self.floorDivide(bounded, 86_400)
        let date = self.civil(day)
        var text = "\(self.padded(date.year, 4))-\(self.padded(date.month, 2))-\(self.padded(date.day, 2))T"
        text += "\(self.padded(time / 3_600, 2)):\(self.padded(time / 60 % 60, 2)):\(self.padded(time % 60, 2))"
        if let microseconds {
            text += ".\(self.padded(microseconds, 6))"
        }
        return text + "Z"
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }

    private static func daysIn(month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days since 1970-01-01, by counting years from March (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let (era, yearOfEra) = self.floorDivide(shifted, 400)
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// The inverse of `days`.
    private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = self.floorDivide(days + 719_468, 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func floorDivide(_ value: Int64, _ divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}

/// Reads the parts of a DateTime, one after the other.
private struct Reader {
    let bytes: [UInt8]
    var position = 0

    var isAtEnd: Bool { self.position == self.bytes.count }

    private var next: UInt8? { self.position < self.bytes.count ? self.bytes[self.position] : nil }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard let next, UInt32(next) == character.value else { return false }
        self.position += 1
        return true
    }

    private mutating func digit() -> Int64? {
        guard let next, (0x30...0x39).contains(next) else { return nil }
        self.position += 1
        return Int64(next - 0x30)
    }

    mutating func number(digits: Int) -> Int64? {
        var value: Int64 = 0
        for _ in 0..<digits {
            guard let digit = self.digit() else { return nil }
            value = value * 10 + digit
        }
        return value
    }

    /// `.123`, in microseconds; 0 if there is none.
    mutating func fraction() -> Int64? {
        guard self.take(".") else { return 0 }
        guard var value = self.digit() else { return nil }
        var scale: Int64 = 100_000
        value *= scale
        while let digit = self.digit() {
            scale /= 10
            value += digit * scale
        }
        return value
    }

    /// `Z`, `+01:00` or `-05:30`, in seconds.
    mutating func offset() -> Int64? {
        if self.take("Z") { return 0 }
        let sign: Int64
        if self.take("+") {
            sign = 1
        } else if self.take("-") {
            sign = -1
        } else {
            return nil
        }
        guard let hours = self.number(digits: 2), self.take(":"), let minutes = self.number(digits: 2), hours <= 23,
            minutes <= 59
        else { return nil }
        return sign * (hours * 3_600 + minutes * 60)
    }
}
