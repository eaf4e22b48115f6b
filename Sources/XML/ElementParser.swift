// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Synchronization

/// Builds trees from XML that is complete: the content of an element.
///
/// After a fragment without a fault the parser stands where it stood before, within its synthetic root, so the next
/// fragment in the same namespace may use it: that saves half of the time. One caller at a time has it; in between it
/// waits behind the lock of `idle`, which is why it may be called Sendable.
final class ElementParser: ExpatHandler, @unchecked Sendable {
    private static let idle = Mutex<[ElementParser]>([])
    /// Namespaces for which a parser waits: the content namespaces and some payload's.
    private static let idleCount = 4
    /// Expat keeps all names that it has met.
    private static let reusableBytes = 65_536

    private let declarations: [TagAttribute]
    private var parser: ExpatParser?
    private var limits = Element.Limits()
    private var open: [Element] = []
    private var elements = 0
    private var declarationCount = 0
    private var failure: XMLParseError?
    private var isEnding = false
    private var hasEnded = false
    private var namespaces: [String: String] = [:]
    private var lastNamespace: (bytes: [UInt8], text: String) = ([], "")

    private init(declarations: [TagAttribute]) {
        self.declarations = declarations
    }

    /// The children of a root that has the declarations given, as attributes with their names as written.
    static func parse(
        _ bytes: ByteBuffer,
        declarations: [TagAttribute],
        limits: Element.Limits
    ) throws(XMLParseError) -> [Element.Node] {
        guard bytes.readableBytes > 0 else { return [] }
        let waiting = self.idle.withLock { idle in
            idle.lastIndex { $0.declarations == declarations }.map { idle.remove(at: $0) }
        }
        let parser = waiting ?? ElementParser(declarations: declarations)
        let nodes = try parser.parse(bytes, limits: limits)
        if parser.parser?.fedBytes ?? .max <= self.reusableBytes {
            self.idle.withLock { idle in
                if idle.count >= self.idleCount { idle.removeFirst() }
                idle.append(parser)
            }
        }
        return nodes
    }

    private func parse(_ bytes: ByteBuffer, limits: Element.Limits) throws(XMLParseError) -> [Element.Node] {
        self.limits = Element.Limits(depth: .max, elements: .max, attributes: .max)
        self.elements = 0
        self.isEnding = false
        self.hasEnded = false
        defer {
            self.namespaces = [:]
            self.lastNamespace = ([], "")
        }
        do throws(ExpatParser.Fault) {
            let parser = try self.beginning()
            self.limits = limits
            try parser.feed(bytes)
            // What is unfinished cannot be followed by an element, or takes this one in.
            self.isEnding = true
            try parser.feed(ByteBuffer(string: "<end/>"))
        } catch {
            throw self.error(for: error)
        }
        guard self.hasEnded, self.open.count == 1, let children = self.open.first?.children else {
            throw .notWellFormed
        }
        self.open[0].children = []
        return children
    }

    /// The parser, within its root.
    private func beginning() throws(ExpatParser.Fault) -> ExpatParser {
        if let parser { return parser }
        let parser = ExpatParser(handler: self, reportsText: true)
        var start = ByteBuffer()
        start.writeStaticString("<root")
        for declaration in self.declarations {
            XMLEscape.writeAttribute(declaration.name, declaration.value, to: &start)
        }
        start.writeStaticString(">")
        try parser.feed(start)
        self.elements = 0
        self.parser = parser
        return parser
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
        if self.isEnding {
            self.hasEnded = self.open.count == 1
            return
        }
        self.elements += 1
        // The root is neither a level nor an element of the limits.
        guard self.open.count <= self.limits.depth else { return self.refuse(.tooDeep) }
        guard self.elements <= self.limits.elements,
            attributes.count + self.declarationCount <= self.limits.attributes
        else { return self.refuse(.tooLarge) }
        self.declarationCount = 0
        var element = Element(name.local, self.namespace(of: name))
        for index in 0..<attributes.count {
            guard let name = attributes.name(index) else { continue }
            let namespace = self.namespace(of: name)
            element.attributes.append(
                Element.Attribute(namespace: namespace, name: name.local, value: attributes.value(index))
            )
        }
        self.open.append(element)
    }

    /// The namespace of a name, as one string for all names in it: few bytes must not become many.
    private func namespace(of name: ExpatName) -> String {
        if name.isIn(self.lastNamespace.bytes) { return self.lastNamespace.text }
        let found = name.namespace
        let text = self.namespaces[found] ?? found
        self.namespaces[found] = text
        self.lastNamespace = (Array(text.utf8), text)
        return text
    }

    func elementEnded() {
        guard !self.isEnding, let element = self.open.popLast(), !self.open.isEmpty else { return }
        self.open[self.open.count - 1].children.append(.element(element))
    }

    func namespaceStarted(_ prefix: String?, _ uri: String) {
        self.declarationCount += 1
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
