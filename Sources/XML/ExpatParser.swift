// SPDX-License-Identifier: Apache-2.0

import CExpat
import NIOCore

/// What expat reports, as pointers that are valid during the call only.
protocol ExpatHandler: AnyObject {
    /// An element starts. `name` and the names in `attributes` are as `ExpatName` reads them.
    func elementStarted(_ name: ExpatName, _ attributes: ExpatAttributes)
    func elementEnded()
    /// A declaration on the element that starts next; `prefix` is nil for the default namespace.
    func namespaceStarted(_ prefix: String?, _ uri: String)
    func namespaceEnded(_ prefix: String?)
    func text(_ text: String)
}

/// One expat parser, namespace-aware, for UTF-8 only and without DTD, comments and processing instructions.
///
/// Its owner feeds it whole tokens and bounds what it sees. Loop-confined, as its owner is.
@safe
final class ExpatParser {
    /// What XML declarations, namespaces and expat itself found wrong.
    enum Fault: Error {
        case notWellFormed
        case restricted
        case unsupportedEncoding
        case undeclaredPrefix
        /// The handler called `stop`.
        case stopped
    }

    /// Between the parts of a name; no document can hold this character (XML 1.0 §2.2).
    static let separator: UInt8 = 1

    private let parser: XML_Parser?
    private unowned let handler: any ExpatHandler
    private var fault: Fault?

    /// How many bytes the parser has seen. Expat keeps every name that it has met, so a parser is good for a
    /// bounded number of them.
    private(set) var fedBytes = 0

    /// Whether text is reported. Without a handler expat only checks it.
    init(handler: any ExpatHandler, reportsText: Bool) {
        self.handler = handler
        // The encoding is given here, so that no byte order mark and no declaration can choose another.
        unsafe self.parser = XML_ParserCreate_MM("UTF-8", nil, [XML_Char(Self.separator), 0])
        guard let parser = unsafe self.parser else { return }
        unsafe XML_SetUserData(parser, Unmanaged.passUnretained(self).toOpaque())
        unsafe XML_SetReturnNSTriplet(parser, 1)
        // Debian's expat defers the parsing of unfinished tokens; what is complete must be reported at once.
        _ = unsafe XML_SetReparseDeferralEnabled(parser, XML_Bool(0))
        unsafe XML_SetElementHandler(parser, elementStarted, elementEnded)
        unsafe XML_SetNamespaceDeclHandler(parser, namespaceStarted, namespaceEnded)
        unsafe XML_SetXmlDeclHandler(parser, declarationRead)
        unsafe XML_SetStartDoctypeDeclHandler(parser, doctypeStarted)
        unsafe XML_SetCommentHandler(parser, commentRead)
        unsafe XML_SetProcessingInstructionHandler(parser, instructionRead)
        if reportsText {
            unsafe XML_SetCharacterDataHandler(parser, textRead)
        }
    }

    deinit {
        if let parser = unsafe self.parser {
            unsafe XML_ParserFree(parser)
        }
    }

    /// Parses the readable bytes of a buffer.
    func feed(_ bytes: ByteBuffer, isLast: Bool = false) throws(Fault) {
        guard let parser = unsafe self.parser, let count = Int32(exactly: bytes.readableBytes) else {
            throw .notWellFormed
        }
        if let fault { throw fault }
        self.fedBytes += bytes.readableBytes
        let status = unsafe bytes.withUnsafeReadableBytes { pointer in
            unsafe XML_Parse(parser, pointer.baseAddress?.assumingMemoryBound(to: CChar.self), count, isLast ? 1 : 0)
        }
        guard status == XML_STATUS_ERROR else { return }
        let found = self.fault ?? Self.fault(of: unsafe XML_GetErrorCode(parser))
        self.fault = found
        throw found
    }

    /// Ends the parsing from within a handler.
    func stop(_ fault: Fault = .stopped) {
        self.fault = self.fault ?? fault
        if let parser = unsafe self.parser {
            _ = unsafe XML_StopParser(parser, XML_Bool(0))
        }
    }

    private static func fault(of code: XML_Error) -> Fault {
        switch code {
        case XML_ERROR_UNDEFINED_ENTITY, XML_ERROR_RECURSIVE_ENTITY_REF, XML_ERROR_ASYNC_ENTITY,
            XML_ERROR_BINARY_ENTITY_REF, XML_ERROR_ATTRIBUTE_EXTERNAL_ENTITY_REF, XML_ERROR_PARAM_ENTITY_REF:
            .restricted
        case XML_ERROR_UNBOUND_PREFIX: .undeclaredPrefix
        default: .notWellFormed
        }
    }

    // Called by expat, through the functions below.

    fileprivate func received(_ name: UnsafePointer<XML_Char>?, _ list: UnsafeMutablePointer<UnsafePointer<XML_Char>?>?)
    {
        guard self.fault == nil, let name = unsafe name else { return }
        unsafe self.handler.elementStarted(ExpatName(name), ExpatAttributes(list))
    }

    fileprivate func receivedEnd() {
        guard self.fault == nil else { return }
        self.handler.elementEnded()
    }

    fileprivate func receivedNamespace(_ prefix: UnsafePointer<XML_Char>?, _ uri: UnsafePointer<XML_Char>?) {
        guard self.fault == nil else { return }
        self.handler.namespaceStarted(
            unsafe prefix.map { unsafe String(cString: $0) },
            unsafe uri.map { unsafe String(cString: $0) } ?? ""
        )
    }

    fileprivate func receivedNamespaceEnd(_ prefix: UnsafePointer<XML_Char>?) {
        guard self.fault == nil else { return }
        self.handler.namespaceEnded(unsafe prefix.map { unsafe String(cString: $0) })
    }

    fileprivate func receivedText(_ text: UnsafePointer<XML_Char>?, _ count: Int32) {
        guard self.fault == nil, count > 0, let text = unsafe text else { return }
        let bytes = unsafe UnsafeRawBufferPointer(start: text, count: Int(count))
        self.handler.text(unsafe String(decoding: bytes, as: UTF8.self))
    }

    /// An XML declaration may name UTF-8 and nothing else (RFC 6120 §11.6).
    fileprivate func receivedDeclaration(encoding: UnsafePointer<XML_Char>?) {
        guard let encoding = unsafe encoding else { return }
        if unsafe String(cString: encoding).uppercased() != "UTF-8" {
            self.stop(.unsupportedEncoding)
        }
    }
}

private func parser(_ userData: UnsafeMutableRawPointer?) -> ExpatParser? {
    unsafe userData.map { unsafe Unmanaged<ExpatParser>.fromOpaque($0).takeUnretainedValue() }
}

private let elementStarted: XML_StartElementHandler = { unsafe parser($0)?.received($1, $2) }
private let elementEnded: XML_EndElementHandler = { userData, _ in unsafe parser(userData)?.receivedEnd() }
private let namespaceStarted: XML_StartNamespaceDeclHandler = { unsafe parser($0)?.receivedNamespace($1, $2) }
private let namespaceEnded: XML_EndNamespaceDeclHandler = { unsafe parser($0)?.receivedNamespaceEnd($1) }
private let textRead: XML_CharacterDataHandler = { unsafe parser($0)?.receivedText($1, $2) }
private let declarationRead: XML_XmlDeclHandler = { userData, _, encoding, _ in
    unsafe parser(userData)?.receivedDeclaration(encoding: encoding)
}
private let doctypeStarted: XML_StartDoctypeDeclHandler = { userData, _, _, _, _ in
    unsafe parser(userData)?.stop(.restricted)
}
private let commentRead: XML_CommentHandler = { userData, _ in unsafe parser(userData)?.stop(.restricted) }
private let instructionRead: XML_ProcessingInstructionHandler = { userData, _, _ in
    unsafe parser(userData)?.stop(.restricted)
}
