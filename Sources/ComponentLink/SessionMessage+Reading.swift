// SPDX-License-Identifier: Apache-2.0

import NIOCore
package import XML
package import XMPPCore

extension SessionMessage {
    /// Reads a `<j:route>`; the stanza in it stays bytes. Nil if it is about administration (`AdminMessage`).
    ///
    /// - Parameters:
    ///   - route: the wrapper.
    ///   - jids: remembers addresses between stanzas.
    /// - Throws: `LinkFault`, which names what cannot be read.
    package init?(_ route: RouteFrame, jids: JIDCache? = nil) throws(LinkFault) {
        let session = route.session
        if !session.isEmpty, let stanza = Stanza(wrapped: route.content, jids: jids) {
            self.init(session: session, attach: route.attach, Self.content(stanza, route))
            return
        }
        guard let inner = route.inner() else { throw .noPayload }
        switch inner.namespace {
        case Namespace.component:
            guard !session.isEmpty else { throw .missingAttribute("s") }
            do throws(StanzaFault) {
                self.init(session: session, attach: route.attach, Self.content(try Stanza(route: inner), route))
            } catch {
                throw .badContent("\(error)")
            }
        case Namespace.clientSession:
            let content = try Content(control: inner)
            switch content {
            case .register, .registered, .features: break
            case .handover(let handover) where !handover.hasSession: break
            default: if session.isEmpty { throw .missingAttribute("s") }
            }
            self.init(session: session, attach: route.attach, content)
        case Namespace.administration: return nil
        default: throw .unknownElement(inner.namespace)
        }
    }

    private static func content(_ stanza: Stanza, _ route: RouteFrame) -> Content {
        let fault = route.fault.map { StanzaError.Condition(rawValue: $0) ?? .undefinedCondition }
        return .stanza(stanza, number: route.number, fault: fault)
    }
}

extension SessionMessage.Content {
    /// Reads a control element.
    fileprivate init(control tag: StreamElementTag) throws(LinkFault) {
        let attributes = LinkAttributes(tag.attributes)
        switch tag.name {
        case "open": self = .open(try SessionMessage.Open(attributes))
        case "enable":
            self = .enable(
                resume: attributes["resume"] == "true",
                max: try attributes.number("max"),
                number: try attributes.requiredNumber("n")
            )
        case "resume": self = .resume(try SessionMessage.Resume(attributes))
        case "acknowledged": self = .acknowledged(h: try attributes.requiredNumber("h"))
        case "detached": self = .detached
        case "close": self = .close
        case "register":
            self = .register(
                SessionMessage.Register(
                    request: try attributes.required("request"),
                    domain: try attributes.required("domain"),
                    address: try attributes.required("address"),
                    iq: try Self.iq(in: tag)
                )
            )
        case "opened": self = .opened(try attributes.requiredJID("jid"))
        case "refused": self = .refused(try Self.stanzaError(in: tag))
        case "enabled": self = .enabled(token: attributes["token"], max: try attributes.number("max"))
        case "resumed": self = .resumed(try SessionMessage.Resumed(attributes))
        case "resume-failed": self = .resumeFailed(h: try attributes.number("h"))
        case "settled": self = .settled(number: try attributes.requiredNumber("n"))
        case "end": self = .end(try SessionMessage.End(tag))
        case "features": self = .features(domain: try attributes.required("domain"), tag.content)
        case "registered":
            self = .registered(request: try attributes.required("request"), iq: try Self.iq(in: tag))
        default:
            guard let handover = try SessionMessage.Handover(tag) else { throw .unknownElement(tag.name) }
            self = .handover(handover)
        }
    }

    /// The IQ inside `<register/>` and `<registered/>`, which is in `jabber:client` there.
    private static func iq(in tag: StreamElementTag) throws(LinkFault) -> Stanza {
        guard
            let element = try tag.firstChild(),
            let stanza = try? Stanza(element)
        else { throw .badContent(tag.name) }
        return stanza
    }

    private static func stanzaError(in tag: StreamElementTag) throws(LinkFault) -> StanzaError {
        guard let element = try tag.firstChild(), let error = StanzaError(element) else {
            throw .badContent(tag.name)
        }
        return error
    }
}

extension SessionMessage.Open {
    fileprivate init(_ attributes: LinkAttributes) throws(LinkFault) {
        self.init(
            user: try attributes.requiredJID("user").bare,
            resource: attributes["resource"],
            address: try attributes.required("address"),
            tls: try attributes.required("tls"),
            mechanism: try attributes.required("mechanism")
        )
    }
}

extension SessionMessage.Resume {
    fileprivate init(_ attributes: LinkAttributes) throws(LinkFault) {
        self.init(
            user: try attributes.requiredJID("user").bare,
            token: try attributes.required("token"),
            h: try attributes.requiredNumber("h"),
            address: try attributes.required("address"),
            tls: try attributes.required("tls")
        )
    }
}

extension SessionMessage.Resumed {
    fileprivate init(_ attributes: LinkAttributes) throws(LinkFault) {
        self.init(
            session: try attributes.required("session"),
            attach: try attributes.requiredNumber("attach"),
            jid: try attributes.requiredJID("jid"),
            h: try attributes.requiredNumber("h"),
            next: try attributes.requiredNumber("next"),
            sent: try attributes.requiredNumber("sent"),
            lately: (attributes["lately"] ?? "").split(separator: " ").map(String.init)
        )
    }
}

extension SessionMessage.End {
    fileprivate init(_ tag: StreamElementTag) throws(LinkFault) {
        let attributes = LinkAttributes(tag.attributes)
        let text = try tag.text()
        let condition = attributes["condition"].map { StreamError.Condition(rawValue: $0) ?? .undefinedCondition }
        self.init(condition: condition, text: text.isEmpty ? nil : text)
    }
}

extension LinkAttributes {
    func requiredJID(_ name: String) throws(LinkFault) -> JID {
        do {
            return try JID(try self.required(name))
        } catch let fault as LinkFault {
            throw fault
        } catch {
            throw .badAttribute(name)
        }
    }
}

extension StreamElementTag {
    /// The children, parsed; a prefix `j` in them is that of the link.
    func children() throws(LinkFault) -> [Element.Node] {
        do {
            return try Element.parseFragment(self.content, namespace: self.namespace)
        } catch {
            throw .badContent(self.name)
        }
    }

    func firstChild() throws(LinkFault) -> Element? {
        for case .element(let element) in try self.children() { return element }
        return nil
    }

    func text() throws(LinkFault) -> String {
        guard self.content.readableBytes > 0 else { return "" }
        var text = ""
        for case .text(let part) in try self.children() { text += part }
        return text
    }
}
