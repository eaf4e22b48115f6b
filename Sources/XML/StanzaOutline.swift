// SPDX-License-Identifier: Apache-2.0

/// Where the parts of one child of a stream's root are; offsets count from its first byte.
///
/// `child` is the first child element, `grandchild` the first child of that: what a `<j:route>` wraps, and its
/// payload.
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
    private(set) var child: Part?
    private(set) var grandchild: Range<Int>?
    private var isChildClosed = false

    /// Whether the stanza's end tag was seen.
    var isComplete: Bool { self.depth == 0 && self.stanza != nil }

    /// Notes a start tag.
    mutating func open(_ tag: Range<Int>) {
        self.note(tag)
        self.depth += 1
    }

    /// Notes an empty-element tag.
    mutating func openAndClose(_ tag: Range<Int>) {
        let hadChild = self.child != nil
        self.note(tag)
        if self.depth == 1, !hadChild { self.isChildClosed = true }
    }

    /// Notes an end tag.
    mutating func close(_ tag: Range<Int>) {
        self.depth -= 1
        switch self.depth {
        case 0:
            self.stanza?.contentEnd = tag.lowerBound
            self.stanza?.end = tag.upperBound
        case 1 where !self.isChildClosed:
            self.child?.contentEnd = tag.lowerBound
            self.child?.end = tag.upperBound
            self.isChildClosed = true
        default: break
        }
    }

    private mutating func note(_ tag: Range<Int>) {
        switch self.depth {
        case 0: self.stanza = Part(tag: tag)
        case 1 where self.child == nil:
            self.child = Part(tag: tag)
        case 2 where self.grandchild == nil && !self.isChildClosed:
            self.grandchild = tag
        default: break
        }
    }
}
