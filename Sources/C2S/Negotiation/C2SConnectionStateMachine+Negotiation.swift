// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import SASL
import TLS
import XML
import XMPPCore
import XMPPStream

// From the stream's header to the bound resource.

extension C2SConnectionStateMachine {
    /// The client opened a stream. `id` is fresh and random; `sessionFeatures` is what SM adds, by domain.
    mutating func streamOpened(
        _ header: StreamHeader,
        id: String,
        sessionFeatures: [String: ByteBuffer] = [:]
    ) -> [Action] {
        guard case .header(let stage) = phase else { return fail(StreamError(.badFormat), id: id) }
        // The error names the domain that was asked for, if it is ours.
        if let to = header["to"].flatMap({ try? JID($0) }), configuration.domains.contains(to.domain) {
            domain = isAuthenticated ? domain : to.domain
        }
        let opening: StreamHeaderValidation.Opening
        do throws(StreamHeaderFault) {
            let domains = isAuthenticated ? [domain] : configuration.domains
            opening = try StreamHeaderValidation(contentNamespace: Namespace.client, domains: domains).validate(header)
        } catch {
            return fail(StreamError(StreamError.Condition(rawValue: error.rawValue) ?? .badFormat), id: id)
        }
        if isAuthenticated, let from = opening.from, from.bare != user {
            return fail(StreamError(.invalidFrom), id: id)
        }
        domain = opening.to
        language = opening.language
        phase = .negotiating(stage)
        var buffer = ByteBuffer()
        // RFC 6120 §4.7.2: the bare address, whatever the client wrote.
        writeHeader(id: id, to: opening.from.map { JID($0.bare) }, into: &buffer)
        isHeaderSent = true
        writeFeatures(stage, sessionFeatures[domain], to: &buffer)
        return [.send(buffer)]
    }

    /// The TLS handshake is done.
    mutating func handshakeCompleted(version: String, bindings: ChannelBindings) -> [Action] {
        guard phase == .handshaking else { return [] }
        tlsVersion = version
        self.bindings = bindings
        stage = .secured
        phase = .header(.secured)
        isHeaderSent = false
        return []
    }

    /// A child of the stream's root arrived, anywhere but in a session.
    ///
    /// - Parameters:
    ///   - element: what arrived.
    ///   - id: fresh and random, for whatever needs it.
    ///   - hasUnreadInput: whether more bytes came in its wake.
    /// - Returns: what to do.
    mutating func elementReceived(_ element: StreamElement, id: String, hasUnreadInput: Bool = false) -> [Action] {
        switch phase {
        case .negotiating(.clear):
            return elementInClear(element, id: id, hasUnreadInput: hasUnreadInput)
        case .negotiating(.secured), .authenticating:
            return elementBeforeLogin(element, id: id)
        case .negotiating(.authenticated):
            return elementBeforeBinding(element, id: id)
        case .header, .handshaking, .waiting, .session, .closing, .closed:
            return []
        }
    }

    private func writeFeatures(_ stage: Stage, _ sessionFeatures: ByteBuffer?, to buffer: inout ByteBuffer) {
        switch stage {
        case .clear:
            StreamFeatures.writeClear(configuration.limitsBeforeLogin, to: &buffer)
        case .secured:
            StreamFeatures.writeSecured(
                mechanisms: offeredMechanisms,
                bindings: bindings,
                allowsRegistration: configuration.registrationDomains.contains(domain),
                configuration.limitsBeforeLogin,
                to: &buffer
            )
        case .authenticated:
            StreamFeatures.writeAuthenticated(
                configuration.limitsAfterLogin,
                sessionFeatures: sessionFeatures,
                to: &buffer
            )
        }
    }

    var offeredMechanisms: [SASLMechanism] {
        SASLMechanism.offered(enabled: configuration.mechanisms, bindings: bindings, isEncrypted: stage != .clear)
    }

    /// RFC 6120 §5: nothing but STARTTLS.
    private mutating func elementInClear(_ element: StreamElement, id: String, hasUnreadInput: Bool) -> [Action] {
        switch (element.namespace, element.name) {
        case (Namespace.tls, "starttls"):
            if hasUnreadInput {
                // What follows would be taken for the start of the secured stream, though anybody may have put it
                // there (CVE-2011-0411 and its kin). RFC 6120 §5.4.3.2.
                var actions: [Action] = [.send(ByteBuffer(string: "<failure xmlns='\(Namespace.tls)'/>"))]
                actions += end()
                return actions + [.close(atOnce: false)]
            }
            phase = .handshaking
            return [
                .send(ByteBuffer(string: "<proceed xmlns='\(Namespace.tls)'/>")), .startTLS(domain: domain),
                .restartStream,
            ]
        case (Namespace.sasl, "auth"):
            return saslFailed(.encryptionRequired, id: id)
        default:
            return fail(StreamError(.notAuthorized, text: "TLS is required"), id: id)
        }
    }

    /// RFC 6120 §6: SASL, or a registration where it is allowed.
    private mutating func elementBeforeLogin(_ element: StreamElement, id: String) -> [Action] {
        switch element.namespace {
        case Namespace.sasl:
            return saslReceived(element, id: id)
        case Namespace.client where element.name == "iq" && element.payload?.namespace == Namespace.register:
            guard phase == .negotiating(.secured), configuration.registrationDomains.contains(domain) else {
                return fail(StreamError(.notAuthorized), id: id)
            }
            return registrationReceived(element, id: id)
        case Namespace.tls:
            return fail(StreamError(.policyViolation, text: "TLS is already in use"), id: id)
        default:
            return fail(StreamError(.notAuthorized), id: id)
        }
    }

    private mutating func registrationReceived(_ element: StreamElement, id: String) -> [Action] {
        // The addresses of one who has no account mean nothing.
        var element = element
        element.attributes.removeAll { $0.name == "from" || $0.name == "to" }
        guard var iq = try? Stanza(element) else { return fail(StreamError(.badFormat), id: id) }
        iq.lang = iq.lang ?? language
        phase = .waiting(.registration(request: id))
        let request = SessionMessage.Content.register(
            SessionMessage.Register(request: id, domain: domain, address: network, iq: iq)
        )
        pendingRequest = request
        return [.tellOwner(request)]
    }

    /// SM answered a registration.
    mutating func registered(request: String, iq: Stanza) -> [Action] {
        guard phase == .waiting(.registration(request: request)) else { return [] }
        phase = .negotiating(.secured)
        pendingRequest = nil
        return [.send(iq.encoded)]
    }

    /// RFC 6120 §7: a resource is bound, or (XEP-0198 §5) a session resumed.
    private mutating func elementBeforeBinding(_ element: StreamElement, id: String) -> [Action] {
        switch (element.namespace, element.name) {
        case (Namespace.client, "iq") where element.payload?.namespace == Namespace.bind:
            return bindReceived(element, id: id)
        case (Namespace.client, "iq"), (Namespace.client, "message"), (Namespace.client, "presence"):
            return fail(StreamError(.notAuthorized, text: "no resource is bound"), id: id)
        case (Namespace.streamManagement, "resume"):
            return resumeReceived(element)
        case (Namespace.streamManagement, "enable"):
            return [.send(ManagementElement.failed(.unexpectedRequest))]
        case (Namespace.streamManagement, _):
            return [.send(ManagementElement.failed(.unexpectedRequest))]
        case (Namespace.sasl, _), (Namespace.tls, _):
            return fail(StreamError(.policyViolation, text: "the login is done"), id: id)
        default:
            return fail(StreamError(.unsupportedStanzaType), id: id)
        }
    }

    private mutating func bindReceived(_ element: StreamElement, id: String) -> [Action] {
        guard let user else { return fail(StreamError(.internalServerError), id: id) }
        let request = try? element.element().child("bind", Namespace.bind)
        guard element["type"] == "set", let request else { return refuseBinding(element["id"], .badRequest) }
        var resource: String?
        let text = request.child("resource", Namespace.bind)?.text ?? ""
        if !text.isEmpty {
            guard let prepared = try? user.with(resource: text).resource else {
                return refuseBinding(element["id"], .badRequest)
            }
            resource = prepared
        }
        phase = .waiting(.open(iq: element["id"]))
        let open = SessionMessage.Content.open(
            SessionMessage.Open(
                user: user,
                resource: resource,
                address: address,
                tls: tlsVersion,
                mechanism: mechanismName
            )
        )
        pendingRequest = open
        return [.tellOwner(open)]
    }

    /// SM opened the session.
    mutating func opened(_ jid: JID) -> [Action] {
        guard case .waiting(.open(let iq)) = phase else { return [] }
        phase = .session
        pendingRequest = nil
        sender = StanzaSender(jid)
        var result = Stanza(kind: .iq, type: "result", id: iq)
        result.append(
            Element("bind", Namespace.bind, elements: [Element("jid", Namespace.bind, text: jid.description)])
        )
        return [.send(result.encoded), .sessionBegan(jid)]
    }

    /// SM refused the session.
    mutating func refused(_ error: StanzaError, id: String) -> [Action] {
        guard case .waiting(.open(let iq)) = phase else { return [] }
        phase = .negotiating(.authenticated)
        pendingRequest = nil
        failedBindings += 1
        var actions = refuseBinding(iq, error)
        // Nobody needs many tries; a client in a loop is stopped.
        if failedBindings >= 5 { actions += fail(StreamError(.policyViolation), id: id) }
        return actions
    }

    private func refuseBinding(_ id: String?, _ error: StanzaError) -> [Action] {
        var iq = Stanza(kind: .iq, type: "error", id: id)
        iq.append(error.element())
        return [.send(iq.encoded)]
    }
}

extension Stanza {
    /// The stanza as it is written to a stream of its content namespace.
    var encoded: ByteBuffer {
        var buffer = ByteBuffer()
        write(to: &buffer)
        return buffer
    }
}
