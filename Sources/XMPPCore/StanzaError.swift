// SPDX-License-Identifier: Apache-2.0

package import XML

/// A stanza error (RFC 6120 §8.3).
package struct StanzaError: Error, Sendable, Equatable {
    /// What the sender may do about it (RFC 6120 §8.3.2).
    package enum Kind: String, Sendable, CaseIterable {
        case auth
        case cancel
        case `continue`
        case modify
        case wait
    }

    /// The defined conditions (RFC 6120 §8.3.3).
    package enum Condition: String, Sendable, CaseIterable {
        case badRequest = "bad-request"
        case conflict
        case featureNotImplemented = "feature-not-implemented"
        case forbidden
        case gone
        case internalServerError = "internal-server-error"
        case itemNotFound = "item-not-found"
        case jidMalformed = "jid-malformed"
        case notAcceptable = "not-acceptable"
        case notAllowed = "not-allowed"
        case notAuthorized = "not-authorized"
        case policyViolation = "policy-violation"
        case recipientUnavailable = "recipient-unavailable"
        case redirect
        case registrationRequired = "registration-required"
        case remoteServerNotFound = "remote-server-not-found"
        case remoteServerTimeout = "remote-server-timeout"
        case resourceConstraint = "resource-constraint"
        case serviceUnavailable = "service-unavailable"
        case subscriptionRequired = "subscription-required"
        case undefinedCondition = "undefined-condition"
        case unexpectedRequest = "unexpected-request"

        /// The type that RFC 6120 §8.3.3 gives (SHOULD) for the condition.
        package var defaultKind: Kind {
            switch self {
            case .forbidden, .notAuthorized, .registrationRequired, .subscriptionRequired: .auth
            case .conflict, .featureNotImplemented, .gone, .internalServerError, .itemNotFound, .notAllowed,
                .remoteServerNotFound, .serviceUnavailable, .undefinedCondition:
                .cancel
            case .badRequest, .jidMalformed, .notAcceptable, .policyViolation, .redirect: .modify
            case .recipientUnavailable, .remoteServerTimeout, .resourceConstraint, .unexpectedRequest: .wait
            }
        }
    }

    package var type: Kind
    package var condition: Condition

    /// The address that `<gone/>` and `<redirect/>` may hold.
    package var alternative: String?

    /// Words for a person, in English.
    package var text: String?

    /// The application-specific condition.
    package var application: Element?

    package init(
        _ condition: Condition,
        type: Kind? = nil,
        text: String? = nil,
        alternative: String? = nil,
        application: Element? = nil
    ) {
        self.type = type ?? condition.defaultKind
        self.condition = condition
        self.alternative = alternative
        self.text = text
        self.application = application
    }

    package static let badRequest = StanzaError(.badRequest)
    package static let conflict = StanzaError(.conflict)
    package static let featureNotImplemented = StanzaError(.featureNotImplemented)
    package static let forbidden = StanzaError(.forbidden)
    package static let gone = StanzaError(.gone)
    package static let internalServerError = StanzaError(.internalServerError)
    package static let itemNotFound = StanzaError(.itemNotFound)
    package static let jidMalformed = StanzaError(.jidMalformed)
    package static let notAcceptable = StanzaError(.notAcceptable)
    package static let notAllowed = StanzaError(.notAllowed)
    package static let notAuthorized = StanzaError(.notAuthorized)
    package static let policyViolation = StanzaError(.policyViolation)
    package static let recipientUnavailable = StanzaError(.recipientUnavailable)
    package static let registrationRequired = StanzaError(.registrationRequired)
    package static let remoteServerNotFound = StanzaError(.remoteServerNotFound)
    package static let remoteServerTimeout = StanzaError(.remoteServerTimeout)
    package static let resourceConstraint = StanzaError(.resourceConstraint)
    package static let serviceUnavailable = StanzaError(.serviceUnavailable)
    package static let subscriptionRequired = StanzaError(.subscriptionRequired)
    package static let undefinedCondition = StanzaError(.undefinedCondition)
    package static let unexpectedRequest = StanzaError(.unexpectedRequest)
}

extension StanzaError {
    /// The `<error/>` element, in the namespace `jabber:client`.
    package func element() -> Element {
        var error = Element("error", Namespace.client, attributes: ["type": type.rawValue])
        error.append(Element(condition.rawValue, Namespace.stanzaErrors, text: alternative ?? ""))
        if let text {
            error.append(Element("text", Namespace.stanzaErrors, attributes: ["xml:lang": "en"], text: text))
        }
        if let application {
            error.append(application)
        }
        return error
    }

    /// Reads an `<error/>` element of any content namespace. Unknown conditions become `undefined-condition`, as
    /// RFC 6120 §8.3.2 asks.
    package init?(_ element: Element) {
        guard element.name == "error", Namespace.isContent(element.namespace) else { return nil }
        var condition: Condition?
        var alternative: String?
        var text: String?
        var application: Element?
        for child in element.childElements {
            if child.namespace != Namespace.stanzaErrors {
                application = application ?? child
            } else if child.name == "text" {
                text = text ?? child.text
            } else if condition == nil {
                condition = Condition(rawValue: child.name) ?? .undefinedCondition
                alternative = child.text.isEmpty ? nil : child.text
            }
        }
        self.init(
            condition ?? .undefinedCondition,
            type: element["type"].flatMap(Kind.init(rawValue:)),
            text: text,
            alternative: alternative,
            application: application
        )
    }
}
