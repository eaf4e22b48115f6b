// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Judges foreign XML with expat: the root of a stream, and its children one after the other.
///
/// It also tells what needs to be written anew (`needsRewriting`): a child that uses a prefix declared on the root,
/// or in which the content namespace does not come by plain inheritance. All else may travel as it was read.
final class StreamJudge: ExpatHandler {
    private var attributeLimit = Int.max
    private var nodeLimit = Int.max

    /// The longest namespace. A tree names the namespace at each element: without a bound, few bytes would make
    /// many in whatever reads or writes it.
    private static let namespaceBytes = 512

    /// Name and namespace of the root or of the current child.
    private(set) var name = ""
    private(set) var namespace = ""
    /// What else the root's start tag says; that of a child is read off its bytes.
    private var attributes: [TagAttribute] = []
    private var defaultNamespace: String?
    private(set) var needsRewriting = false
    private(set) var failure: StreamReader.Failure?

    /// How many elements are open, the root included.
    private(set) var depth = 0
    private var parser: ExpatParser?
    private var contentNamespace: [UInt8] = []
    private var contentNamespaceName = ""
    /// Whether the root's default namespace is the content namespace.
    private var inheritsContentNamespace = true
    /// For each open child of the root and what is in it: whether it is in the content namespace.
    private var isInContentNamespace: [Bool] = []
    /// What the element that starts next declares.
    private var declarations: [TagAttribute] = []
    private var redeclaresDefault = false
    /// Prefixes that elements within the child declare, and how often.
    private var contentPrefixes: [String: Int] = [:]

    /// Elements and attributes that the parser has met, and how many of them before the current child.
    private var nodes = 0
    private var nodesBefore = 0

    var fedBytes: Int { self.parser?.fedBytes ?? 0 }

    /// What the parser takes, estimated from above: itself, and the names that it keeps.
    var heldBytes: Int { 12_288 + 96 * self.nodes + 2 * self.fedBytes }

    /// A judge of a stream's beginning; without limits yet.
    init() {
        self.parser = ExpatParser(handler: self, reportsText: false)
    }

    /// A judge of a stream whose root was read before.
    convenience init(root: StreamRoot) throws(StreamReader.Failure) {
        self.init()
        try self.feed(root.primer)
        self.enter(root)
    }

    /// Holds what follows to these limits.
    func take(_ limits: StreamReader.Limits) {
        self.attributeLimit = limits.attributes
        self.nodeLimit = limits.nodes
    }

    /// The root was accepted.
    func enter(_ root: StreamRoot) {
        self.contentNamespaceName = root.contentNamespace
        self.contentNamespace = Array(root.contentNamespace.utf8)
        self.inheritsContentNamespace = root.defaultNamespace == root.contentNamespace
        self.beginChild()
    }

    /// Makes ready for the next child of the root.
    func beginChild() {
        self.needsRewriting = false
        self.nodesBefore = self.nodes
        self.isInContentNamespace.removeAll(keepingCapacity: true)
    }

    /// Parses whole tokens.
    func feed(_ bytes: ByteBuffer) throws(StreamReader.Failure) {
        guard let parser else { throw .notWellFormed }
        do {
            try parser.feed(bytes)
        } catch {
            switch error {
            case .notWellFormed: throw .notWellFormed
            case .restricted: throw .restrictedXML
            case .unsupportedEncoding: throw .unsupportedEncoding
            case .undeclaredPrefix: throw .badNamespacePrefix
            case .stopped: throw self.failure ?? .notWellFormed
            }
        }
    }

    private func refuse(_ failure: StreamReader.Failure) {
        self.failure = failure
        self.parser?.stop()
    }

    func namespaceStarted(_ prefix: String?, _ uri: String) {
        guard uri.utf8.count <= Self.namespaceBytes else { return self.refuse(.stanzaTooLarge) }
        if let prefix {
            self.declarations.append(TagAttribute(name: "xmlns:" + prefix, value: uri))
        } else {
            self.declarations.append(TagAttribute(name: "xmlns", value: uri))
            self.redeclaresDefault = true
        }
    }

    func elementStarted(_ name: ExpatName, _ attributes: ExpatAttributes) {
        let count = attributes.count + self.declarations.count
        guard count <= self.attributeLimit else { return self.refuse(.tooManyAttributes) }
        self.nodes += 1 + count
        guard self.nodes - self.nodesBefore <= self.nodeLimit else { return self.refuse(.stanzaTooLarge) }
        switch self.depth {
        case 0: self.rootStarted(name, attributes)
        case 1: self.childStarted(name, attributes)
        default: self.contentStarted(name, attributes)
        }
        self.depth += 1
        self.redeclaresDefault = false
        if !self.declarations.isEmpty { self.declarations = [] }
    }

    func elementEnded() {
        self.depth -= 1
        if self.depth > 0 { _ = self.isInContentNamespace.popLast() }
    }

    func namespaceEnded(_ prefix: String?) {
        // The element has ended already; only what is declared within a child counts.
        guard let prefix, self.depth >= 2, let count = self.contentPrefixes[prefix] else { return }
        self.contentPrefixes[prefix] = count > 1 ? count - 1 : nil
    }

    func text(_ text: String) {}

    private func rootStarted(_ name: ExpatName, _ attributes: ExpatAttributes) {
        self.name = name.local
        self.namespace = name.namespace
        self.defaultNamespace = self.declarations.first { $0.name == "xmlns" }?.value
        self.attributes = self.declarations.filter { $0.name != "xmlns" }
        for index in 0..<attributes.count {
            guard let name = attributes.name(index) else { continue }
            self.attributes.append(TagAttribute(name: name.asWritten, value: attributes.value(index)))
        }
    }

    private func childStarted(_ name: ExpatName, _ attributes: ExpatAttributes) {
        let isOfThisStream = name.isIn(self.contentNamespace)
        guard isOfThisStream || !self.isContent(name) else {
            // A stanza of another kind of stream (RFC 6120 §4.8.2, §4.9.3.10).
            return self.refuse(.invalidNamespace)
        }
        self.name = name.local
        self.namespace = isOfThisStream ? self.contentNamespaceName : name.namespace
        self.isInContentNamespace.append(isOfThisStream)
        let inheritsOther = !self.redeclaresDefault && !self.inheritsContentNamespace
        if name.hasPrefix || inheritsOther { self.needsRewriting = true }
        for index in 0..<attributes.count {
            guard let prefix = attributes.name(index)?.prefix, prefix != "xml" else { continue }
            if self.declarations.value(of: "xmlns:" + prefix) == nil { self.needsRewriting = true }
        }
    }

    private func contentStarted(_ name: ExpatName, _ attributes: ExpatAttributes) {
        for declaration in self.declarations where declaration.name != "xmlns" {
            self.contentPrefixes[String(declaration.name.dropFirst(6)), default: 0] += 1
        }
        let isInContentNamespace = self.isContent(name)
        let inherits = !name.hasPrefix && !self.redeclaresDefault
        if isInContentNamespace, !inherits, self.isInContentNamespace.last == true {
            self.needsRewriting = true
        }
        self.isInContentNamespace.append(isInContentNamespace)
        self.notePrefix(of: name)
        for index in 0..<attributes.count {
            if let name = attributes.name(index) { self.notePrefix(of: name) }
        }
    }

    /// Within a stanza all content namespaces count as that of this stream: a payload travels on streams of each.
    private func isContent(_ name: ExpatName) -> Bool {
        name.isIn(self.contentNamespace) || StreamRoot.contentNamespaces.contains { name.isIn($0) }
    }

    /// The content must declare what it uses.
    private func notePrefix(of name: ExpatName) {
        guard !self.needsRewriting, name.hasPrefix, let prefix = name.prefix, prefix != "xml" else { return }
        if self.contentPrefixes[prefix] == nil { self.needsRewriting = true }
    }
}

extension StreamJudge {
    /// The start tag that was read, as the header of a stream.
    var header: StreamHeader {
        StreamHeader(
            namespace: self.namespace,
            name: self.name,
            contentNamespace: self.defaultNamespace,
            attributes: self.attributes
        )
    }
}
