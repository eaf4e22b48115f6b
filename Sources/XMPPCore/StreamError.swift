// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import XML

/// A stream error (RFC 6120 §4.9). It ends the stream.
package struct StreamError: Error, Sendable, Equatable {
    /// The defined conditions (RFC 6120 §4.9.3).
    package enum Condition: String, Sendable, CaseIterable {
        case badFormat = "bad-format"
        case badNamespacePrefix = "bad-namespace-prefix"
        case conflict
        case connectionTimeout = "connection-timeout"
        case hostGone = "host-gone"
        case hostUnknown = "host-unknown"
        case improperAddressing = "improper-addressing"
        case internalServerError = "internal-server-error"
        case invalidFrom = "invalid-from"
        case invalidNamespace = "invalid-namespace"
        case invalidXML = "invalid-xml"
        case notAuthorized = "not-authorized"
        case notWellFormed = "not-well-formed"
        case policyViolation = "policy-violation"
        case remoteConnectionFailed = "remote-connection-failed"
        case reset
        case resourceConstraint = "resource-constraint"
        case restrictedXML = "restricted-xml"
        case seeOtherHost = "see-other-host"
        case systemShutdown = "system-shutdown"
        case undefinedCondition = "undefined-condition"
        case unsupportedEncoding = "unsupported-encoding"
        case unsupportedFeature = "unsupported-feature"
        case unsupportedStanzaType = "unsupported-stanza-type"
        case unsupportedVersion = "unsupported-version"
    }

    package var condition: Condition

    /// Where to go instead, in `<see-other-host/>` only.
    package var alternative: String?

    /// Words for a person, in English.
    package var text: String?

    /// The application-specific condition.
    package var application: Element?

    package init(
        _ condition: Condition,
        text: String? = nil,
        alternative: String? = nil,
        application: Element? = nil
    ) {
        self.condition = condition
        self.alternative = alternative
        self.text = text
        self.application = application
    }

    /// The error that answers what a reader refused.
    package init(_ failure: StreamReader.Failure) {
        self.init(condition: Self.condition(of: failure))
        switch failure {
        case .stanzaTooLarge:
            self.text = "stanza too large"
            self.application = Element("stanza-too-big", Namespace.applicationErrors)
        case .tooDeep: self.text = "too many levels of elements"
        case .tooManyAttributes: self.text = "too many attributes"
        case .textOutsideStanza: self.text = "text between stanzas"
        default: break
        }
    }

    private init(condition: Condition) {
        self.condition = condition
    }

    private static func condition(of failure: StreamReader.Failure) -> Condition {
        switch failure {
        case .notWellFormed: .notWellFormed
        case .restrictedXML: .restrictedXML
        case .unsupportedEncoding: .unsupportedEncoding
        case .invalidNamespace: .invalidNamespace
        case .badNamespacePrefix: .badNamespacePrefix
        case .badFormat, .textOutsideStanza: .badFormat
        case .stanzaTooLarge, .tooDeep, .tooManyAttributes: .policyViolation
        }
    }
}

extension StreamError {
    /// The `<error/>` element of the streams namespace.
    package func element() -> Element {
        var error = Element("error", Namespace.streams)
        error.append(Element(condition.rawValue, Namespace.streamErrors, text: alternative ?? ""))
        if let text {
            error.append(Element("text", Namespace.streamErrors, attributes: ["xml:lang": "en"], text: text))
        }
        if let application {
            error.append(application)
        }
        return error
    }

    /// Writes `<stream:error>`; the prefix is that of the stream's root.
    package func write(to buffer: inout ByteBuffer) {
        buffer.writeStaticString("<stream:error>")
        for child in self.element().childElements {
            child.write(to: &buffer, inheriting: Namespace.client)
        }
        buffer.writeStaticString("</stream:error>")
    }

    /// Reads an `<error/>` element. An unknown condition becomes `undefined-condition` (RFC 6120 §4.9.2).
    package init?(_ element: Element) {
        guard element.name == "error", element.namespace == Namespace.streams else { return nil }
        var condition: Condition?
        var alternative: String?
        var text: String?
        var application: Element?
        for child in element.childElements {
            if child.namespace != Namespace.streamErrors {
                application = application ?? child
            } else if child.name == "text" {
                text = text ?? child.text
            } else if condition == nil {
                condition = Condition(rawValue: child.name) ?? .undefinedCondition
                alternative = child.text.isEmpty ? nil : child.text
            }
        }
        self.init(condition ?? .undefinedCondition, text: text, alternative: alternative, application: application)
    }
}
