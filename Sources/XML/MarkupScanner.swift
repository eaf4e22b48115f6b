// SPDX-License-Identifier: Apache-2.0

/// Finds the tags of restricted XML without judging anything else.
///
/// Its grammar is so small that two readers cannot disagree about it: text, tags (in which `<` cannot occur, and `>`
/// only within quotes), CDATA sections, and one XML declaration at the start of a stream. The edge lets nothing else
/// pass, and both the edge and the inner readers split stanzas with this scanner.
///
/// An unfinished token is never scanned twice: `cursor` remembers how far it was read.
struct MarkupScanner {
    /// A piece of the input; offsets count from the start of the bytes.
    enum Token: Equatable {
        /// Text or part of it, never with an unfinished reference at its end.
        case text(Range<Int>)
        case startTag(Range<Int>)
        case emptyTag(Range<Int>)
        case endTag(Range<Int>)
        /// `<?xml … ?>`
        case declaration(Range<Int>)
        /// More bytes are needed.
        case incomplete
        case refused(StreamReader.Failure)
    }

    private enum State {
        /// At the start of a token.
        case content
        /// Within the text, after an `&`.
        case reference
        case tag(quote: UInt8)
        case markup
        case cdata(brackets: Int)
        case declaration
    }

    /// Whether references must be complete, and tags free of what UTF-8 and XML never have. Expat sees what is
    /// judged, and it must not scan an unfinished reference again and again.
    var judges: Bool
    /// Whether an XML declaration may come.
    var allowsDeclaration = false
    /// The longest tag, reference or declaration.
    var tagLimit = Int.max

    private var state = State.content
    /// The start of the token that is unfinished.
    private(set) var position = 0
    /// How far it was read.
    private var cursor = 0

    init(judges: Bool) {
        self.judges = judges
    }

    /// Forgets all offsets: the next byte begins a token.
    mutating func restart() {
        self.state = .content
        self.position = 0
        self.cursor = 0
    }

    /// The next token of `bytes`, which begin where they began at the calls before.
    mutating func next(_ bytes: Span<UInt8>) -> Token {
        while self.cursor < bytes.count {
            let token: Token?
            switch self.state {
            case .content: token = self.scanContent(bytes)
            case .reference: token = self.scanReference(bytes)
            case .tag(let quote): token = self.scanTag(bytes, quote)
            case .markup: token = self.scanMarkup(bytes)
            case .cdata(let brackets): token = self.scanCDATA(bytes, brackets)
            case .declaration: token = self.scanDeclaration(bytes)
            }
            if let token { return token }
        }
        return .incomplete
    }

    private mutating func finish(at end: Int) -> Range<Int> {
        let range = self.position..<end
        self.state = .content
        self.position = end
        self.cursor = end
        return range
    }

    /// Text up to the next markup, or the second byte of markup.
    private mutating func scanContent(_ bytes: Span<UInt8>) -> Token? {
        if bytes[self.position] == UInt8(ascii: "<") {
            return self.scanMarkupStart(bytes)
        }
        let index = self.judges ? bytes.firstMarkupOrReference(from: self.cursor) : bytes.firstMarkup(from: self.cursor)
        guard index == self.position else { return .text(self.finish(at: index)) }
        self.cursor = index + 1
        self.state = .reference
        return nil
    }

    private mutating func scanMarkupStart(_ bytes: Span<UInt8>) -> Token? {
        guard self.position + 1 < bytes.count else {
            self.cursor = bytes.count
            return nil
        }
        self.cursor = self.position + 1
        switch bytes[self.cursor] {
        case UInt8(ascii: "!"), UInt8(ascii: "?"):
            self.state = .markup
        default:
            self.state = .tag(quote: 0)
        }
        return nil
    }

    private mutating func scanReference(_ bytes: Span<UInt8>) -> Token? {
        while self.cursor < bytes.count {
            if self.cursor - self.position >= self.tagLimit { return .refused(.stanzaTooLarge) }
            switch bytes[self.cursor] {
            case UInt8(ascii: ";"):
                return .text(self.finish(at: self.cursor + 1))
            case 0...0x20, UInt8(ascii: "<"), UInt8(ascii: "&"):
                return .refused(.notWellFormed)
            default:
                self.cursor += 1
            }
        }
        return nil
    }

    private mutating func scanTag(_ bytes: Span<UInt8>, _ openQuote: UInt8) -> Token? {
        var quote = openQuote
        var index = self.cursor
        let isLong = bytes.count - self.position > self.tagLimit
        let end = isLong ? self.position + self.tagLimit : bytes.count
        while index < end {
            if quote != 0 {
                // Most of a tag are values, and most of a value is plain.
                index = bytes.firstSpecial(inValueFrom: index, to: end, quote: quote)
                if index == end { break }
            }
            let byte = bytes[index]
            index += 1
            if byte == UInt8(ascii: ">"), quote == 0 {
                return self.finishTag(bytes, at: index)
            }
            if byte == quote {
                quote = 0
            } else if byte == UInt8(ascii: "<") {
                return .refused(.notWellFormed)
            } else if quote == 0, byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
                quote = byte
            } else if self.judges, Self.isNeverLegal(byte) {
                return .refused(.notWellFormed)
            }
        }
        self.cursor = index
        self.state = .tag(quote: quote)
        return index - self.position >= self.tagLimit ? .refused(.stanzaTooLarge) : nil
    }

    private mutating func finishTag(_ bytes: Span<UInt8>, at end: Int) -> Token {
        let isEndTag = bytes[self.position + 1] == UInt8(ascii: "/")
        let isEmptyTag = bytes[end - 2] == UInt8(ascii: "/")
        let range = self.finish(at: end)
        guard isEndTag else { return isEmptyTag ? .emptyTag(range) : .startTag(range) }
        // `</>` and `</a/>` are neither.
        return isEmptyTag ? .refused(.notWellFormed) : .endTag(range)
    }

    /// Whether a byte can be the first of a character.
    static func canBeginText(_ byte: UInt8) -> Bool {
        !self.isNeverLegal(byte) && !(0x80...0xBF).contains(byte)
    }

    /// Bytes that neither UTF-8 (RFC 3629 §4) nor XML 1.0 §2.2 knows.
    private static func isNeverLegal(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x09, 0x0A, 0x0D: false
        case 0..<0x20, 0xC0, 0xC1, 0xF5...0xFF: true
        default: false
        }
    }

    private static let cdataStart = Array("<![CDATA[".utf8)
    private static let declarationStart = Array("<?xml".utf8)

    /// `<!` and `<?`: a CDATA section, the XML declaration, or what RFC 6120 §11.1 forbids, told at the first byte
    /// that differs.
    private mutating func scanMarkup(_ bytes: Span<UInt8>) -> Token? {
        let isDeclaration = bytes[self.position + 1] == UInt8(ascii: "?")
        if isDeclaration, !self.allowsDeclaration { return .refused(.restrictedXML) }
        let expected = isDeclaration ? Self.declarationStart : Self.cdataStart
        while self.cursor < bytes.count {
            let offset = self.cursor - self.position
            guard offset < expected.count else {
                // `<?xml-stylesheet` is a processing instruction.
                guard Self.isWhiteSpace(bytes[self.cursor]) else { return .refused(.restrictedXML) }
                self.state = .declaration
                return nil
            }
            guard bytes[self.cursor] == expected[offset] else { return .refused(.restrictedXML) }
            self.cursor += 1
            if !isDeclaration, offset + 1 == expected.count {
                self.state = .cdata(brackets: 0)
                return nil
            }
        }
        return nil
    }

    /// Within a CDATA section, which is reported in pieces as text: no piece of it needs another.
    private mutating func scanCDATA(_ bytes: Span<UInt8>, _ open: Int) -> Token? {
        var brackets = open
        while self.cursor < bytes.count {
            let byte = bytes[self.cursor]
            self.cursor += 1
            if byte == UInt8(ascii: "]") {
                brackets = min(brackets + 1, 2)
            } else if byte == UInt8(ascii: ">"), brackets == 2 {
                return .text(self.finish(at: self.cursor))
            } else {
                brackets = 0
            }
        }
        let range = self.finish(at: self.cursor)
        self.state = .cdata(brackets: brackets)
        return .text(range)
    }

    private mutating func scanDeclaration(_ bytes: Span<UInt8>) -> Token? {
        while self.cursor < bytes.count {
            if self.cursor - self.position >= self.tagLimit { return .refused(.stanzaTooLarge) }
            let byte = bytes[self.cursor]
            self.cursor += 1
            if byte == UInt8(ascii: ">"), bytes[self.cursor - 2] == UInt8(ascii: "?") {
                return .declaration(self.finish(at: self.cursor))
            }
        }
        return nil
    }

    static func isWhiteSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }
}
