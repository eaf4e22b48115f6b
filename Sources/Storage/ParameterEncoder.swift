// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Lays out a request's parameters in the form that libpq takes: one arena of bytes, reused from request to request.
struct ParameterEncoder {
    private var arena: [UInt8] = []
    /// Where each parameter starts; nil is null.
    private var offsets: [Int?] = []
    private var lengths: [Int32] = []
    /// 0 is text, 1 is binary.
    private var formats: [Int32] = []

    mutating func encode(_ values: [DatabaseValue]) {
        arena.removeAll(keepingCapacity: arena.count < 1024 * 1024)
        offsets.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        formats.removeAll(keepingCapacity: true)
        for value in values {
            let start = arena.count
            offsets.append(value == .null ? nil : start)
            formats.append(append(value))
            lengths.append(Int32(clamping: arena.count - start))
            arena.append(0)  // libpq takes texts to their NUL, and has no use for the length
        }
    }

    /// Appends a value and gives its format.
    private mutating func append(_ value: DatabaseValue) -> Int32 {
        switch value {
        case .null: return 0
        case .text(let text): arena.append(contentsOf: text.utf8)
        case .int(let number): arena.append(contentsOf: String(number).utf8)
        case .bool(let flag): arena.append(UInt8(ascii: flag ? "t" : "f"))
        case .texts(let texts): appendArray(texts)
        case .bytes(let bytes):
            arena.append(contentsOf: bytes)
            return 1
        case .buffer(let buffer):
            arena.append(contentsOf: buffer.readableBytesView)
            return 1
        }
        return 0
    }

    /// Appends an array literal with every element quoted (PostgreSQL 15 §8.15.2).
    private mutating func appendArray(_ texts: [String]) {
        arena.append(UInt8(ascii: "{"))
        for (index, text) in texts.enumerated() {
            if index > 0 { arena.append(UInt8(ascii: ",")) }
            arena.append(UInt8(ascii: "\""))
            for byte in text.utf8 {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { arena.append(UInt8(ascii: "\\")) }
                arena.append(byte)
            }
            arena.append(UInt8(ascii: "\""))
        }
        arena.append(UInt8(ascii: "}"))
    }

    /// Gives the body the values, lengths and formats as libpq takes them; they are valid only while it runs.
    @unsafe func withParameters<Result>(
        _ body: (
            _ values: UnsafePointer<UnsafePointer<CChar>?>?,
            _ lengths: UnsafePointer<Int32>?,
            _ formats: UnsafePointer<Int32>?
        ) -> Result
    ) -> Result {
        unsafe arena.withUnsafeBytes { bytes in
            let base = unsafe bytes.bindMemory(to: CChar.self).baseAddress
            let values = unsafe offsets.map { offset in
                unsafe offset.flatMap { start in unsafe base.map { unsafe $0 + start } }
            }
            return unsafe values.withUnsafeBufferPointer { values in
                unsafe lengths.withUnsafeBufferPointer { lengths in
                    unsafe formats.withUnsafeBufferPointer { formats in
                        unsafe body(values.baseAddress, lengths.baseAddress, formats.baseAddress)
                    }
                }
            }
        }
    }
}
