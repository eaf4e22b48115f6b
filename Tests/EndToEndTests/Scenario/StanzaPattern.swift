// SPDX-License-Identifier: Apache-2.0

import XML

/// An element as a scenario expects it.
///
/// The attributes that it names must be there: `*` at the end stands for any rest, `!` says that there is none. Every child that it names must be there, in
/// any order, and no other may be, unless it holds `<any/>`. Text must be equal, save for `*`.
struct StanzaPattern {
    let expected: Element

    /// Tells how `actual` differs, or nil when it matches.
    func difference(from actual: Element) -> String? {
        Self.difference(expected, actual, path: expected.name)
    }

    private static func difference(_ expected: Element, _ actual: Element, path: String) -> String? {
        guard expected.name == actual.name, expected.namespace == actual.namespace else {
            return "\(path): is <\(actual.name) xmlns='\(actual.namespace)'>"
        }
        for attribute in expected.attributes {
            let value = actual.attributes.first {
                $0.name == attribute.name && $0.namespace == attribute.namespace
            }?.value
            switch (attribute.value, value) {
            case ("!", .none): continue
            case (let wanted, .some(let value)) where wanted == value: continue
            case (let wanted, .some(let value)) where wanted.last == "*" && value.hasPrefix(wanted.dropLast()):
                continue
            default: return "\(path)/@\(attribute.name): \(value ?? "absent") instead of \(attribute.value)"
            }
        }
        return childDifference(expected, actual, path: path)
    }

    private static func childDifference(_ expected: Element, _ actual: Element, path: String) -> String? {
        let wanted = Array(expected.childElements)
        if wanted.isEmpty, expected.text != "*", trimmed(expected.text) != trimmed(actual.text) {
            return "\(path): text '\(actual.text)' instead of '\(expected.text)'"
        }
        var remaining = Array(actual.childElements)
        var allowsMore = expected.text == "*"
        for child in wanted {
            if child.name == "any" {
                allowsMore = true
                continue
            }
            guard let match = remaining.firstIndex(where: { difference(child, $0, path: "") == nil }) else {
                let near = remaining.first { $0.name == child.name && $0.namespace == child.namespace }
                let reason = near.flatMap { difference(child, $0, path: "\(path)/\(child.name)") }
                return reason ?? "\(path): <\(child.name) xmlns='\(child.namespace)'> is missing"
            }
            remaining.remove(at: match)
        }
        if let extra = remaining.first, !allowsMore {
            return "\(path): has <\(extra.name) xmlns='\(extra.namespace)'> which was not expected"
        }
        return nil
    }

    private static func trimmed(_ text: String) -> Substring {
        let start = text.drop(while: \.isWhitespace)
        guard let last = start.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return start[...last]
    }
}
