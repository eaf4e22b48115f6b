// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import XMPPCore

@Suite struct DateTimeTests {
    @Test(
        "Seconds since 1970 are written in UTC and read again",
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (-1, "1969-12-31T23:59:59Z"), (951_782_400, "2000-02-29T00:00:00Z"),
            (1_079_740_799, "2004-03-19T23:59:59Z"), (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-2_203_891_200, "1900-03-01T00:00:00Z"), (-62_167_219_200, "0000-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"), (1_795_422_577, "2026-11-23T08:29:37Z"),
        ] as [(Int64, String)]
    )
    func seconds(value: Int64, text: String) {
        #expect(DateTime.format(epochSeconds: value) == text)
        #expect(DateTime.parse(text) == value * 1_000_000)
    }

    @Test(
        "Microseconds are written and read",
        arguments: [
            (1, "1970-01-01T00:00:00.000001Z"), (-1, "1969-12-31T23:59:59.999999Z"),
            (1_500_000, "1970-01-01T00:00:01.500000Z"),
        ] as [(Int64, String)]
    )
    func microseconds(value: Int64, text: String) {
        #expect(DateTime.format(epochMicroseconds: value) == text)
        #expect(DateTime.parse(text) == value)
    }

    @Test(
        "Offsets, fractions and the leap second are read",
        arguments: [
            ("1969-07-21T02:56:15Z", -14_159_025_000_000), ("1969-07-20T21:56:15-05:00", -14_159_025_000_000),
            ("1970-01-01T05:30:00+05:30", 0), ("1970-01-01T00:00:00.5Z", 500_000),
            ("1970-01-01T00:00:00.1234567Z", 123_456), ("1972-06-30T23:59:60Z", 78_796_800_000_000),
        ] as [(String, Int64)]
    )
    func reading(text: String, value: Int64) {
        #expect(DateTime.parse(text) == value)
    }

    @Test(
        "What is no DateTime of XEP-0082 is refused",
        arguments: [
            "", "1970", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01 00:00:00Z", "1970-13-01T00:00:00Z",
            "1970-00-01T00:00:00Z", "1970-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "1970-04-31T00:00:00Z",
            "1970-01-00T00:00:00Z", "1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z", "1970-01-01T00:00:61Z",
            "1970-01-01T00:00:00.Z", "1970-01-01T00:00:00+0100", "1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00Zx",
            "1970-01-01T00:00:00z", "+970-01-01T00:00:00Z", "19700101T00:00:00", "১৯৭০-01-01T00:00:00Z",
            "1970-01-01T00:00:00.00000000000000000000000000000000000000000000000000000000000000000Z",
        ]
    )
    func refusals(text: String) {
        #expect(DateTime.parse(text) == nil)
    }

    @Test("Values beyond the four digits of a year are kept within them")
    func bounds() {
        #expect(DateTime.format(epochSeconds: .max) == "9999-12-31T23:59:59Z")
        #expect(DateTime.format(epochSeconds: .min) == "0000-01-01T00:00:00Z")
        #expect(DateTime.format(epochMicroseconds: .min).hasPrefix("0000-01-01T00:00:00"))
    }

    @Test("Each day of 800 years is read as it is written")
    func days() {
        for day in stride(from: Int64(-146_097), to: 146_097, by: 1) {
            let seconds = day * 86_400 + 43_200
            #expect(DateTime.parse(DateTime.format(epochSeconds: seconds)) == seconds * 1_000_000)
        }
    }
}
