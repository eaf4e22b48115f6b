// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import SASL

/// The rules of the negotiation, each broken in turn.
@Suite struct SASLServerTests {
    static let exporter = [UInt8](repeating: 7, count: 32)
    static let endPoint = [UInt8](repeating: 9, count: 32)
    static let everything = SASLMechanism.allCases
    static let withoutPlus = everything.filter { !$0.usesChannelBinding }

    private func machine(
        offered: [SASLMechanism] = everything,
        bindings: ChannelBindings = ChannelBindings(tlsExporter: exporter, tlsServerEndPoint: endPoint),
        domain: String = "example.com",
        iterations: [Int] = [64]
    ) -> SASLServerStateMachine {
        SASLServerStateMachine(
            .init(
                domain: domain,
                offered: offered,
                bindings: bindings,
                serverSecret: [1, 2, 3],
                iterations: iterations
            )
        )
    }

    private func encoded(_ text: String) -> String { Digest.base64(Array(text.utf8)) }

    private func decoded(_ text: String) throws -> String {
        String(decoding: try #require(Digest.base64Decode(text)), as: UTF8.self)
    }

    private func credentials(_ hash: SCRAMHash = .sha256, password: String = "secret") throws -> SCRAMCredentials {
        try .derive(password: password, hash: hash, salt: Array(1...16), iterations: 64)
    }

    /// Runs a whole SCRAM conversation; the client's last message may be changed on its way.
    private func converse(
        _ machine: inout SASLServerStateMachine,
        _ mechanism: SASLMechanism,
        client: SCRAMClient,
        stored: SCRAMCredentials?,
        tampering: (String) -> String = { $0 }
    ) throws -> SASLServerStateMachine.Action {
        var client = client
        let begun = machine.begin(
            mechanism: mechanism.rawValue,
            initialResponse: encoded(client.first),
            nonce: "server"
        )
        guard case .needCredentials = begun else { return begun }
        guard case .challenge(let challenge) = machine.credentialsLoaded(stored) else { return .challenge("none") }
        let final = tampering(try client.final(serverFirst: try decoded(challenge)))
        let end = machine.responseReceived(encoded(final))
        if case .success(_, let text) = end { try client.verify(serverFinal: try decoded(try #require(text))) }
        return end
    }

    private func client(
        _ hash: SCRAMHash = .sha256,
        password: String = "secret",
        binding: SCRAMClient.Binding = .unsupported,
        authzid: String? = nil
    ) -> SCRAMClient {
        SCRAMClient(
            hash: hash,
            username: "juliet",
            password: password,
            nonce: "client",
            binding: binding,
            authzid: authzid
        )
    }

    @Test(arguments: SASLMechanism.allCases.filter { $0 != .plain })
    func `a right password gets in by every mechanism`(_ mechanism: SASLMechanism) throws {
        let hash = try #require(mechanism.hash)
        let bindings: [SCRAMClient.Binding] =
            mechanism.usesChannelBinding
            ? [
                .used(type: "tls-exporter", data: Self.exporter),
                .used(type: "tls-server-end-point", data: Self.endPoint),
            ] : [.unsupported]
        for binding in bindings {
            var machine = machine()
            let end = try converse(
                &machine,
                mechanism,
                client: client(hash, binding: binding),
                stored: credentials(hash)
            )
            guard case .success(let username, _) = end else {
                Issue.record("\(mechanism) with \(binding): \(end)")
                continue
            }
            #expect(username == "juliet")
            // Nothing comes after a success.
            #expect(machine.begin(mechanism: "PLAIN", initialResponse: "", nonce: "n") == .failure(.malformedRequest))
            #expect(machine.responseReceived("") == .failure(.malformedRequest))
        }
    }

    @Test func `a wrong password, an unknown user and missing credentials of the hash fail alike`() throws {
        let cases: [(SCRAMClient, SCRAMCredentials?)] = [
            (client(password: "wrong"), try credentials()),
            (client(), nil),
            (client(), try credentials(.sha512)),
        ]
        for (client, stored) in cases {
            var machine = machine(offered: Self.withoutPlus)
            let end = try converse(&machine, .scramSHA256, client: client, stored: stored)
            #expect(end == .failure(.notAuthorized))
        }
    }

    @Test func `an unknown user shows the same salt at every try, and another one than others`() throws {
        func challenge(_ name: String, _ mechanism: SASLMechanism = .scramSHA256) throws -> [Substring] {
            var machine = machine(offered: Self.withoutPlus)
            let begun = machine.begin(
                mechanism: mechanism.rawValue,
                initialResponse: encoded("n,,n=\(name),r=abc"),
                nonce: Digest.randomName()
            )
            #expect(begun == .needCredentials(username: name.lowercased(), hash: try #require(mechanism.hash)))
            guard case .challenge(let text) = machine.credentialsLoaded(nil) else { return [] }
            return try decoded(text).split(separator: ",").map { Substring($0) }
        }
        let first = try challenge("ghost")
        #expect(try challenge("ghost")[1] == first[1])
        #expect(try challenge("GHOST")[1] == first[1])
        #expect(try challenge("ghost")[0] != first[0])
        #expect(try challenge("spectre")[1] != first[1])
        #expect(try challenge("ghost", .scramSHA512)[1] != first[1])
        #expect(first[1].utf8.count == "s=".utf8.count + 24)
        #expect(first[2] == "i=64")
    }

    @Test func `the same name shows another salt at another domain`() {
        let one = machine(offered: [.scramSHA256]).decoy(username: "juliet", hash: .sha256)
        let two = machine(offered: [.scramSHA256], domain: "two.example").decoy(username: "juliet", hash: .sha256)
        #expect(one.salt != two.salt && one.storedKey != two.storedKey)
    }

    @Test func `of the iterations that accounts have each name shows one, at every try and for every hash`() {
        let machine = machine(iterations: [64, 128, 256])
        let names = (0..<60).map { "user\($0)" }
        let shown = names.map { machine.decoy(username: $0, hash: .sha256).iterations }
        #expect(Set(shown) == [64, 128, 256])
        #expect(names.map { machine.decoy(username: $0, hash: .sha1).iterations } == shown)
        #expect(self.machine(iterations: []).decoy(username: "a", hash: .sha1).iterations == 1)
    }

    @Test func `the decoy never gets in, even with the keys that it shows`() throws {
        var machine = machine(offered: [.scramSHA256])
        let decoy = machine.decoy(username: "juliet", hash: .sha256)
        let message = "n,,n=juliet,r=abc"
        _ = machine.begin(mechanism: "SCRAM-SHA-256", initialResponse: encoded(message), nonce: "x")
        _ = machine.credentialsLoaded(nil)
        let final = "c=biws,r=abcx,p=\(Digest.base64(decoy.storedKey))"
        #expect(machine.responseReceived(encoded(final)) == .failure(.notAuthorized))
    }

    /// RFC 5802 section 6.
    @Test(arguments: [
        // mechanism, all offered or without -PLUS, GS2 header, refused with
        ("SCRAM-SHA-256", true, "y,,", SASLFailure.notAuthorized),
        ("SCRAM-SHA-256", true, "p=tls-exporter,,", .malformedRequest),
        ("SCRAM-SHA-256", false, "p=tls-exporter,,", .malformedRequest),
        ("SCRAM-SHA-256-PLUS", true, "n,,", .malformedRequest),
        ("SCRAM-SHA-256-PLUS", true, "y,,", .malformedRequest),
        ("SCRAM-SHA-256-PLUS", true, "p=tls-unique,,", .malformedRequest),
        ("SCRAM-SHA-256-PLUS", true, "p=TLS-EXPORTER,,", .malformedRequest),
        ("SCRAM-SHA-256-PLUS", true, "p=,,", .malformedRequest),
        ("SCRAM-SHA-256-PLUS", false, "p=tls-exporter,,", .invalidMechanism),
    ])
    func `a downgrade is refused`(name: String, offersPlus: Bool, header: String, failure: SASLFailure) {
        var machine = machine(offered: offersPlus ? Self.everything : Self.withoutPlus)
        let action = machine.begin(
            mechanism: name,
            initialResponse: encoded("\(header)n=juliet,r=abc"),
            nonce: "x"
        )
        #expect(action == .failure(failure))
    }

    @Test func `a client that could bind gets in where nothing was offered to bind to`() throws {
        var machine = machine(offered: Self.withoutPlus, bindings: .none)
        let end = try converse(
            &machine,
            .scramSHA256,
            client: client(binding: .supportedButNotOffered),
            stored: credentials()
        )
        #expect(text(of: end) != nil)
    }

    private func text(of action: SASLServerStateMachine.Action) -> String? {
        if case .success(_, let text) = action { text } else { nil }
    }

    @Test(arguments: [
        SCRAMClient.Binding.used(type: "tls-exporter", data: endPoint),
        .used(type: "tls-exporter", data: []),
        .used(type: "tls-exporter", data: Array(exporter.dropLast())),
        .used(type: "tls-exporter", data: exporter + [0]),
        .used(type: "tls-server-end-point", data: exporter),
    ])
    func `wrong binding data is refused`(_ binding: SCRAMClient.Binding) throws {
        var machine = machine()
        let end = try converse(
            &machine,
            .scramSHA256Plus,
            client: client(binding: binding),
            stored: credentials()
        )
        #expect(end == .failure(.notAuthorized))
    }

    @Test func `a binding type is taken only if it was offered`() throws {
        var machine = machine(bindings: ChannelBindings(tlsServerEndPoint: Self.endPoint))
        #expect(machine.configuration.bindings.kinds == [.tlsServerEndPoint])
        let binding = SCRAMClient.Binding.used(type: "tls-exporter", data: Self.exporter)
        let end = try converse(&machine, .scramSHA256Plus, client: client(binding: binding), stored: credentials())
        #expect(end == .failure(.malformedRequest))
    }

    /// The client's last message, changed.
    @Test(arguments: [
        ("r=clientserver", "r=clientservex", SASLFailure.notAuthorized),
        ("r=clientserver", "r=client", .notAuthorized),
        ("r=clientserver", "r=", .notAuthorized),
        ("c=biws", "c=eSws", .notAuthorized),
        ("c=biws", "c=", .malformedRequest),
        ("c=biws", "c=bi", .malformedRequest),
        ("c=biws", "c=!!!!", .malformedRequest),
        ("c=biws,", "", .malformedRequest),
        ("c=biws,", "c=biws,m=1,", .malformedRequest),
        ("r=clientserver,", "", .malformedRequest),
        (",p=", ",x=1,p=", .notAuthorized),
        (",p=", ",m=1,p=", .malformedRequest),
        (",p=", ",xx,p=", .malformedRequest),
        (",p=", ",p=AAAA", .malformedRequest),
        (",p=", ",p=!", .malformedRequest),
        (",p=", ",q=", .malformedRequest),
    ])
    func `a changed last message is refused`(old: String, new: String, failure: SASLFailure) throws {
        var machine = machine(offered: Self.withoutPlus)
        let end = try converse(&machine, .scramSHA256, client: client(), stored: credentials()) { message in
            message.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false).joined(separator: new)
        }
        #expect(end == .failure(failure))
    }

    @Test(arguments: [
        "", "n", "n,", "n,,", "n,,n=a", "n,,r=abc,n=a", "n,,n=,r=abc", "n,,n=a,r=", "n,,n=a,r=a b", "n,,n=a,r=\u{E9}",
        "x,,n=a,r=abc", "N,,n=a,r=abc", "n,b,n=a,r=abc", "n,a=,n=a,r=abc", "n,,m=1,n=a,r=abc", "n,,n=a=,r=abc",
        "n,,n=a=2,r=abc", "n,,n=a=2c,r=abc", "n,,n=a=41,r=abc", "n,,n=a,r=abc,", "n,,n=a,r=abc,m=1",
        "n,,n=a,r=abc,x", "n,,n=a,r=abc\0", "p= x,,n=a,r=abc",
    ])
    func `a malformed first message is refused`(_ message: String) {
        var machine = machine()
        let action = machine.begin(
            mechanism: "SCRAM-SHA-256",
            initialResponse: message.isEmpty ? "=" : encoded(message),
            nonce: "x"
        )
        #expect(action == .failure(.malformedRequest))
    }

    @Test func `bytes that are no UTF-8 are malformed`() {
        var machine = machine()
        let bytes = Array("n,,n=".utf8) + [0xC3, 0x28] + Array(",r=abc".utf8)
        let scram = machine.begin(mechanism: "SCRAM-SHA-1", initialResponse: Digest.base64(bytes), nonce: "x")
        #expect(scram == .failure(.malformedRequest))
        let plain = machine.begin(mechanism: "PLAIN", initialResponse: Digest.base64([0, 0x61, 0, 0xFF]), nonce: "x")
        #expect(plain == .failure(.malformedRequest))
    }

    @Test func `a name is unescaped, prepared and optional extensions are passed over`() {
        var machine = machine()
        let action = machine.begin(
            mechanism: "SCRAM-SHA-1",
            initialResponse: encoded("n,,n=A=2Cb=3DC,r=abc,x=y=z"),
            nonce: "x"
        )
        #expect(action == .needCredentials(username: "a,b=c", hash: .sha1))
    }

    @Test(arguments: ["juliet@home", "a b", "\u{2665}"])
    func `a name that no account can have is answered as an unknown one`(_ name: String) {
        var machine = machine()
        let scram = machine.begin(
            mechanism: "SCRAM-SHA-1",
            initialResponse: encoded("n,,n=\(name),r=abc"),
            nonce: "x"
        )
        #expect(scram == .failure(.notAuthorized))
        let plain = machine.begin(mechanism: "PLAIN", initialResponse: encoded("\0\(name)\0secret"), nonce: "x")
        #expect(plain == .failure(.notAuthorized))
    }

    @Test(arguments: [
        ("juliet@example.com", true), ("Juliet@EXAMPLE.com", true), ("juliet@example.org", false),
        ("romeo@example.com", false), ("example.com", false), ("juliet", false), ("juliet@example.com/x", false),
        ("@", false),
    ])
    func `an authorisation identity may only be that of the user`(authzid: String, isOwn: Bool) throws {
        var machine = machine(offered: Self.withoutPlus)
        let end = try converse(&machine, .scramSHA256, client: client(authzid: authzid), stored: credentials())
        #expect((text(of: end) != nil) == isOwn)
        if !isOwn { #expect(end == .failure(.invalidAuthzid)) }

        let plain = machineAfterPlain("\(authzid)\0juliet\0secret")
        #expect(
            plain == (isOwn ? .needPasswordCheck(username: "juliet", password: "secret") : .failure(.invalidAuthzid))
        )
    }

    private func machineAfterPlain(_ message: String) -> SASLServerStateMachine.Action {
        var machine = machine()
        return machine.begin(mechanism: "PLAIN", initialResponse: encoded(message), nonce: "x")
    }

    @Test func `PLAIN asks for the password check and follows it`() {
        for (isRight, expected) in [
            (true, SASLServerStateMachine.Action.success(username: "juliet", text: nil)),
            (false, .failure(.notAuthorized)),
        ] {
            var machine = machine()
            // Without an initial response there is an empty challenge first (RFC 6120 section 6.4.2).
            #expect(machine.begin(mechanism: "PLAIN", initialResponse: "", nonce: "x") == .challenge(""))
            let asked = machine.responseReceived(encoded("\0Juliet\0se\u{A0}cret"))
            #expect(asked == .needPasswordCheck(username: "juliet", password: "se cret"))
            #expect(machine.passwordChecked(isRight) == expected)
        }
    }

    @Test(arguments: ["", "juliet", "\0juliet", "juliet\0secret", "\0\0secret", "\0juliet\0", "\0a\0b\0c", "\0\0"])
    func `a malformed PLAIN message is refused`(_ message: String) {
        var machine = machine()
        let response = message.isEmpty ? "=" : encoded(message)
        #expect(
            machine.begin(mechanism: "PLAIN", initialResponse: response, nonce: "x") == .failure(.malformedRequest)
        )
    }

    @Test(arguments: ["!!!!", "abc", "abcd=", "ab cd", "YWJj\n", "====", "\u{E9}"])
    func `text that is no base64 has incorrect encoding`(_ text: String) {
        var machine = machine()
        let begun = machine.begin(mechanism: "SCRAM-SHA-1", initialResponse: text, nonce: "x")
        #expect(begun == .failure(.incorrectEncoding))
        _ = machine.begin(mechanism: "SCRAM-SHA-1", initialResponse: "", nonce: "x")
        #expect(machine.responseReceived(text) == .failure(.incorrectEncoding))
    }

    @Test(arguments: ["", "X-OAUTH2", "scram-sha-256", "SCRAM-SHA-256 ", "EXTERNAL", "DIGEST-MD5", "ANONYMOUS"])
    func `a mechanism that we do not know is refused`(_ name: String) {
        var machine = machine()
        #expect(machine.begin(mechanism: name, initialResponse: "", nonce: "x") == .failure(.invalidMechanism))
        #expect(machine.mechanism == nil)
    }

    @Test(arguments: SASLMechanism.allCases)
    func `a mechanism that was not offered is refused`(_ mechanism: SASLMechanism) {
        var machine = machine(offered: Self.everything.filter { $0 != mechanism })
        let action = machine.begin(mechanism: mechanism.rawValue, initialResponse: "", nonce: "x")
        #expect(action == .failure(.invalidMechanism))
    }

    @Test func `only what the connection allows is offered`() {
        let bindings = ChannelBindings(tlsExporter: Self.exporter)
        #expect(SASLMechanism.offered(bindings: bindings, isEncrypted: true) == SASLMechanism.allCases)
        #expect(SASLMechanism.offered(bindings: .none, isEncrypted: true) == Self.withoutPlus)
        let inClear = SASLMechanism.offered(bindings: .none, isEncrypted: false)
        #expect(inClear == [.scramSHA512, .scramSHA256, .scramSHA1])
        #expect(SASLMechanism.offered(enabled: [.plain], bindings: bindings, isEncrypted: false).isEmpty)
    }

    @Test func `events out of order are failures, and a failure lets the client try again`() throws {
        var machine = machine(offered: Self.withoutPlus)
        #expect(machine.responseReceived("") == .failure(.malformedRequest))
        #expect(machine.credentialsLoaded(nil) == .failure(.malformedRequest))
        #expect(machine.passwordChecked(true) == .failure(.notAuthorized))
        #expect(machine.aborted() == .failure(.aborted))
        let first = encoded("n,,n=juliet,r=abc")
        _ = machine.begin(mechanism: "SCRAM-SHA-256", initialResponse: first, nonce: "x")
        // The client is not to speak while we look.
        #expect(machine.responseReceived(first) == .failure(.malformedRequest))
        #expect(machine.credentialsLoaded(try credentials()) == .failure(.malformedRequest))
        _ = machine.begin(mechanism: "SCRAM-SHA-256", initialResponse: first, nonce: "x")
        #expect(machine.credentialsUnavailable() == .failure(.temporaryAuthFailure))
        _ = machine.begin(mechanism: "SCRAM-SHA-256", initialResponse: first, nonce: "x")
        #expect(machine.passwordChecked(true) == .failure(.notAuthorized))

        let end = try converse(&machine, .scramSHA256, client: client(), stored: credentials())
        #expect(text(of: end) != nil)
    }

    @Test func `the conditions are the elements of RFC 6120 section 6-5`() {
        let names: Set = [
            "aborted", "account-disabled", "credentials-expired", "encryption-required", "incorrect-encoding",
            "invalid-authzid", "invalid-mechanism", "malformed-request", "mechanism-too-weak", "not-authorized",
            "temporary-auth-failure",
        ]
        #expect(Set(SASLFailure.allCases.map(\.rawValue)) == names)
    }

    @Test func `the client checks the server's nonce and signature`() throws {
        var client = client()
        #expect(throws: SCRAMClient.Failure.nonceMismatch) { try client.final(serverFirst: "r=other,s=AAAA,i=1") }
        #expect(throws: SCRAMClient.Failure.nonceMismatch) { try client.final(serverFirst: "r=client,s=AAAA,i=1") }
        for message in ["", "r=clientx", "r=clientx,s=!,i=1", "r=clientx,s=AAAA,i=0", "e=other-error"] {
            #expect(throws: SCRAMClient.Failure.malformedServerMessage) { try client.final(serverFirst: message) }
        }
        #expect(throws: SCRAMClient.Failure.wrongServerSignature) { try client.verify(serverFinal: "v=") }
    }
}
