// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import SASL

@Suite struct SCRAMVectorTests {
    /// One conversation, message by message.
    struct Vector: CustomTestStringConvertible, Sendable {
        let name: String
        let mechanism: SASLMechanism
        let clientNonce: String
        let serverNonce: String
        let salt: String
        let clientFirst: String
        let serverFirst: String
        let clientFinal: String
        let serverFinal: String
        var binding: SCRAMClient.Binding = .unsupported
        var testDescription: String { name }
    }

    /// RFC 5802 section 5, RFC 7677 section 3, and two more that were computed with Python's hashlib.
    static let vectors = [
        Vector(
            name: "RFC 5802",
            mechanism: .scramSHA1,
            clientNonce: "fyko+d2lbbFgONRv9qkxdawL",
            serverNonce: "3rfcNHYJY1ZVvWVs7j",
            salt: "QSXCR+Q6sek8bf92",
            clientFirst: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            serverFirst: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            clientFinal: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            serverFinal: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="
        ),
        Vector(
            name: "RFC 7677",
            mechanism: .scramSHA256,
            clientNonce: "rOprNGfwEbeRWgbNEkqO",
            serverNonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
            clientFirst: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            serverFirst: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                + "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            clientFinal: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                + "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            serverFinal: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        ),
        Vector(
            name: "SHA-512",
            mechanism: .scramSHA512,
            clientNonce: "rOprNGfwEbeRWgbNEkqO",
            serverNonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
            clientFirst: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            serverFirst: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                + "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            clientFinal: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                + "p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
            serverFinal: "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw=="
        ),
        Vector(
            name: "SHA-256-PLUS with tls-exporter",
            mechanism: .scramSHA256Plus,
            clientNonce: "rOprNGfwEbeRWgbNEkqO",
            serverNonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
            clientFirst: "p=tls-exporter,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            serverFirst: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                + "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            clientFinal: "c=cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f,"
                + "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                + "p=QC6CS20quADQRb3mT99YUH+n3VJxUvzuK0K0E1Vrs2M=",
            serverFinal: "v=2GiAgapEppLVlUXbxUDksL3VgYHzuqiK5tR4mhJGgvs=",
            binding: .used(type: "tls-exporter", data: Array(0..<32))
        ),
    ]

    @Test(arguments: vectors)
    func `the server speaks the vector`(_ vector: Vector) throws {
        let hash = try #require(vector.mechanism.hash)
        let salt = try #require(Digest.base64Decode(vector.salt))
        let credentials = try SCRAMCredentials.derive(password: "pencil", hash: hash, salt: salt, iterations: 4096)
        var machine = SASLServerStateMachine(
            .init(
                domain: "example.com",
                offered: [vector.mechanism],
                bindings: ChannelBindings(tlsExporter: Array(0..<32)),
                serverSecret: [1],
                iterations: [10_000]
            )
        )
        let begun = machine.begin(
            mechanism: vector.mechanism.rawValue,
            initialResponse: encoded(vector.clientFirst),
            nonce: vector.serverNonce
        )
        #expect(begun == .needCredentials(username: "user", hash: hash))
        #expect(machine.mechanism == vector.mechanism)
        #expect(machine.credentialsLoaded(credentials) == .challenge(encoded(vector.serverFirst)))
        let end = machine.responseReceived(encoded(vector.clientFinal))
        #expect(end == .success(username: "user", text: encoded(vector.serverFinal)))
    }

    @Test(arguments: vectors)
    func `the client speaks the vector`(_ vector: Vector) throws {
        var client = SCRAMClient(
            hash: try #require(vector.mechanism.hash),
            username: "user",
            password: "pencil",
            nonce: vector.clientNonce,
            binding: vector.binding
        )
        #expect(client.first == vector.clientFirst)
        #expect(try client.final(serverFirst: vector.serverFirst) == vector.clientFinal)
        try client.verify(serverFinal: vector.serverFinal)
        #expect(throws: SCRAMClient.Failure.wrongServerSignature) { try client.verify(serverFinal: "v=AAAA") }
    }

    /// Computed with Python's hashlib: password `pencil`, 4096 iterations.
    @Test(arguments: [
        (
            SCRAMHash.sha1, "QSXCR+Q6sek8bf92", "e9d94660c39d65c38fbad91c358f14da0eef2bd6",
            "0fe09258b3ac852ba502cc62ba903eaacdbf7d31"
        ),
        (
            .sha256, "W22ZaJ0SNY7soEsUEjb6gQ==", "586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6",
            "c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5"
        ),
        (
            .sha512, "W22ZaJ0SNY7soEsUEjb6gQ==",
            "e8002e6f7d3ae446119b216933644dc2a2be7869eb918b8459b5e7d7d2ec1260"
                + "6aceef106825cd735170a675fd3611f684affad1dce3f43a0ee43bd590e1dbbe",
            "8d91db6230b5687874fe129bc7206e1858c3ae08e02934f57ac03b6b05a229c4"
                + "59d28ff46f5c9611e6c179256490215ec1ff759cb0df285db89af0f99e613aac"
        ),
    ])
    func `derived keys are those of another implementation`(
        hash: SCRAMHash,
        salt: String,
        storedKey: String,
        serverKey: String
    ) throws {
        let salt = try #require(Digest.base64Decode(salt))
        let credentials = try SCRAMCredentials.derive(password: "pencil", hash: hash, salt: salt, iterations: 4096)
        #expect(Digest.hex(credentials.storedKey) == storedKey)
        #expect(Digest.hex(credentials.serverKey) == serverKey)
        #expect(credentials.matches(prepared: "pencil"))
        #expect(!credentials.matches(prepared: "Pencil"))
    }

    private func encoded(_ text: String) -> String { Digest.base64(Array(text.utf8)) }
}
