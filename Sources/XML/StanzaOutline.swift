// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Where the parts of an element are; offsets count from the first byte that was scanned.
struct StanzaOutline {
    /// An element: its start tag, and where its end tag starts and ends.
    struct Part {
        var tag: Range<Int>
        var contentEnd: Int
        var end: Int

        var content: Range<Int> { self.tag.upperBound..<max(self.contentEnd, self.tag.upperBound) }

        init(tag: Range<Int>) {
            self.tag = tag
            self.contentEnd = tag.upperBound
            self.end = tag.upperBound
        }
    }

    /// How many elements are open, the stanza itself included.
    private(set) var depth = 0
    private(set) var stanza: Part?

    /// Whether the stanza's end tag was seen.
    var isComplete: Bool { self.depth == 0 && self.stanza != nil }

    /// Notes a start tag.
    mutating func open(_ tag: Range<Int>) {
        if self.depth == 0 { self.stanza = Part(tag: tag) }
        self.depth += 1
    }

    /// Notes an empty-element tag.
    mutating func openAndClose(_ tag: Range<Int>) {
        if self.depth == 0 { self.stanza = Part(tag: tag) }
    }

    /// Notes an end tag.
    mutating func close(_ tag: Range<Int>) {
        self.depth -= 1
        guard self.depth == 0 else { return }
        self.stanza?.contentEnd = tag.lowerBound
        self.stanza?.end = tag.upperBound
    }

    /// The first element in bytes that have passed an edge; nil if there is none, or it does not end.
    static func firstElement(in bytes: ByteBuffer) -> Part? {
        var outline = StanzaOutline()
        var scanner = MarkupScanner(judges: false)
        while !outline.isComplete {
            switch scanner.next(bytes.readableBytesUInt8Span) {
            case .startTag(let tag): outline.open(tag)
            case .emptyTag(let tag): outline.openAndClose(tag)
            case .endTag(let tag):
                guard outline.depth > 0 else { return nil }
                outline.close(tag)
            case .text: break
            case .declaration, .incomplete, .refused: return nil
            }
        }
        return outline.stanza
    }
}
