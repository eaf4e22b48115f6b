// SPDX-License-Identifier: Apache-2.0

import CYAML

/// Reads a YAML document by libyaml's events into nodes that keep their places.
///
/// Aliases, anchors and tags are refused (no key needs them, and a cycle of aliases has no end), so is more than
/// one document; depth is bounded here and size by the caller. Never traps, whatever the bytes.
@safe
final class YAMLParser {
    static let maximumDepth = 32

    // Both live as long as this object and are touched by it alone: hence `@safe`.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let input: UnsafeMutableBufferPointer<UInt8>

    /// Parses the whole input; nil: it has no document, or an empty one.
    static func parse(_ bytes: [UInt8]) throws(YAMLError) -> YAMLNode? {
        guard let parser = YAMLParser(bytes) else {
            throw YAMLError(mark: .start, text: "out of memory")
        }
        return try parser.document()
    }

    private init?(_ bytes: [UInt8]) {
        unsafe input = .allocate(capacity: bytes.count)
        _ = unsafe input.initialize(from: bytes)
        unsafe parser = .allocate(capacity: 1)
        unsafe parser.initialize(to: yaml_parser_t())
        guard unsafe yaml_parser_initialize(parser) == 1 else {
            unsafe parser.deallocate()
            unsafe input.deallocate()
            return nil
        }
        unsafe yaml_parser_set_input_string(parser, input.baseAddress, input.count)
        unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
    }

    deinit {
        unsafe yaml_parser_delete(parser)
        unsafe parser.deallocate()
        unsafe input.deallocate()
    }

    /// What we need of one event.
    private enum Event {
        case documentStart
        case documentEnd
        case streamEnd
        case scalar(String, isPlain: Bool)
        case sequenceStart
        case sequenceEnd
        case mappingStart
        case mappingEnd
        case other
    }

    private func document() throws(YAMLError) -> YAMLNode? {
        var root: YAMLNode?
        var documents = 0
        while true {
            let (event, mark) = try next()
            switch event {
            case .streamEnd:
                return root
            case .documentStart:
                documents += 1
                guard documents == 1 else { throw YAMLError(mark: mark, text: "a second document; only one is read") }
                let (content, contentMark) = try next()
                root = try node(content, contentMark, depth: 0)
            case .documentEnd, .scalar, .sequenceStart, .sequenceEnd, .mappingStart, .mappingEnd, .other:
                continue
            }
        }
    }

    private func node(_ event: Event, _ mark: Mark, depth: Int) throws(YAMLError) -> YAMLNode {
        guard depth < Self.maximumDepth else {
            throw YAMLError(mark: mark, text: "nested deeper than \(Self.maximumDepth) levels")
        }
        switch event {
        case .scalar(let text, let isPlain):
            return YAMLNode(content: .scalar(text, isPlain: isPlain), mark: mark)
        case .sequenceStart:
            return YAMLNode(content: .sequence(try elements(depth: depth)), mark: mark)
        case .mappingStart:
            return YAMLNode(content: .mapping(try entries(depth: depth)), mark: mark)
        case .documentStart, .documentEnd, .streamEnd, .sequenceEnd, .mappingEnd, .other:
            throw YAMLError(mark: mark, text: "unexpected YAML structure")
        }
    }

    private func elements(depth: Int) throws(YAMLError) -> [YAMLNode] {
        var elements: [YAMLNode] = []
        while true {
            let (event, mark) = try next()
            if case .sequenceEnd = event { return elements }
            elements.append(try node(event, mark, depth: depth + 1))
        }
    }

    private func entries(depth: Int) throws(YAMLError) -> [YAMLNode.Entry] {
        var entries: [YAMLNode.Entry] = []
        var keys: Set<String> = []
        while true {
            let (event, mark) = try next()
            if case .mappingEnd = event { return entries }
            guard case .scalar(let key, _) = event else {
                throw YAMLError(mark: mark, text: "a key must be a plain word")
            }
            guard keys.insert(key).inserted else {
                throw YAMLError(mark: mark, text: "the key '\(key)' is there twice")
            }
            let (value, valueMark) = try next()
            let node = try node(value, valueMark, depth: depth + 1)
            entries.append(YAMLNode.Entry(key: key, keyMark: mark, value: node))
        }
    }

    private func next() throws(YAMLError) -> (Event, Mark) {
        var event = unsafe yaml_event_t()
        guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw unsafe problem(parser.pointee) }
        defer { unsafe yaml_event_delete(&event) }
        let mark = unsafe Self.mark(event.start_mark)
        switch unsafe event.type {
        case YAML_STREAM_END_EVENT, YAML_NO_EVENT: return (.streamEnd, mark)
        case YAML_DOCUMENT_START_EVENT: return (.documentStart, mark)
        case YAML_DOCUMENT_END_EVENT: return (.documentEnd, mark)
        case YAML_SEQUENCE_END_EVENT: return (.sequenceEnd, mark)
        case YAML_MAPPING_END_EVENT: return (.mappingEnd, mark)
        case YAML_ALIAS_EVENT:
            throw YAMLError(
                mark: mark,
                text: "aliases (*name) are not read here; a text that starts with * needs quotes"
            )
        case YAML_SEQUENCE_START_EVENT:
            let start = unsafe event.data.sequence_start
            try unsafe refuse(anchor: start.anchor, tag: start.tag, mark)
            return (.sequenceStart, mark)
        case YAML_MAPPING_START_EVENT:
            let start = unsafe event.data.mapping_start
            try unsafe refuse(anchor: start.anchor, tag: start.tag, mark)
            return (.mappingStart, mark)
        case YAML_SCALAR_EVENT:
            let scalar = unsafe event.data.scalar
            try unsafe refuse(anchor: scalar.anchor, tag: scalar.tag, mark)
            let bytes = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            let text = unsafe String(decoding: bytes, as: UTF8.self)
            return unsafe (.scalar(text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE), mark)
        default: return (.other, mark)
        }
    }

    private func refuse(
        anchor: UnsafeMutablePointer<UInt8>?,
        tag: UnsafeMutablePointer<UInt8>?,
        _ mark: Mark
    ) throws(YAMLError) {
        if unsafe anchor != nil {
            throw YAMLError(
                mark: mark,
                text: "anchors (&name) are not read here; a text that starts with & needs quotes"
            )
        }
        if unsafe tag != nil {
            throw YAMLError(mark: mark, text: "tags (!name) are not read here; a text that starts with ! needs quotes")
        }
    }

    private func problem(_ parser: yaml_parser_t) -> YAMLError {
        let reason = if let problem = unsafe parser.problem { unsafe String(cString: problem) } else { "not YAML" }
        let isReader = unsafe parser.error == YAML_READER_ERROR
        let mark = isReader ? unsafe Self.mark(parser.mark) : unsafe Self.mark(parser.problem_mark)
        return YAMLError(mark: mark, text: reason)
    }

    private static func mark(_ mark: yaml_mark_t) -> Mark {
        Mark(line: Int(clamping: mark.line) &+ 1, column: Int(clamping: mark.column) &+ 1)
    }
}
