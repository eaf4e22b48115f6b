// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Builds trees from XML that is complete.
final class ElementParser: ExpatHandler {
    private let limits: Element.Limits
    private var open: [Element] = []
    private var elements = 0
    private var declarations = 0
    private var failure: XMLParseError?
    private var namespaces: [String: String] = [:]
    private var lastNamespace: (bytes: [UInt8], text: String) = ([], "")
    private var root: Element?
    private weak var parser: ExpatParser?

    private init(limits: Element.Limits) {
        self.limits = limits
    }

    /// The children of a synthetic root that has the declarations given, as attributes with their names as written.
    static func parse(
        _ bytes: ByteBuffer,
        declarations: [TagAttribute],
        limits: Element.Limits
    ) throws(XMLParseError) -> [Element.Node] {
        guard bytes.readableBytes > 0 else { return [] }
        let builder = ElementParser(limits: limits)
        // Kept alive, and the handler with it, until the end of this function.
        let parser = ExpatParser(handler: builder, reportsText: true)
        builder.parser = parser
        var start = ByteBuffer()
        start.writeStaticString("<root")
        for declaration in declarations {
            XMLEscape.writeAttribute(declaration.name, declaration.value, to: &start)
        }
        start.writeStaticString(">")
        do {
            try parser.feed(start)
            builder.declarations = 0
            try parser.feed(bytes)
            try parser.feed(ByteBuffer(string: "</root>"), isLast: true)
        } catch {
            throw builder.error(for: error)
        }
        return builder.root?.children ?? []
    }

    private func error(for fault: ExpatParser.Fault) -> XMLParseError {
        switch fault {
        case .notWellFormed, .unsupportedEncoding: .notWellFormed
        case .restricted: .restrictedXML
        case .undeclaredPrefix: .undeclaredPrefix
        case .stopped: self.failure ?? .notWellFormed
        }
    }

    private func refuse(_ error: XMLParseError) {
        self.failure = self.failure ?? error
        self.parser?.stop()
    }

    func elementStarted(_ name: ExpatName, _ attributes: ExpatAttributes) {
        self.elements += 1
        // The synthetic root is neither a level nor an element of the limits.
        guard self.open.count <= self.limits.depth else { return self.refuse(.tooDeep) }
        guard self.elements <= self.limits.elements + 1,
            self.open.isEmpty || attributes.count + self.declarations <= self.limits.attributes
        else { return self.refuse(.tooLarge) }
        self.declarations = 0
        var element = Element(name.local, self.namespace(of: name))
        for index in 0..<attributes.count {
            guard let name = attributes.name(index) else { continue }
            element.attributes.append(
                Element.Attribute(namespace: self.namespace(of: name), name: name.local, value: attributes.value(index))
            )
        }
        self.open.append(element)
    }

    /// The namespace of a name, as one string for all names in it.
    private func namespace(of name: ExpatName) -> String {
        if name.isIn(self.lastNamespace.bytes) { return self.lastNamespace.text }
        let found = name.namespace
        let text = self.namespaces[found] ?? found
        self.namespaces[found] = text
        self.lastNamespace = (Array(text.utf8), text)
        return text
    }

    func elementEnded() {
        guard let element = self.open.popLast() else { return }
        guard self.open.isEmpty else {
            self.open[self.open.count - 1].children.append(.element(element))
            return
        }
        self.root = element
    }

    func namespaceStarted(_ prefix: String?, _ uri: String) {
        self.declarations += 1
    }

    func namespaceEnded(_ prefix: String?) {}

    func text(_ text: String) {
        guard let last = self.open.indices.last else { return }
        self.open[last].appendText(text)
    }
}

extension Element {
    /// Adds text, to the text that ends the children if there is any.
    mutating func appendText(_ text: String) {
        guard let last = self.children.indices.last, case .text(var run) = self.children[last] else {
            self.children.append(.text(text))
            return
        }
        self.children[last] = .text("")  // so that the run is not copied
        run += text
        self.children[last] = .text(run)
    }
}
