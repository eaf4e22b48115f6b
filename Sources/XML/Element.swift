// SPDX-License-Identifier: Apache-2.0

/// An XML element as a tree, for payloads that a handler needs to read or make.
///
/// Names are namespace and local name; prefixes are an affair of the writer.
package struct Element: Sendable, Equatable {
    /// An attribute; `namespace` is empty for the ones without a prefix.
    package struct Attribute: Sendable, Equatable {
        package var namespace: String
        package var name: String
        package var value: String

        package init(namespace: String = "", name: String, value: String) {
            self.namespace = namespace
            self.name = name
            self.value = value
        }
    }

    /// A child: an element or a run of text.
    package enum Node: Sendable, Equatable, ExpressibleByStringLiteral {
        case element(Element)
        case text(String)

        package init(stringLiteral value: String) {
            self = .text(value)
        }
    }

    /// What a parser accepts. What an edge let through is accepted by default: the edges' limits may not be set higher.
    package struct Limits: Sendable {
        package var depth: Int
        package var elements: Int
        package var attributes: Int

        package init(depth: Int = 1_024, elements: Int = 65_536, attributes: Int = 1_024) {
            self.depth = depth
            self.elements = elements
            self.attributes = attributes
        }
    }

    /// The namespace of the prefix `xml`.
    package static let xmlNamespace = "http://www.w3.org/XML/1998/namespace"

    package var name: String
    package var namespace: String
    package var attributes: [Attribute]
    package var children: [Node]

    /// An element whose attributes are given as a literal; one whose value is nil is left out, and `xml:lang` is
    /// understood.
    package init(
        _ name: String,
        _ namespace: String,
        attributes: KeyValuePairs<String, String?> = [:],
        children: [Node] = []
    ) {
        self.name = name
        self.namespace = namespace
        self.attributes = []
        self.children = children
        for (name, value) in attributes {
            self[name] = value
        }
    }

    /// An element that holds other elements.
    package init(
        _ name: String,
        _ namespace: String,
        attributes: KeyValuePairs<String, String?> = [:],
        elements: [Element]
    ) {
        self.init(name, namespace, attributes: attributes, children: elements.map { .element($0) })
    }

    /// An element that holds text.
    package init(
        _ name: String,
        _ namespace: String,
        attributes: KeyValuePairs<String, String?> = [:],
        text: String
    ) {
        self.init(name, namespace, attributes: attributes, children: text.isEmpty ? [] : [.text(text)])
    }

    /// The value of an attribute without a namespace, or of `xml:lang`. Set nil to remove it.
    package subscript(_ name: String) -> String? {
        get {
            let key = Self.split(name)
            return self.attributes.first { $0.name == key.name && $0.namespace == key.namespace }?.value
        }
        set {
            let key = Self.split(name)
            let index = self.attributes.firstIndex { $0.name == key.name && $0.namespace == key.namespace }
            switch (index, newValue) {
            case (.some(let index), .some(let value)):
                self.attributes[index].value = value
            case (.some(let index), .none):
                self.attributes.remove(at: index)
            case (.none, .some(let value)):
                self.attributes.append(Attribute(namespace: key.namespace, name: key.name, value: value))
            case (.none, .none):
                break
            }
        }
    }

    /// The first child element with this name and namespace.
    package func child(_ name: String, _ namespace: String) -> Element? {
        for case .element(let element) in self.children where element.name == name && element.namespace == namespace {
            return element
        }
        return nil
    }

    /// The first child element with this name in the element's own namespace.
    package func child(_ name: String) -> Element? {
        self.child(name, self.namespace)
    }

    /// All child elements.
    package var childElements: [Element] {
        self.children.compactMap { node in
            if case .element(let element) = node { element } else { nil }
        }
    }

    /// The text that is a direct child.
    package var text: String {
        var text = ""
        for case .text(let run) in self.children {
            text += run
        }
        return text
    }

    package mutating func append(_ element: Element) {
        self.children.append(.element(element))
    }

    package mutating func append(text: String) {
        self.appendText(text)
    }

    private static func split(_ name: String) -> (namespace: String, name: String) {
        name.utf8.starts(with: "xml:".utf8) ? (Self.xmlNamespace, String(name.dropFirst(4))) : ("", name)
    }
}

extension Element {
    /// An element from a start tag as written; prefixes of attributes are resolved by the tag's own declarations.
    init(_ name: String, _ namespace: String, tagAttributes: [TagAttribute], children: [Node]) {
        self.init(name, namespace, children: children)
        for attribute in tagAttributes where !attribute.name.utf8.starts(with: "xmlns:".utf8) {
            guard let colon = attribute.name.utf8.firstIndex(of: UInt8(ascii: ":")) else {
                self.attributes.append(Attribute(name: attribute.name, value: attribute.value))
                continue
            }
            let prefix = String(attribute.name[..<colon])
            let local = String(attribute.name[attribute.name.utf8.index(after: colon)...])
            let namespace = prefix == "xml" ? Self.xmlNamespace : tagAttributes.value(of: "xmlns:" + prefix)
            guard let namespace else { continue }
            self.attributes.append(Attribute(namespace: namespace, name: local, value: attribute.value))
        }
    }
}
