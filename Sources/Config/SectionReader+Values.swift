// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// The typed reads.
extension SectionReader {
    /// The text of a scalar that is not null, else reports what was expected.
    private func scalar(_ key: String, _ expected: String) -> (text: String, node: YAMLNode)? {
        guard let node = take(key) else { return nil }
        guard case .scalar(let text, _) = node.content, !node.isNull else {
            reject(node, key, expected)
            return nil
        }
        return (text: text, node: node)
    }

    func integer(_ key: String, _ value: inout Int, in bounds: ClosedRange<Int>) {
        let expected = "a whole number from \(bounds.lowerBound) to \(bounds.upperBound)"
        guard let (text, node) = scalar(key, expected) else { return }
        guard let number = Quantity.integer(text), bounds.contains(number) else { return reject(node, key, expected) }
        value = number
    }

    func bytes(_ key: String, _ value: inout Int, in bounds: ClosedRange<Int>) {
        let low = Quantity.describe(bytes: bounds.lowerBound)
        let expected = "a size from \(low) to \(Quantity.describe(bytes: bounds.upperBound))"
        guard let (text, node) = scalar(key, expected) else { return }
        guard let number = Quantity.bytes(text), bounds.contains(number) else { return reject(node, key, expected) }
        value = number
    }

    func duration(_ key: String, _ value: inout Duration, in bounds: ClosedRange<Duration>) {
        let low = Quantity.describe(bounds.lowerBound)
        let expected = "a time from \(low) to \(Quantity.describe(bounds.upperBound))"
        guard let (text, node) = scalar(key, expected) else { return }
        guard let time = Quantity.duration(text), bounds.contains(time) else { return reject(node, key, expected) }
        value = time
    }

    func boolean(_ key: String, _ value: inout Bool) {
        guard let (text, node) = scalar(key, "true or false") else { return }
        guard let flag = Quantity.boolean(text) else { return reject(node, key, "true or false") }
        value = flag
    }

    func choice<Value: RawRepresentable<String> & CaseIterable>(_ key: String, _ value: inout Value) {
        let expected = "one of " + Value.allCases.map(\.rawValue).joined(separator: ", ")
        guard let (text, node) = scalar(key, expected) else { return }
        guard let found = Value(rawValue: text) else { return reject(node, key, expected) }
        value = found
    }

    func text(_ key: String, _ value: inout String) {
        guard let (text, node) = scalar(key, "a text") else { return }
        guard Quantity.isOneLine(text), !text.isEmpty else { return reject(node, key, "a text of one line") }
        value = text
    }

    func path(_ key: String, _ value: inout String) {
        text(key, &value)
        value = collector.resolve(value)
    }

    func address(_ key: String, _ value: inout ListenAddress) {
        let expected = "an address with a port, such as 127.0.0.1:5347 or [::]:5222,"
        guard let (text, node) = scalar(key, expected) else { return }
        guard let address = ListenAddress(parsing: text) else { return reject(node, key, expected) }
        value = address
    }

    /// An address to connect to, whose host may be a name.
    func remoteAddress(_ key: String, _ value: inout ListenAddress) {
        let expected = "a host with a port, such as router.example.org:5348 or 192.0.2.1:5348,"
        guard let (text, node) = scalar(key, expected) else { return }
        guard let address = ListenAddress(parsingRemote: text) else { return reject(node, key, expected) }
        value = address
    }

    func domain(_ key: String, _ value: inout String) {
        guard let (_, node) = scalar(key, "a domain name") else { return }
        if let name = collector.domain(node, path: fullPath(key)) { value = name }
    }

    func domains(_ key: String, _ value: inout [String]) {
        guard let elements = list(key, of: "domain names") else { return }
        value = elements.compactMap { node, path in collector.domain(node, path: path) }
    }

    func integers(_ key: String, _ value: inout [Int], in bounds: ClosedRange<Int>) {
        var texts = value.map { String($0) }
        self.texts(key, &texts, of: "whole numbers from \(bounds.lowerBound) to \(bounds.upperBound)") { text in
            Quantity.integer(text).flatMap { bounds.contains($0) ? String($0) : nil }
        }
        value = texts.compactMap { Int($0) }
    }

    func texts(_ key: String, _ value: inout [String], of what: String, _ check: (String) -> String?) {
        guard let elements = list(key, of: what) else { return }
        value = elements.compactMap { node, path in
            guard case .scalar(let text, _) = node.content, !node.isNull, let checked = check(text) else {
                collector.report(node.mark, "\(path): \(what) expected, not \(node.kind)")
                return nil
            }
            return checked
        }
    }
}

extension IssueCollector {
    /// The prepared form of a domain (RFC 7622 §3.2), the one that every process goes by; reports what is none.
    func domain(_ node: YAMLNode, path: String) -> String? {
        guard case .scalar(let text, _) = node.content, !node.isNull else {
            report(node.mark, "\(path): a domain name is expected, not \(node.kind)")
            return nil
        }
        do throws(JIDError) {
            return try BareJID.prepareDomain(text)
        } catch {
            report(node.mark, "\(path): a domain name is expected, not \(node.kind), which \(error.reason.rawValue)")
            return nil
        }
    }
}

/// The typed reads of keys whose value may be null (`~`).
extension SectionReader {
    /// Runs the read unless the key's value is null, which is the default of all these keys.
    private func unlessNull<Value>(
        _ key: String,
        _ value: inout Value?,
        initial: Value,
        _ read: (inout Value) -> Void
    ) {
        guard let node = peek(key), !node.isNull else {
            _ = take(key)
            return
        }
        var filled = value ?? initial
        read(&filled)
        value = filled
    }

    func optionalInteger(_ key: String, _ value: inout Int?, in bounds: ClosedRange<Int>) {
        unlessNull(key, &value, initial: bounds.lowerBound) { integer(key, &$0, in: bounds) }
    }

    func optionalBytes(_ key: String, _ value: inout Int?, in bounds: ClosedRange<Int>) {
        unlessNull(key, &value, initial: bounds.lowerBound) { bytes(key, &$0, in: bounds) }
    }

    func optionalBoolean(_ key: String, _ value: inout Bool?) {
        unlessNull(key, &value, initial: false) { boolean(key, &$0) }
    }

    func optionalAddress(_ key: String, _ value: inout ListenAddress?) {
        unlessNull(key, &value, initial: ListenAddress(host: "", port: 0)) { address(key, &$0) }
    }

    func optionalPath(_ key: String, _ value: inout String?) {
        unlessNull(key, &value, initial: "") { path(key, &$0) }
    }

    /// A text that no message repeats.
    func optionalSecret(_ key: String, _ value: inout Secret?) {
        guard let node = take(key), !node.isNull else { return }
        guard case .scalar(let text, _) = node.content, Quantity.isOneLine(text), !text.isEmpty else {
            return collector.report(node.mark, "\(fullPath(key)): a text of one line is expected")
        }
        value = Secret(text)
    }
}
