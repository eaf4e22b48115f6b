// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SASL
import Testing

@testable import Load

/// The client's side against words of a server, and against the suite's own SCRAM.
@Suite struct LoginStateMachineTests {
    private let passwords = SaltedPasswords()

    private func machine(
        _ mechanism: LoadMechanism = .plain,
        _ plan: LoginStateMachine.Plan = .init(),
        isEncrypted: Bool = true
    ) -> LoginStateMachine {
        LoginStateMachine(
            account: .init(user: "load1", domain: "example.org", password: "load-password", mechanism: mechanism),
            plan: plan,
            isEncrypted: isEncrypted
        )
    }

    private func say(_ text: String, to machine: inout LoginStateMachine) -> LoginStateMachine.Action {
        var scanner = StanzaScanner()
        scanner.receive(ByteBuffer(string: "<stream>\(text)"))
        guard case .stanza(let stanza) = scanner.next() else { return .failed("the test says no element") }
        return machine.received(stanza, nonce: "client-nonce", passwords: passwords)
    }

    private static let saslFeatures =
        "<features><mechanisms><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism>"
        + "<mechanism>SCRAM-SHA-256</mechanism></mechanisms></features>"
    private static let bound =
        "<iq type='result' id='bind'><bind><jid>load1@example.org/load</jid></bind></iq>"

    @Test("STARTTLS comes first, then PLAIN, a resource, the roster and presence")
    func plain() {
        var login = machine(isEncrypted: false)
        #expect(
            say("<features><starttls/></features>", to: &login)
                == .send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        )
        #expect(say("<proceed/>", to: &login) == .startTLS)
        guard case .send(let auth) = say(Self.saslFeatures, to: &login) else {
            Issue.record("no authentication")
            return
        }
        #expect(auth.contains("mechanism='PLAIN'"))
        #expect(auth.contains(Digest.base64(Array("\0load1\0load-password".utf8))))
        #expect(say("<success/>", to: &login) == .restartStream)
        guard case .send(let bind) = say("<features><bind/></features>", to: &login) else {
            Issue.record("no bind")
            return
        }
        #expect(bind.contains("<resource>load</resource>"))
        #expect(
            say(Self.bound, to: &login)
                == .send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>")
        )
        #expect(say("<presence from='friend@example.org/x'/>", to: &login) == .nothing)
        #expect(say("<presence from='load1@example.org/load'/>", to: &login) == .nothing)
        #expect(say("<iq type='result' id='roster'/>", to: &login) == .ready)
        #expect(login.address == "load1@example.org/load")
    }

    @Test("Where nobody sees the own presence, the roster after it ends the login")
    func unseenPresence() {
        var plan = LoginStateMachine.Plan()
        plan.seesOwnPresence = false
        var login = machine(.plain, plan)
        _ = say(Self.saslFeatures, to: &login)
        _ = say("<success/>", to: &login)
        _ = say("<features><bind/></features>", to: &login)
        #expect(
            say(Self.bound, to: &login)
                == .send("<presence/><iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        )
        #expect(say("<iq type='result' id='roster'/>", to: &login) == .ready)
    }

    @Test(
        "SCRAM convinces the suite's own server side, and the second login derives no key",
        arguments: [LoadMechanism.scramSHA1, .scramSHA256]
    )
    func scram(mechanism: LoadMechanism) throws {
        let hash = try #require(mechanism.hash)
        let salt = Array("a salt of bytes!".utf8)
        let credentials = try SCRAMCredentials.derive(
            password: "load-password",
            hash: hash,
            salt: salt,
            iterations: 4_096
        )
        for _ in 1...2 {
            var login = machine(mechanism)
            guard case .send(let auth) = say(Self.saslFeatures, to: &login) else {
                Issue.record("no authentication")
                return
            }
            let first = try decoded(auth)
            #expect(first == "n,,n=load1,r=client-nonce")
            let serverFirst = "r=client-nonce-server,s=\(Digest.base64(salt)),i=4096"
            let challenge = "<challenge>\(Digest.base64(Array(serverFirst.utf8)))</challenge>"
            guard case .send(let response) = say(challenge, to: &login) else {
                Issue.record("no response")
                return
            }
            let final = try decoded(response)
            let parts = final.split(separator: ",p=")
            let message = Array("n=load1,r=client-nonce,\(serverFirst),\(parts[0])".utf8)
            let signature = Digest.hmac(hash, key: credentials.storedKey, message)
            let proof = try #require(Digest.base64Decode(parts[1]))
            let clientKey = zip(proof, signature).map { $0 ^ $1 }
            #expect(Digest.hash(clientKey, hash) == credentials.storedKey)
            let serverFinal = "v=\(Digest.base64(Digest.hmac(hash, key: credentials.serverKey, message)))"
            #expect(say("<success>\(Digest.base64(Array(serverFinal.utf8)))</success>", to: &login) == .restartStream)
        }
        #expect(passwords.derivations == 1)
    }

    @Test("A server that does not know the password is found out")
    func wrongSignature() {
        var login = machine(.scramSHA256)
        _ = say(Self.saslFeatures, to: &login)
        let serverFirst = Digest.base64(Array("r=client-nonce-server,s=c2FsdA==,i=4096".utf8))
        _ = say("<challenge>\(serverFirst)</challenge>", to: &login)
        let wrong = Digest.base64(Array("v=\(Digest.base64([1, 2, 3]))".utf8))
        guard case .failed = say("<success>\(wrong)</success>", to: &login) else {
            Issue.record("a wrong signature passed")
            return
        }
    }

    @Test("An account that is there already is as good as a new one")
    func registration() {
        var plan = LoginStateMachine.Plan()
        plan.registers = true
        for answer in [
            "<iq type='result' id='register'/>", "<iq type='error' id='register'><error><conflict/></error></iq>",
        ] {
            var login = machine(.plain, plan)
            guard case .send(let registration) = say(Self.saslFeatures, to: &login) else {
                Issue.record("no registration")
                return
            }
            #expect(registration.contains("<username>load1</username>"))
            #expect(say(answer, to: &login) == .ready)
        }
        var login = machine(.plain, plan)
        _ = say(Self.saslFeatures, to: &login)
        guard case .failed = say("<iq type='error' id='register'><error><not-allowed/></error></iq>", to: &login) else {
            Issue.record("a refused registration passed")
            return
        }
    }

    @Test("Old servers want a session, new ones say that it is optional")
    func session() {
        let session = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'"
        for (features, wantsSession) in [
            ("<features><bind/>\(session)/></features>", true),
            ("<features><bind/>\(session)><optional/></session></features>", false),
        ] {
            var login = machine()
            _ = say(Self.saslFeatures, to: &login)
            _ = say("<success/>", to: &login)
            _ = say(features, to: &login)
            guard case .send(let text) = say(Self.bound, to: &login) else {
                Issue.record("nothing sent")
                return
            }
            #expect(text.contains("<session") == wantsSession)
            guard wantsSession, case .send(let next) = say("<iq type='result' id='session'/>", to: &login) else {
                continue
            }
            #expect(next.contains("<presence/>"))
        }
    }

    /// A client that authenticated and wants to resume.
    private func resuming() -> (LoginStateMachine, LoginStateMachine.Action) {
        var plan = LoginStateMachine.Plan()
        (plan.streamManagement, plan.resumption, plan.resumes) = (true, true, (token: "token", received: 7))
        (plan.fetchesRoster, plan.sendsPresence) = (false, false)
        var login = machine(.plain, plan)
        _ = say(Self.saslFeatures, to: &login)
        _ = say("<success/>", to: &login)
        let action = say("<features><bind/><sm xmlns='urn:xmpp:sm:3'/></features>", to: &login)
        return (login, action)
    }

    @Test("A session is resumed instead of a bind")
    func resumption() {
        var (login, action) = resuming()
        #expect(action == .send("<resume xmlns='urn:xmpp:sm:3' previd='token' h='7'/>"))
        #expect(say("<resumed xmlns='urn:xmpp:sm:3' previd='token' h='9'/>", to: &login) == .ready)
        #expect(login.resumption == .resumed(handled: 9))
        #expect(login.token == "token")
        #expect(login.isManaged)
    }

    @Test("Where the session is gone a new one begins", arguments: [nil, "12"])
    func refusedResumption(_ h: String?) {
        var (login, _) = resuming()
        let failed =
            "<failed xmlns='urn:xmpp:sm:3'\(h.map { " h='\($0)'" } ?? "")>"
            + "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
        guard case .send(let bind) = say(failed, to: &login) else {
            Issue.record("no bind")
            return
        }
        #expect(bind.contains("<bind"))
        #expect(login.resumption == .refused(handled: h.flatMap { UInt32($0) }, reason: "item-not-found"))
        #expect(say(Self.bound, to: &login) == .send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>"))
        #expect(say("<enabled xmlns='urn:xmpp:sm:3' resume='true' id='new'/>", to: &login) == .ready)
        #expect(login.token == "new")
    }

    @Test("Stream management is enabled before presence, and must be offered")
    func streamManagement() {
        var plan = LoginStateMachine.Plan()
        plan.streamManagement = true
        var login = machine(.plain, plan)
        _ = say(Self.saslFeatures, to: &login)
        _ = say("<success/>", to: &login)
        _ = say("<features><bind/><sm xmlns='urn:xmpp:sm:3'/></features>", to: &login)
        #expect(say(Self.bound, to: &login) == .send("<enable xmlns='urn:xmpp:sm:3'/>"))
        #expect(!login.isManaged)
        _ = say("<enabled xmlns='urn:xmpp:sm:3'/>", to: &login)
        #expect(login.isManaged)
        login = machine(.plain, plan)
        _ = say(Self.saslFeatures, to: &login)
        _ = say("<success/>", to: &login)
        _ = say("<features><bind/></features>", to: &login)
        guard case .failed = say(Self.bound, to: &login) else {
            Issue.record("went on without stream management")
            return
        }
    }

    @Test(
        "What the server refuses ends the login with its words",
        arguments: [
            "<failure><not-authorized/></failure>", "<stream:error><policy-violation/></stream:error>",
        ]
    )
    func refusal(text: String) {
        var login = machine()
        _ = say(Self.saslFeatures, to: &login)
        guard case .failed(let reason) = say(text, to: &login) else {
            Issue.record("went on")
            return
        }
        #expect(reason.contains(text))
    }

    private func decoded(_ element: String) throws -> String {
        let text = element.split(separator: ">")[1].split(separator: "<")[0]
        return String(decoding: try #require(Digest.base64Decode(text)), as: UTF8.self)
    }
}
