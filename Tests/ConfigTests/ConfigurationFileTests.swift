// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Config

@Suite struct ConfigurationFileTests {
    static func parse(_ text: String) throws -> JackdawConfiguration {
        try ConfigurationFile.parse(Array(text.utf8), file: "j.yml", directory: "/d").configuration
    }

    @Test func routersOfThisHostAndOfOthersAreRead() throws {
        let read = try Self.parse(
            """
            router:
              listen: 127.0.0.1:5347
              tls_listen: "[::]:5400"
              tls_certificate: r.pem
              tls_key: r.key
              remote:
                - {address: "router.example.org:5348", certificate: ca.pem}
                - {address: "192.0.2.1:5348", certificate: /ca.pem, name: router.example.net}
            supervisor: {router: 2}
            """
        )
        #expect(read.localRouters.map(\.description) == ["127.0.0.1:5347", "127.0.0.1:5348"])
        let second = InstanceName(kind: .router, number: 2)
        #expect(read.address(try #require(read.router.tlsListen), of: second).description == "[::]:5401")
        #expect(read.routerCertificateFiles == (certificate: "/d/r.pem", key: "/d/r.key"))
        #expect(read.router.remote.map(\.address.host) == ["router.example.org", "192.0.2.1"])
        #expect(read.router.remote.map(\.certificate) == ["/d/ca.pem", "/ca.pem"])
        #expect(read.router.remote.map(\.name) == [nil, "router.example.net"])
        // The secret of routers is of use where there are others.
        #expect(read.secretFile(for: .router) == "/d/secrets/router-router")
        #expect(JackdawConfiguration().secretFile(for: .router) == nil)
    }

    @Test(arguments: [("3\n", 3), ("0\n", 2), ("9\n", 2), ("many", 2), (nil, 2)])
    func theSupervisorsNumberOfRoutersCountsForAll(text: String?, number: Int) throws {
        let directory = "/tmp/jackdaw-config-\(UInt64.random(in: 0 ... .max))"
        unsafe mkdir(directory, 0o700)
        unsafe mkdir("\(directory)/supervisor", 0o700)
        defer {
            for path in ["supervisor/scale-router", "supervisor", "jackdaw.yml", ""] {
                unsafe remove("\(directory)/\(path)")
            }
        }
        try Self.write("supervisor: {router: 2}\n", to: "\(directory)/jackdaw.yml")
        if let text { try Self.write(text, to: "\(directory)/supervisor/scale-router") }
        let loaded = try ConfigurationFile.load(argument: "\(directory)/jackdaw.yml")
        #expect(loaded.configuration.supervisor.router == number)
    }

    private static func write(_ text: String, to path: String) throws {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT, 0o600)
        try #require(descriptor >= 0)
        unsafe Glibc.write(descriptor, text, text.utf8.count)
        close(descriptor)
    }

    @Test func everyKindOfValueIsRead() throws {
        let read = try Self.parse(
            """
            domains:
              - example.org
              - {name: Example.NET, certificate: a.pem, key: /k.pem, registration: yes,
                 contacts: {abuse: ["mailto:abuse@example.net"]}}
            database: {url: "host=db", credentials_url: "host=db user=c"}
            sasl: {mechanisms: [PLAIN], iterations: 20_000}
            registration: {enabled: on, period: 90m}
            router: {listen: "127.0.0.1:0"}
            components:
              - {names: [IRC.example.org], secret_file: s, internal: true, default_route: true}
            supervisor:
              s2s: 0
            c2s:
              listeners: [{address: "[::1]:0", tls: direct}]
              limits: {stanza_burst: 7, bytes_burst: 2 MiB}
              resumption_time: 0
            sm: {resource_conflict: rename, modules: {vcard: false}}
            log: {level: debug, format: json}
            """
        )
        #expect(read.domains.map(\.name) == ["example.org", "example.net"])
        #expect(read.certificateFiles(for: read.domains[1]) == (certificate: "/d/a.pem", key: "/k.pem"))
        #expect(read.allowsRegistration(at: "example.net"))
        #expect(read.domains[1].contacts.fields.map(\.name) == ["abuse-addresses"])
        #expect(read.smDatabase.revealed == "host=db")
        #expect(read.credentialsDatabase.revealed == "host=db user=c")
        #expect(!read.hasPrivateDatabase)
        #expect(read.sasl.mechanisms == [.plain])
        #expect(read.sasl.iterations == 20_000)
        #expect(read.registration.period == .seconds(5_400))
        #expect(read.router.listen == ListenAddress(host: "127.0.0.1", port: 0))
        #expect(read.components.first?.names == ["irc.example.org"])
        #expect(read.components.first?.secretFile == "/d/s")
        #expect(read.c2s.listeners.first?.address.description == "[::1]:0")
        #expect(read.c2s.limits.effectiveStanzaBurst == 7)
        #expect(read.c2s.limits.effectiveBytesBurst == 2 << 20)
        #expect(read.c2s.resumptionTime == .zero)
        #expect(!read.sm.isEnabled(.vcard) && read.sm.isEnabled(.ping))
        #expect(read.log.format == .json)
    }

    @Test func domainsArePreparedOnce() throws {
        let read = try Self.parse(
            """
            domains: [xn--mller-kva.example, {name: Straße.Example, registration: true}, example.org.]
            components:
              - {names: [IRC.xn--mller-kva.example], secret_file: s}
            """
        )
        #expect(read.domains.map(\.name) == ["müller.example", "straße.example", "example.org"])
        #expect(read.components.first?.names == ["irc.müller.example"])
        #expect(read.mainDomain == "müller.example")
        #expect(read.allowsRegistration(at: "straße.example"))
    }

    @Test func certificatesGoByTheNameInTheDNS() throws {
        let read = try Self.parse("domains: [müller.example]")
        #expect(read.domains.map(\.dnsName) == ["xn--mller-kva.example"])
        let files = read.certificateFiles(for: read.domains[0])
        #expect(files.certificate == "/d/certificates/xn--mller-kva.example.pem")
        #expect(files.key == "/d/certificates/xn--mller-kva.example.key")
    }

    @Test(
        arguments: [
            ("0", 0), ("512", 512), ("1KiB", 1_024), ("64 KiB", 65_536), ("2MiB", 2 << 20), ("1GiB", 1 << 30),
            ("7B", 7),
            ("9223372036854775807", Int.max), ("9223372036854775808", nil), ("99999999999GiB", nil), ("-1", nil),
            ("", nil), ("KiB", nil), ("1.5KiB", nil), ("1KB", nil), ("_1", nil), ("1_000", 1_000),
        ] as [(String, Int?)]
    )
    func sizesAreWrittenWithUnits(_ text: String, _ expected: Int?) {
        #expect(Quantity.bytes(text) == expected)
    }

    @Test(
        arguments: [
            ("0", .zero), ("30", .seconds(30)), ("500ms", .milliseconds(500)), ("10m", .seconds(600)),
            ("1h", .seconds(3_600)),
            ("7d", .seconds(604_800)), ("1 s", .seconds(1)), ("9223372036854775807d", nil), ("1w", nil), ("s", nil),
            ("-1s", nil),
        ] as [(String, Duration?)]
    )
    func timesAreWrittenWithUnits(_ text: String, _ expected: Duration?) {
        #expect(Quantity.duration(text) == expected)
    }

    @Test(
        arguments: [
            ("127.0.0.1:5347", "127.0.0.1:5347"), ("[::]:5222", "[::]:5222"), ("0.0.0.0:0", "0.0.0.0:0"),
            ("::1:5222", nil), ("127.0.0.1", nil), ("[::1]", nil), ("127.0.0.1:65536", nil), ("127.0.0.1:", nil),
            ("127.0.0.1:+1", nil), (":5222", nil), ("", nil), ("[]:1", nil), ("[:1", nil),
        ] as [(String, String?)]
    )
    func addressesAreLiterals(_ text: String, _ expected: String?) {
        #expect(ListenAddress(parsing: text)?.description == expected)
    }

    @Test(
        arguments: [
            ("c2s-1", "c2s-1.jackdaw.internal"), ("sm-12", "sm-12.jackdaw.internal"), ("c2s", nil), ("c2s-0", nil),
            ("c2s-01", nil), ("c2s--1", nil), ("x-1", nil), ("c2s-1000", nil), ("", nil), ("-", nil),
        ] as [(String, String?)]
    )
    func instanceNamesHaveAKindAndANumber(_ text: String, _ expected: String?) {
        #expect(InstanceName(text)?.routerName == expected)
        #expect(expected.flatMap { InstanceName(routerName: $0) } == InstanceName(text))
    }

    @Test func instancesCountUpFromTheBasePort() {
        var configuration = JackdawConfiguration()
        #expect(configuration.httpPort(of: InstanceName(kind: .c2s, number: 3)) == 15_202)
        configuration.http.c2sPort = 0
        #expect(configuration.httpPort(of: InstanceName(kind: .c2s, number: 3)) == 0)
    }

    @Test func fileThatIsNamedMustExist() {
        #expect(throws: ConfigurationError.self) { _ = try ConfigurationFile.load(argument: "/nonexistent/j.yml") }
        #expect(throws: ConfigurationError.self) { _ = try ConfigurationFile.load(argument: "/") }
    }
}

@Suite struct SecretTests {
    static func file(_ text: String, mode: mode_t, _ body: (String) throws -> Void) throws {
        var template = Array("/tmp/jackdaw-secret-XXXXXX".utf8CString)
        let descriptor = unsafe mkstemp(&template)
        try #require(descriptor >= 0)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { unsafe unlink(path) }
        let bytes = Array(text.utf8)
        _ = unsafe write(descriptor, bytes, bytes.count)
        fchmod(descriptor, mode)
        close(descriptor)
        try body(path)
    }

    @Test func firstLineOfAPrivateFileIsTheSecret() throws {
        try Self.file("s3cret\nrest\n", mode: 0o600) { path in
            let secret = try Secret.load(file: path)
            #expect(secret.revealed == "s3cret")
        }
    }

    @Test(arguments: [0o644, 0o640, 0o604, 0o620, 0o666] as [mode_t])
    func fileThatOthersMayReadIsRefused(_ mode: mode_t) throws {
        try Self.file("s3cret", mode: mode) { path in
            #expect(throws: SecretFileError.tooOpen(path: path, mode: "0" + String(mode, radix: 8))) {
                _ = try Secret.load(file: path)
            }
        }
    }

    @Test func emptyOrHugeFileIsRefused() throws {
        try Self.file("\n", mode: 0o600) { path in
            #expect(throws: SecretFileError.empty(path: path)) { _ = try Secret.load(file: path) }
        }
        try Self.file(String(repeating: "x", count: 5_000), mode: 0o600) { path in
            #expect(throws: SecretFileError.tooLong(path: path)) { _ = try Secret.load(file: path) }
        }
    }

    @Test func secretIsNeverPrinted() {
        let secret = Secret("hunter2")
        var dumped = ""
        dump([secret], to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), "\(Optional(secret) as Any)", dumped] {
            #expect(!text.contains("hunter2"), "\(text)")
        }
    }
}
