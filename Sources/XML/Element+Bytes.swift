// SPDX-License-Identifier: Apache-2.0

package import NIOCore

extension Element {
    /// Parses the content of an element whose default namespace is `namespace`.
    package static func parseFragment(
        _ bytes: ByteBuffer,
        namespace: String,
        limits: Limits = Limits()
    ) throws(XMLParseError) -> [Node] {
        try ElementParser.parse(
            bytes,
            declarations: [TagAttribute(name: "xmlns", value: namespace)],
            limits: limits
        )
    }

    /// Parses one element, white space around it aside.
    package init(
        parsing bytes: ByteBuffer,
        namespace: String,
        limits: Limits = Limits()
    ) throws(XMLParseError) {
        var found: Element?
        for node in try Self.parseFragment(bytes, namespace: namespace, limits: limits) {
            switch node {
            case .element(let element):
                guard found == nil else { throw .notWellFormed }
                found = element
            case .text(let text):
                guard text.utf8.allSatisfy({ $0 == 0x20 || (0x09...0x0D).contains($0) }) else { throw .notWellFormed }
            }
        }
        guard let found else { throw .notWellFormed }
        self = found
    }

    /// Writes the element where `namespace` is the default namespace.
    package func write(to buffer: inout ByteBuffer, inheriting namespace: String) {
        self.write(to: &buffer, inheriting: namespace, limit: .max)
    }

    /// Writes the element, but stops soon after the buffer holds more than `limit` bytes.
    func write(to buffer: inout ByteBuffer, inheriting namespace: String, limit: Int) {
        guard buffer.readableBytes <= limit else { return }
        buffer.writeStaticString("<")
        buffer.writeString(self.name)
        if self.namespace != namespace {
            XMLEscape.writeAttribute("xmlns", self.namespace, to: &buffer)
        }
        self.writeAttributes(to: &buffer)
        guard !self.children.isEmpty else {
            buffer.writeStaticString("/>")
            return
        }
        buffer.writeStaticString(">")
        for child in self.children {
            switch child {
            case .element(let element): element.write(to: &buffer, inheriting: self.namespace, limit: limit)
            case .text(let text): XMLEscape.writeText(text, to: &buffer)
            }
        }
        buffer.writeStaticString("</")
        buffer.writeString(self.name)
        buffer.writeStaticString(">")
    }

    private func writeAttributes(to buffer: inout ByteBuffer) {
        var declared: [String] = []
        for attribute in self.attributes {
            switch attribute.namespace {
            case "": XMLEscape.writeAttribute(attribute.name, attribute.value, to: &buffer)
            case Self.xmlNamespace: XMLEscape.writeAttribute("xml:" + attribute.name, attribute.value, to: &buffer)
            default:
                let index = declared.firstIndex(of: attribute.namespace) ?? declared.count
                if index == declared.count {
                    declared.append(attribute.namespace)
                    XMLEscape.writeAttribute("xmlns:ns\(index)", attribute.namespace, to: &buffer)
                }
                XMLEscape.writeAttribute("ns\(index):" + attribute.name, attribute.value, to: &buffer)
            }
        }
    }

    /// The element as text, for logs and tests.
    package func description(inheriting namespace: String) -> String {
        var buffer = ByteBuffer()
        self.write(to: &buffer, inheriting: namespace)
        return String(buffer: buffer)
    }
}
