// SPDX-License-Identifier: Apache-2.0

package import NIOCore
import XML
import XMPPCore

extension SessionMessage: WrapperContent {
    /// Appends the session, and the number of a stanza in it.
    package func writeAttributes(to buffer: inout ByteBuffer) {
        if !self.session.isEmpty {
            buffer.writeLinkAttribute("s", self.session)
            buffer.writeLinkAttribute("a", self.attach)
        }
        if case .stanza(_, let number, let fault) = self.content {
            if let number { buffer.writeLinkAttribute("n", number) }
            buffer.writeLinkAttribute("fault", fault?.rawValue)
        }
    }

    /// Appends the stanza or the control element.
    package func writeContent(to buffer: inout ByteBuffer) {
        if case .stanza(let stanza, _, _) = self.content {
            stanza.write(to: &buffer)
        } else {
            self.content.writeControl(to: &buffer)
        }
    }
}

extension SessionMessage.Content {
    /// Appends the control element.
    fileprivate func writeControl(to buffer: inout ByteBuffer) {
        switch self {
        case .stanza(let stanza, _, _):
            stanza.write(to: &buffer)
        case .open(let open):
            Self.element("open", to: &buffer) {
                $0.writeLinkAttribute("user", open.user.description)
                $0.writeLinkAttribute("resource", open.resource)
                $0.writeLinkAttribute("address", open.address)
                $0.writeLinkAttribute("tls", open.tls)
                $0.writeLinkAttribute("mechanism", open.mechanism)
            }
        case .enable(let resume, let max, let number):
            Self.element("enable", to: &buffer) {
                if resume { $0.writeLinkAttribute("resume", "true") }
                if let max { $0.writeLinkAttribute("max", max) }
                $0.writeLinkAttribute("n", number)
            }
        case .resume(let resume):
            Self.element("resume", to: &buffer) {
                $0.writeLinkAttribute("user", resume.user.description)
                $0.writeLinkAttribute("token", resume.token)
                $0.writeLinkAttribute("h", resume.h)
                $0.writeLinkAttribute("address", resume.address)
                $0.writeLinkAttribute("tls", resume.tls)
            }
        case .acknowledged(let h):
            Self.element("acknowledged", to: &buffer) { $0.writeLinkAttribute("h", h) }
        case .detached:
            Self.element("detached", to: &buffer) { _ in }
        case .close:
            Self.element("close", to: &buffer) { _ in }
        case .register(let register):
            Self.writeRegister(register, to: &buffer)
        case .opened, .refused, .enabled, .resumed, .resumeFailed, .settled, .end, .features, .registered:
            self.writeAnswer(to: &buffer)
        case .handover(let handover):
            handover.write(to: &buffer)
        }
    }

    /// Appends what SM says.
    private func writeAnswer(to buffer: inout ByteBuffer) {
        switch self {
        case .opened(let jid):
            Self.element("opened", to: &buffer) { $0.writeLinkAttribute("jid", jid.description) }
        case .refused(let error):
            buffer.writeStaticString("<refused xmlns='urn:jackdaw:session:0'>")
            error.element().write(to: &buffer, inheriting: Namespace.clientSession)
            buffer.writeStaticString("</refused>")
        case .enabled(let token, let max):
            Self.element("enabled", to: &buffer) {
                $0.writeLinkAttribute("token", token)
                if let max { $0.writeLinkAttribute("max", max) }
            }
        case .resumed(let resumed):
            Self.element("resumed", to: &buffer) {
                $0.writeLinkAttribute("session", resumed.session)
                $0.writeLinkAttribute("attach", resumed.attach)
                $0.writeLinkAttribute("jid", resumed.jid.description)
                $0.writeLinkAttribute("h", resumed.h)
                $0.writeLinkAttribute("next", resumed.next)
                $0.writeLinkAttribute("sent", resumed.sent)
                if !resumed.lately.isEmpty {
                    $0.writeLinkAttribute("lately", resumed.lately.joined(separator: " "))
                }
            }
        case .resumeFailed(let h):
            Self.element("resume-failed", to: &buffer) {
                if let h { $0.writeLinkAttribute("h", h) }
            }
        case .settled(let number):
            Self.element("settled", to: &buffer) { $0.writeLinkAttribute("n", number) }
        case .end(let end):
            Self.writeEnd(end, to: &buffer)
        case .features(let domain, let bytes):
            buffer.writeStaticString("<features xmlns='urn:jackdaw:session:0'")
            buffer.writeLinkAttribute("domain", domain)
            buffer.writeStaticString(">")
            buffer.writeImmutableBuffer(bytes)
            buffer.writeStaticString("</features>")
        case .registered(let request, let iq):
            buffer.writeStaticString("<registered xmlns='urn:jackdaw:session:0'")
            buffer.writeLinkAttribute("request", request)
            Self.writeInner(iq, closing: "</registered>", to: &buffer)
        case .stanza, .open, .enable, .resume, .acknowledged, .detached, .close, .register, .handover:
            break
        }
    }

    private static func element(
        _ name: StaticString,
        to buffer: inout ByteBuffer,
        attributes: (inout ByteBuffer) -> Void
    ) {
        buffer.writeStaticString("<")
        buffer.writeStaticString(name)
        buffer.writeStaticString(" xmlns='urn:jackdaw:session:0'")
        attributes(&buffer)
        buffer.writeStaticString("/>")
    }

    private static func writeEnd(_ end: SessionMessage.End, to buffer: inout ByteBuffer) {
        buffer.writeStaticString("<end xmlns='urn:jackdaw:session:0'")
        buffer.writeLinkAttribute("condition", end.condition?.rawValue)
        buffer.writeStaticString(">")
        buffer.writeLinkText(end.text ?? "")
        buffer.writeStaticString("</end>")
    }

    private static func writeRegister(_ register: SessionMessage.Register, to buffer: inout ByteBuffer) {
        buffer.writeStaticString("<register xmlns='urn:jackdaw:session:0'")
        buffer.writeLinkAttribute("request", register.request)
        buffer.writeLinkAttribute("domain", register.domain)
        buffer.writeLinkAttribute("address", register.address)
        Self.writeInner(register.iq, closing: "</register>", to: &buffer)
    }

    /// Ends the open start tag, appends the stanza with its namespace put back, and the end tag.
    private static func writeInner(_ iq: Stanza, closing: StaticString, to buffer: inout ByteBuffer) {
        buffer.writeStaticString(">")
        var inner = ByteBuffer()
        iq.write(to: &inner)
        // A stanza inherits the content namespace of what it is written to; here another is in force, so it is named
        // (`jabber:client` is its name in trees, and this one is read as a tree).
        if inner.readString(length: 3) == "<iq" {
            buffer.writeStaticString("<iq xmlns='jabber:client'")
            buffer.writeBuffer(&inner)
        }
        buffer.writeStaticString(closing)
    }
}
