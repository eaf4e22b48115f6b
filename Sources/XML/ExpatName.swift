// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A name as expat gives it (`namespace 01 local 01 prefix`, the parts that are there), valid during a callback.
@safe
struct ExpatName {
    private let start: UnsafePointer<CChar>
    private let namespaceEnd: UnsafeMutablePointer<CChar>?
    private let localEnd: UnsafeMutablePointer<CChar>?

    init(_ name: UnsafePointer<CChar>) {
        let separator = Int32(ExpatParser.separator)
        unsafe self.start = name
        unsafe self.namespaceEnd = strchr(name, separator)
        unsafe self.localEnd = self.namespaceEnd.flatMap { unsafe strchr($0 + 1, separator) }
    }

    var hasPrefix: Bool { unsafe self.localEnd != nil }

    /// The namespace, empty if the name has none.
    var namespace: String {
        guard let end = unsafe self.namespaceEnd else { return "" }
        return unsafe Self.string(self.start, end)
    }

    var local: String {
        guard let begin = unsafe self.namespaceEnd else { return unsafe String(cString: self.start) }
        guard let end = unsafe self.localEnd else { return unsafe String(cString: begin + 1) }
        return unsafe Self.string(begin + 1, end)
    }

    var prefix: String? {
        unsafe self.localEnd.map { unsafe String(cString: $0 + 1) }
    }

    /// The name as it was written.
    var asWritten: String {
        guard let prefix else { return self.local }
        return prefix + ":" + self.local
    }

    /// Whether the name is in this namespace, given as UTF-8; cheaper than making a string of it.
    func isIn(_ namespace: [UInt8]) -> Bool {
        guard let end = unsafe self.namespaceEnd else { return namespace.isEmpty }
        let count = unsafe UnsafePointer(end) - self.start
        guard count == namespace.count else { return false }
        return unsafe namespace.withUnsafeBytes { bytes in
            unsafe bytes.baseAddress.map { unsafe memcmp($0, self.start, count) == 0 } ?? true
        }
    }

    private static func string(_ start: UnsafePointer<CChar>, _ end: UnsafeMutablePointer<CChar>) -> String {
        let count = unsafe UnsafePointer(end) - start
        return unsafe String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
    }
}

/// The attributes of an element as expat gives them, valid during a callback. Declarations are not among them.
@safe
struct ExpatAttributes {
    private let list: UnsafeMutablePointer<UnsafePointer<CChar>?>?
    let count: Int

    init(_ list: UnsafeMutablePointer<UnsafePointer<CChar>?>?) {
        var count = 0
        if let list = unsafe list {
            while unsafe list[2 * count] != nil { count += 1 }
        }
        unsafe self.list = list
        self.count = count
    }

    /// The attribute at an index below `count`.
    func name(_ index: Int) -> ExpatName? {
        guard index < self.count else { return nil }
        return unsafe self.list?[2 * index].map { unsafe ExpatName($0) }
    }

    /// Its value, with references resolved.
    func value(_ index: Int) -> String {
        guard index < self.count else { return "" }
        return unsafe self.list?[2 * index + 1].map { unsafe String(cString: $0) } ?? ""
    }
}
