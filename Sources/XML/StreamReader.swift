// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Splits the bytes of an XML stream into its header and its first-level elements (RFC 6120 §4, §11).
///
/// Confined to the loop of its owner. The owner hands over what it reads and calls `next` until that answers nil:
///
///     reader.receive(bytes)
///     while let event = try reader.next() { … }
///
/// `MarkupScanner` finds the tags; for a foreign peer, expat then sees whole tokens only, as early as they are
/// complete, so that nothing is scanned twice and every error is told at the byte that makes it. Both must agree.
/// Nothing after the element that `next` returned was looked at, so `trust`, `limits` and `reset` take effect at once.
///
/// Memory: the current element up to `Limits.stanzaBytes`, and while there is one, an expat parser; nothing between
/// two elements.
package final class StreamReader {
    /// Who writes the stream.
    package enum Trust: Sendable {
        /// Judged in full: well-formedness, namespaces, restricted XML, limits; normalised where inner readers
        /// could disagree.
        case foreign
        /// A link between our own processes: start tags are read, the payload is not judged.
        case internalLink
    }

    /// What a peer may send. `stanzaBytes` and the header's `tagBytes` hold for all, the others for foreign peers.
    package struct Limits: Sendable {
        package var stanzaBytes: Int
        package var tagBytes: Int
        package var depth: Int
        package var attributes: Int
        /// Elements and attributes of one stanza, which cost more memory than their bytes tell.
        package var nodes: Int

        package init(
            stanzaBytes: Int = 65_536,
            tagBytes: Int = 32_768,
            depth: Int = 64,
            attributes: Int = 64,
            nodes: Int = 16_384
        ) {
            self.stanzaBytes = stanzaBytes
            self.tagBytes = tagBytes
            self.depth = depth
            self.attributes = attributes
            self.nodes = nodes
        }
    }

    package enum Event: Sendable {
        case streamOpened(StreamHeader)
        case element(StreamElement)
        /// On an internal link: a wrapper that told its length.
        case route(RouteFrame)
        case streamClosed
    }

    package enum Failure: Error, Equatable, Sendable {
        case notWellFormed
        case restrictedXML
        case unsupportedEncoding
        /// The root, its default namespace, or the content namespace of one of its children is not what is spoken
        /// here (RFC 6120 §4.9.3.10).
        case invalidNamespace
        case badNamespacePrefix
        /// The root is not `stream` (RFC 6120 §4.9.3.1).
        case badFormat
        case textOutsideStanza
        case stanzaTooLarge
        case tooDeep
        case tooManyAttributes
    }

    private enum Phase {
        case prolog
        case betweenElements(StreamRoot)
        case inElement(StreamRoot, isForeign: Bool)
        /// The root was an empty element.
        case closing
        case closed
        case failed(Failure)
    }

    package var limits: Limits
    /// May be changed at any time; holds from the next element on. An XEP-0114 stream is foreign until its handshake.
    package var trust: Trust

    private let contentNamespaces: Set<String>
    private let parsers: StreamParserCache?
    private var phase = Phase.prolog
    /// What is unread; the first byte is that of the current token's element.
    private var input = ByteBuffer()
    private var scanner = MarkupScanner(judges: true)
    private var outline = StanzaOutline()
    private var judge: StreamJudge?
    /// How many bytes of the current element expat has seen.
    private var judged = 0
    /// What is kept of the root: the bytes of its start tag, at most twice.
    private var rootBytes = 0

    /// A parser that has seen this much is dropped: expat keeps every name that it has met.
    private static let judgeBytes = 65_536

    /// A reader at the start of a stream; `contentNamespaces` are the default namespaces that its root may declare.
    /// Readers of many streams on one loop should share `parsers`.
    package init(
        trust: Trust,
        contentNamespaces: Set<String>,
        limits: Limits = Limits(),
        parsers: StreamParserCache? = nil
    ) {
        self.trust = trust
        self.parsers = parsers
        self.contentNamespaces = contentNamespaces
        self.limits = limits
        self.reset()
    }

    /// Adds bytes from the peer; call `next` until it answers nil.
    package func receive(_ bytes: ByteBuffer) {
        guard self.input.readableBytes > 0 else {
            self.input = bytes
            return
        }
        if self.input.readerIndex > self.input.readableBytes {
            self.compact(addedCapacity: bytes.readableBytes)
        }
        self.input.writeImmutableBuffer(bytes)
    }

    /// The next event, nil if more bytes are needed. After a failure every call fails in the same way.
    package func next() throws(Failure) -> Event? {
        do throws(Failure) {
            while true {
                switch self.phase {
                case .prolog:
                    guard let event = try self.readProlog() else { return self.suspend() }
                    return event
                case .betweenElements(let root):
                    if self.trust == .internalLink {
                        switch try self.readRoute() {
                        case .incomplete: return self.suspend()
                        case .route(let frame): return .route(frame)
                        case .other: break
                        }
                    }
                    guard try self.beginElement(root) else { return self.suspend() }
                case .inElement(let root, let isForeign):
                    guard let event = try self.readElement(root, isForeign: isForeign) else { return self.suspend() }
                    return event
                case .closing:
                    self.phase = .closed
                    return .streamClosed
                case .closed:
                    self.input = ByteBuffer()
                    return nil
                case .failed(let failure):
                    throw failure
                }
            }
        } catch {
            self.phase = .failed(error)
            self.input = ByteBuffer()
            self.judge = nil
            throw error
        }
    }

    /// Begins a new stream (after STARTTLS, after SASL); drops everything that was received.
    package func reset() {
        self.phase = .prolog
        self.input = ByteBuffer()
        self.judge = nil
        self.judged = 0
        self.rootBytes = 0
        self.scanner = MarkupScanner(judges: self.trust == .foreign)
        self.scanner.allowsDeclaration = true
    }

    /// Whether bytes are waiting that no event has covered, white space aside.
    package var hasUnreadInput: Bool {
        !self.input.readableBytesView.allSatisfy(MarkupScanner.isWhiteSpace)
    }

    /// How many bytes no event has covered.
    package var unreadBytes: Int { self.input.readableBytes }

    /// How much memory the unread input holds on to.
    package var storedBytes: Int { self.input.storageCapacity }

    /// How much memory the stream keeps, estimated from above: the unread input, the parser, and what the root declared.
    package var heldBytes: Int { self.input.storageCapacity + self.rootBytes + (self.judge?.heldBytes ?? 0) }

    /// Whether a parser is alive.
    var hasJudge: Bool { self.judge != nil }

    // MARK: Input

    /// More bytes are needed: a small rest must not keep a large read buffer alive.
    private func suspend() -> Event? {
        if self.input.readableBytes == 0 {
            self.input = ByteBuffer()
        } else if self.input.storageCapacity > 4_096, self.input.storageCapacity / 4 > self.input.readableBytes {
            self.compact(addedCapacity: 0)
        }
        return nil
    }

    private func compact(addedCapacity: Int) {
        var copy = ByteBufferAllocator().buffer(capacity: self.input.readableBytes + addedCapacity)
        copy.writeImmutableBuffer(self.input)
        self.input = copy
    }

    private func skipWhiteSpace() {
        let bytes = self.input.readableBytesView
        let end = bytes.firstIndex { !MarkupScanner.isWhiteSpace($0) } ?? bytes.endIndex
        self.input.moveReaderIndex(forwardBy: end - bytes.startIndex)
    }

    private func peek(_ offset: Int = 0) -> UInt8? {
        self.input.getInteger(at: self.input.readerIndex + offset)
    }

    private func nextToken(within window: Int) -> MarkupScanner.Token {
        let input = self.input
        return self.scanner.next(input.readableBytesUInt8Span.extracting(first: window))
    }

    /// Lets expat see the current element up to `end`.
    private func judge(upTo end: Int, of root: StreamRoot?) throws(Failure) {
        let start = self.input.readerIndex + self.judged
        guard end > self.judged, let bytes = self.input.getSlice(at: start, length: end - self.judged) else { return }
        self.judged = end
        try self.makeJudge(root).feed(bytes)
    }

    private func makeJudge(_ root: StreamRoot?) throws(Failure) -> StreamJudge {
        if let judge { return judge }
        let judge: StreamJudge
        if let root, let kept = self.parsers?.take(for: root) {
            judge = kept
        } else if let root {
            judge = try StreamJudge(root: root)
        } else {
            judge = StreamJudge()
        }
        judge.take(self.limits)
        self.judge = judge
        return judge
    }

    /// Gives the parser away if it is not needed at once, and drops it if it has seen much.
    private func releaseJudge(_ root: StreamRoot) {
        guard let judge else { return }
        self.skipWhiteSpace()
        let isSpent = judge.fedBytes > Self.judgeBytes
        guard isSpent || self.input.readableBytes == 0 else { return }
        if !isSpent { self.parsers?.keep(judge, for: root) }
        self.judge = nil
    }

    // MARK: The root

    private func readProlog() throws(Failure) -> Event? {
        while true {
            self.skipWhiteSpace()
            guard let first = self.peek() else { return nil }
            try self.judgeFirstBytes(first)
            self.scanner.tagLimit = self.limits.tagBytes
            switch self.nextToken(within: self.input.readableBytes) {
            case .incomplete: return nil
            case .refused(let failure): throw failure
            case .text, .endTag: throw .notWellFormed
            case .declaration(let range):
                if self.trust == .foreign { try self.judge(upTo: range.upperBound, of: nil) }
                self.advance(over: range)
                self.scanner.allowsDeclaration = false
            case .startTag(let tag): return try self.openStream(tag, isEmpty: false)
            case .emptyTag(let tag): return try self.openStream(tag, isEmpty: true)
            }
        }
    }

    /// A stream is UTF-8 without a byte order mark (RFC 6120 §11.6) and begins with markup.
    private func judgeFirstBytes(_ first: UInt8) throws(Failure) {
        switch first {
        case UInt8(ascii: "<"):
            if self.peek(1) == 0 { throw .unsupportedEncoding }
        case 0x00, 0xFE, 0xFF: throw .unsupportedEncoding
        default: throw .notWellFormed
        }
    }

    private func advance(over range: Range<Int>) {
        self.input.moveReaderIndex(forwardBy: range.upperBound)
        self.scanner.restart()
        self.judged = 0
    }

    private func openStream(_ tag: Range<Int>, isEmpty: Bool) throws(Failure) -> Event {
        let header: StreamHeader
        let written: String
        if self.trust == .foreign {
            try self.judge(upTo: tag.upperBound, of: nil)
            let judge = try self.makeJudge(nil)
            header = judge.header
            written = TagParser.writtenName(self.input, tag)
        } else {
            guard let parsed = TagParser(self.input.slice(tag)) else { throw .notWellFormed }
            header = parsed.header
            written = parsed.name
        }
        let root = try StreamRoot(header: header, writtenName: written, contentNamespaces: self.contentNamespaces)
        self.judge?.enter(root)
        self.rootBytes = 2 * tag.count
        self.advance(over: tag)
        self.phase = isEmpty ? .closing : .betweenElements(root)
        if !isEmpty { self.releaseJudge(root) }
        return .streamOpened(header)
    }

    // MARK: Wrappers

    private enum RouteReading {
        case other
        case incomplete
        case route(RouteFrame)
    }

    /// Takes a wrapper by the length that it tells, if one begins here.
    private func readRoute() throws(Failure) -> RouteReading {
        self.skipWhiteSpace()
        let input = self.input
        switch RouteScan(input.readableBytesUInt8Span, limit: self.limits.stanzaBytes) {
        case .other: return .other
        case .incomplete: return .incomplete
        case .refused(let failure): throw failure
        case .route(let tag, let end):
            guard let frame = RouteFrame(input, tag, end: end) else { throw .notWellFormed }
            self.input.moveReaderIndex(forwardBy: end)
            return .route(frame)
        }
    }

    // MARK: Elements

    /// Skips white space, the keepalive of RFC 6120 §4.6.1; false if nothing else is there.
    private func beginElement(_ root: StreamRoot) throws(Failure) -> Bool {
        self.skipWhiteSpace()
        guard let first = self.peek() else { return false }
        guard first == UInt8(ascii: "<") else {
            throw MarkupScanner.canBeginText(first) ? .textOutsideStanza : .notWellFormed
        }
        let isForeign = self.trust == .foreign
        self.scanner = MarkupScanner(judges: isForeign)
        self.outline = StanzaOutline()
        self.judged = 0
        if isForeign {
            self.judge?.beginChild()
            self.judge?.take(self.limits)
        } else {
            self.judge = nil
        }
        self.phase = .inElement(root, isForeign: isForeign)
        return true
    }

    private func readElement(_ root: StreamRoot, isForeign: Bool) throws(Failure) -> Event? {
        self.scanner.tagLimit = isForeign ? self.limits.tagBytes : .max
        let window = min(self.input.readableBytes, max(self.limits.stanzaBytes, 0))
        while !self.outline.isComplete {
            switch self.nextToken(within: window) {
            case .incomplete:
                if isForeign { try self.judge(upTo: self.scanner.position, of: root) }
                guard window < self.limits.stanzaBytes else { throw .stanzaTooLarge }
                return nil
            case .refused(let failure):
                try self.refuse(failure, at: self.scanner.position, root, isForeign: isForeign)
            case .text:
                guard self.outline.depth > 0 else { throw .textOutsideStanza }
            case .startTag(let tag):
                try self.checkDepth(of: tag, root, isForeign: isForeign)
                self.outline.open(tag)
            case .emptyTag(let tag):
                try self.checkDepth(of: tag, root, isForeign: isForeign)
                self.outline.openAndClose(tag)
            case .endTag(let tag):
                guard self.outline.depth > 0 else { return try self.closeStream(tag, root) }
                self.outline.close(tag)
            case .declaration:
                throw .restrictedXML
            }
        }
        return .element(try self.endElement(root, isForeign: isForeign))
    }

    /// What came before the fault is judged first, so that the answer is the same in whatever pieces it came.
    private func refuse(
        _ failure: Failure,
        at offset: Int,
        _ root: StreamRoot,
        isForeign: Bool
    ) throws(Failure) {
        if isForeign { try self.judge(upTo: offset, of: root) }
        throw failure
    }

    private func checkDepth(of tag: Range<Int>, _ root: StreamRoot, isForeign: Bool) throws(Failure) {
        guard isForeign, self.outline.depth >= self.limits.depth else { return }
        try self.refuse(.tooDeep, at: tag.lowerBound, root, isForeign: true)
    }

    private func closeStream(_ tag: Range<Int>, _ root: StreamRoot) throws(Failure) -> Event {
        guard TagParser.writtenName(self.input, tag) == root.writtenName else { throw .notWellFormed }
        self.phase = .closed
        self.judge = nil
        self.input = ByteBuffer()
        return .streamClosed
    }

    private func endElement(_ root: StreamRoot, isForeign: Bool) throws(Failure) -> StreamElement {
        guard let stanza = self.outline.stanza else { throw .notWellFormed }
        if isForeign { try self.judge(upTo: stanza.end, of: root) }
        guard let bytes = self.input.readSlice(length: stanza.end) else { throw .notWellFormed }
        self.phase = .betweenElements(root)
        guard isForeign else {
            guard let element = StreamElement(linkBytes: bytes, stanza, root) else { throw .notWellFormed }
            return element
        }
        // The scanner and expat must have seen the same element.
        guard let judge, judge.depth == 1 else { throw .notWellFormed }
        defer { self.releaseJudge(root) }
        guard judge.needsRewriting else { return StreamElement(judged: judge, bytes, stanza) }
        return try StanzaRewriter.rewrite(bytes, root, limits: self.limits)
    }
}
