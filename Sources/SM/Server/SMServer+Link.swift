// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Logging
import XMPPCore

/// What the link says (`docs/protocols.md` sections 1 and 2).
extension SMServer {
    /// An instance or component is bound, or changed.
    func instanceAvailable(_ instance: LinkInstance) {
        let known = instances.updateValue(instance, forKey: instance.name)
        if let known, known.epoch != instance.epoch {
            forget(instance.name)
        }
        switch instance.kind {
        case .internal:
            sendFeatures(of: hosted, to: instance.name)
            if instance.name.isFederation { federationChanged() }
            if instance.name.hearsMap { tellMap(to: instance.name) }
            sendForwarded()
        case .external: for module in chain.modules { module.component(instance.name, isAvailable: true) }
        }
    }

    /// It is gone, or has been away for so long that it counts as gone: a short absence is not told.
    func instanceUnavailable(_ instance: LinkInstance) {
        guard instances.removeValue(forKey: instance.name) != nil else { return }
        switch instance.kind {
        case .internal:
            forget(instance.name)
        case .external: for module in chain.modules { module.component(instance.name, isAvailable: false) }
        }
    }

    /// A C2S, or another SM, is gone, and with it all that it was asked and that it had.
    private func forget(_ name: String) {
        arrivalsLost(from: name)
        // What an SM that has left said of its sessions stands.
        if name.isEdge {
            gates[name] = nil
            gated.removeAll { $0.instance == name }
            waitingResumptions.removeAll { $0.instance == name }
        }
        reportInDoubt(forwarded.lost(name, sendsDoubtfulAgain: configuration.s2s.inDoubt == .resend))
        if name.isFederation { federationChanged() }
        detachSessions(at: name)
        resetFlow(of: name)
    }

    /// A wrapper about a session.
    func received(_ message: SessionMessage, from instance: String) {
        guard !isGated(message, from: instance) else { return }
        switch message.content {
        case .handover(let handover): received(handover, message, from: instance)
        case .open(let open):
            guard owns(open.user) else { return keepForNextMap(message, from: instance) }
            hold(for: open.user) { $0.open(open, name: message.session, at: instance) }
        case .resume(let resume):
            guard owns(resume.user) else { return keepForNextMap(message, from: instance) }
            hold(for: resume.user) { $0.resumeWhenArrived(resume, message, at: instance) }
        case .register(let register): self.register(register, at: instance)
        case .close, .detached:
            if opening[message.session] == instance { opening[message.session] = nil }
            fallthrough
        default:
            guard !holds(message, from: instance) else { return }
            guard let session = sessions[message.session], session.attach == message.attach, session.isAttached,
                session.instance == instance
            else { return receivedAstray(message, from: instance) }
            resumptionIsHeard(of: session)
            received(message.content, in: session)
            switch message.content {
            case .detached, .close: confirmEnd(of: message, at: instance)
            default: break
            }
        }
    }

    /// The end of a session's connection is taken. The C2S keeps the session until a successor of ours would know of it.
    private func confirmEnd(of message: SessionMessage, at instance: String) {
        let answer = SessionMessage(session: message.session, attach: message.attach, .handover(.taken))
        guard let records, let session = sessions[message.session] else {
            link.send(answer, to: instance)
            return
        }
        records.whenWritten(session.name, of: session.user.jid) { [weak self] in
            self?.link.send(answer, to: instance)
        }
    }

    /// What a C2S says of a session that is not there, or is another connection's: it is told so.
    private func receivedAstray(_ message: SessionMessage, from instance: String) {
        let session = sessions[message.session]
        switch message.content {
        case .stanza, .acknowledged, .enable: break
        case .detached, .close:
            // It was taken for gone already, and waits; the C2S says it again.
            if let session, session.attach == message.attach, !session.isAttached, !session.isRecalled {
                if case .close = message.content { end(session, .closed) }
                return confirmEnd(of: message, at: instance)
            }
        default: return
        }
        let answer: SessionMessage.Content
        if let session, session.attach > message.attach {
            answer = .end(SessionMessage.End(condition: .conflict, text: "the session was resumed elsewhere"))
        } else {
            answer = .handover(.unknown)
        }
        link.send(SessionMessage(session: message.session, attach: message.attach, answer), to: instance)
    }

    private func received(_ content: SessionMessage.Content, in session: Session) {
        switch content {
        case .stanza(let stanza, let number, let fault):
            guard let number else { return }
            received(stanza, number: number, fault: fault, in: session)
        case .enable(let resume, let max, let number):
            enable(session, resume: resume, maximum: max, number: number)
        case .acknowledged(let h):
            acknowledged(h, in: session)
        case .detached:
            detach(session)
        case .close:
            acknowledged(session.outbox.acknowledgeAll(), in: session)
            end(session, .closed)
        default:
            logger.warning("dropped a wrapper that is not for SM", metadata: ["jid": "\(session.jid)"])
        }
    }

    /// A stanza that is not a local client's: of a component, of another server, or a bounce of the router.
    func received(_ stanza: Stanza) {
        guard let from = stanza.from, stanza.to != nil else { return }
        // No link but a C2S, in its wrappers, speaks for our domains.
        guard !hosted.contains(from.domain) else {
            logger.warning("dropped a stanza from outside with an address of ours", metadata: ["from": "\(from)"])
            return
        }
        let passage = passage(stanza)
        routeLocally(passage)
        passage.release()
    }

    /// What SM adds to the stream features, for every C2S that comes, and when it changes.
    func sendFeatures(of domains: some Sequence<String>, to instance: String) {
        guard instance.hasPrefix("\(ComponentKind.c2s.rawValue)-") else { return }
        for domain in domains.sorted() {
            let features = streamFeatures(for: domain)
            link.send(SessionMessage(.features(domain: domain, features)), to: instance)
        }
    }

    private func register(_ register: SessionMessage.Register, at instance: String) {
        let request = register.request
        let answer = { [weak self] (iq: Stanza) in
            _ = self?.link.send(SessionMessage(.registered(request: request, iq: iq)), to: instance)
        }
        for module in chain.modules where module.registration(register, answer: answer) { return }
        if let error = register.iq.error(.serviceUnavailable) { answer(error) }
    }
}
