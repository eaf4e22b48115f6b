// SPDX-License-Identifier: Apache-2.0

extension JackdawConfiguration {
    /// Reads the whole file; every key with its bounds.
    mutating func read(_ file: SectionReader) {
        readDomains(file)
        file.section("paths") { paths.read($0) }
        file.section("secrets") { secrets.read($0) }
        file.section("database") { database.read($0) }
        file.section("tls") { tls.read($0) }
        file.section("sasl") { sasl.read($0) }
        file.section("registration") { registration.read($0) }
        file.section("router") { router.read($0) }
        readComponents(file)
        file.section("c2s") { c2s.read($0) }
        file.section("sm") { sm.read($0) }
        file.section("s2s") { s2s.read($0) }
        file.section("log") { section in
            section.choice("level", &log.level)
            section.choice("format", &log.format)
        }
        file.section("http") { http.read($0) }
        file.section("supervisor") { supervisor.read($0) }
    }

    private mutating func readDomains(_ file: SectionReader) {
        guard let elements = file.list("domains", of: "domains") else { return }
        domains = elements.map { node, path in
            var domain = HostedDomain(name: "")
            if case .scalar = node.content, !node.isNull {
                domain.name = file.collector.domain(node, path: path) ?? ""
                return domain
            }
            let section = SectionReader(node, path: path, collector: file.collector)
            domain.read(section)
            section.finish()
            return domain
        }
        if domains.isEmpty { file.collector.report(at: "domains", "at least one domain is expected") }
    }

    private mutating func readComponents(_ file: SectionReader) {
        guard let elements = file.list("components", of: "components") else { return }
        components = elements.map { node, path in
            var component = Component()
            let section = SectionReader(node, path: path, collector: file.collector)
            component.read(section)
            section.finish()
            return component
        }
    }
}

extension HostedDomain {
    mutating func read(_ section: SectionReader) {
        section.domain("name", &name)
        if section.peek("name") == nil { section.collector.report(section.mark, "a domain needs a 'name'") }
        section.optionalPath("certificate", &certificate)
        section.optionalPath("key", &key)
        section.optionalBoolean("registration", &registration)
        section.section("contacts") { contacts.read($0) }
    }
}

extension ContactAddresses {
    mutating func read(_ section: SectionReader) {
        let check = { (text: String) in Quantity.isOneLine(text) && text.contains(":") ? text : nil }
        section.texts("abuse", &abuse, of: "URIs (xmpp:, mailto:, https:)", check)
        section.texts("admin", &admin, of: "URIs (xmpp:, mailto:, https:)", check)
        section.texts("feedback", &feedback, of: "URIs (xmpp:, mailto:, https:)", check)
        section.texts("sales", &sales, of: "URIs (xmpp:, mailto:, https:)", check)
        section.texts("security", &security, of: "URIs (xmpp:, mailto:, https:)", check)
        section.texts("status", &status, of: "URIs (xmpp:, mailto:, https:)", check)
        section.texts("support", &support, of: "URIs (xmpp:, mailto:, https:)", check)
    }
}

extension JackdawConfiguration.Paths {
    mutating func read(_ section: SectionReader) {
        section.path("run", &run)
        section.path("certificates", &certificates)
        section.path("logs", &logs)
    }
}

extension JackdawConfiguration.SecretFiles {
    mutating func read(_ section: SectionReader) {
        section.path("c2s", &c2s)
        section.path("sm", &sm)
        section.path("s2s", &s2s)
        section.path("ctl", &ctl)
        section.path("router", &router)
        section.path("fake_salt", &fakeSalt)
        section.path("dialback", &dialback)
    }
}

extension JackdawConfiguration.Database {
    mutating func read(_ section: SectionReader) {
        section.optionalSecret("url", &url)
        section.optionalSecret("credentials_url", &credentialsURL)
        section.integer("read_connections", &readConnections, in: 1...32)
        section.integer("write_connections", &writeConnections, in: 1...32)
        section.integer("credentials_connections", &credentialsConnections, in: 1...32)
        section.duration("connect_timeout", &connectTimeout, in: .seconds(1) ... .seconds(300))
        section.duration("statement_timeout", &statementTimeout, in: .milliseconds(100) ... .seconds(600))
        section.integer("queue_length", &queueLength, in: 100...1_000_000)
        section.duration("reconnect_delay_maximum", &reconnectDelayMaximum, in: .milliseconds(100) ... .seconds(300))
    }
}

extension JackdawConfiguration.TLS {
    mutating func read(_ section: SectionReader) {
        section.choice("minimum_version", &minimumVersion)
        section.text("ciphers", &ciphers)
        section.duration("reload_interval", &reloadInterval, in: .seconds(1) ... .seconds(86_400))
    }
}

extension JackdawConfiguration.SASL {
    mutating func read(_ section: SectionReader) {
        var names = mechanisms.map(\.rawValue)
        let known = Mechanism.allCases.map(\.rawValue)
        section.texts("mechanisms", &names, of: "mechanisms of " + known.joined(separator: ", ")) { text in
            known.contains(text) ? text : nil
        }
        mechanisms = names.compactMap(Mechanism.init(rawValue:))
        // RFC 5802 §5.1 asks for 4096 at least; the upper bound keeps one PLAIN login under a second.
        section.integer("iterations", &iterations, in: 4_096...1_000_000)
        section.integers("former_iterations", &formerIterations, in: 1...1_000_000)
    }
}

extension JackdawConfiguration.Registration {
    mutating func read(_ section: SectionReader) {
        section.boolean("enabled", &enabled)
        section.boolean("password_change", &passwordChange)
        section.boolean("account_removal", &accountRemoval)
        section.integer("per_address", &perAddress, in: 1...100_000)
        section.integer("total", &total, in: 1...1_000_000)
        section.integer("failures_per_address", &failuresPerAddress, in: 1...100_000)
        section.duration("period", &period, in: .seconds(1) ... .seconds(7 * 86_400))
        section.integer("password_length_minimum", &passwordLengthMinimum, in: 1...256)
    }
}

extension JackdawConfiguration.HTTP {
    mutating func read(_ section: SectionReader) {
        let before = address
        section.text("address", &address)
        if address != before, !isLoopback {
            section.collector.report(
                at: section.fullPath("address"),
                "a loopback address (127.0.0.0/8 or ::1) is expected"
            )
        }
        section.integer("router_port", &routerPort, in: 0...64_000)
        section.integer("c2s_port", &c2sPort, in: 0...64_000)
        section.integer("sm_port", &smPort, in: 0...64_000)
        section.integer("s2s_port", &s2sPort, in: 0...64_000)
        section.integer("connections", &connections, in: 1...1_024)
        section.duration("idle_timeout", &idleTimeout, in: .milliseconds(100) ... .seconds(300))
    }

    private var isLoopback: Bool {
        if ListenAddress.isAddress(address, family: 2) { return address.hasPrefix("127.") }
        return address == "::1"
    }
}

extension JackdawConfiguration.Supervisor {
    mutating func read(_ section: SectionReader) {
        section.integer("router", &router, in: 0...JackdawConfiguration.mostRouters)
        section.integer("c2s", &c2s, in: 1...64)
        section.integer("sm", &sm, in: 1...16)
        section.integer("s2s", &s2s, in: 0...16)
        section.duration("restart_delay_maximum", &restartDelayMaximum, in: .seconds(1) ... .seconds(3_600))
        section.bytes("log_bytes", &logBytes, in: 64 << 10...1 << 30)
        section.integer("log_files", &logFiles, in: 1...100)
    }
}
