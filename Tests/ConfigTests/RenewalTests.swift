// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Config

/// What a running process takes of a file that was read again, and what it names as needing a restart.
@Suite struct RenewalTests {
    private static let everyKind: [ComponentKind] = [.router, .c2s, .sm]

    private static func renewed(
        _ kind: ComponentKind,
        from old: JackdawConfiguration = JackdawConfiguration(),
        _ change: (inout JackdawConfiguration) -> Void
    ) -> JackdawConfiguration.Renewal {
        var new = old
        change(&new)
        return old.renewed(by: new, for: kind)
    }

    @Test(arguments: everyKind) func whatDidNotChangeNeedsNothing(kind: ComponentKind) {
        let renewal = Self.renewed(kind) { _ in }
        #expect(renewal.configuration == JackdawConfiguration() && renewal.needsRestart == [])
    }

    @Test(arguments: everyKind) func limitsAndPoliciesAreTaken(kind: ComponentKind) {
        let renewal = Self.renewed(kind) {
            $0.c2s.limits.stanzasPerSecond = 7
            $0.c2s.timeouts.login = .seconds(3)
            $0.sm.limits.rosterItems = 8
            $0.sm.disabledModules = [.vcard]
            $0.sm.resourceConflict = .rename
            $0.router.limits.connections = 9
            $0.registration.enabled = true
            $0.sasl.mechanisms = [.plain]
            $0.sasl.iterations = 20_000
            $0.tls.minimumVersion = .tls13
            $0.tls.reloadInterval = .seconds(5)
            $0.log.level = .debug
            $0.paths.certificates = "/elsewhere"
            $0.components = [.init()]
            $0.domains[0].contacts.abuse = ["mailto:abuse@example.org"]
            $0.domains[0].certificate = "/c"
            $0.domains[0].key = "/k"
            $0.domains[0].registration = true
        }
        #expect(renewal.needsRestart == [])
        #expect(renewal.configuration.sm.disabledModules == [.vcard])
        #expect(renewal.configuration.domains[0].certificate == "/c")
        #expect(renewal.configuration.domains[0].contacts.abuse == ["mailto:abuse@example.org"])
        #expect(renewal.configuration.tls.reloadInterval == .seconds(5))
    }

    @Test(arguments: [
        (
            ComponentKind.router,
            ["http.router_port", "paths.run", "router.limits.internal_stanza_bytes", "router.listen"]
        ),
        (
            .c2s,
            [
                "c2s.listeners", "database", "http.c2s_port", "paths.run", "router.limits.internal_stanza_bytes",
                "router.listen", "secrets.c2s", "secrets.fake_salt",
            ]
        ),
        (
            .sm,
            [
                "database", "http.sm_port", "paths.run", "router.limits.internal_stanza_bytes", "router.listen",
                "secrets.sm",
            ]
        ),
    ])
    func whatIsBoundAtTheStartStaysAndIsNamed(kind: ComponentKind, expected: [String]) {
        let renewal = Self.renewed(kind) {
            $0.router.listen = ListenAddress(host: "127.0.0.1", port: 1)
            $0.router.limits.internalStanzaBytes = 32 << 20
            $0.c2s.listeners = []
            $0.database.queueLength = 1
            $0.paths.run = "/elsewhere"
            $0.secrets.c2s = "other"
            $0.secrets.sm = "other"
            $0.secrets.fakeSalt = "other"
            $0.http.routerPort = 1
            $0.http.c2sPort = 2
            $0.http.smPort = 3
        }
        #expect(renewal.needsRestart == expected)
        #expect(renewal.configuration.router.listen == JackdawConfiguration().router.listen)
        // The router reads the secrets of others again.
        #expect((renewal.configuration.secrets.sm == "other") == (kind != .sm))
    }

    @Test(arguments: everyKind) func domainsStayAndTheirSettingsAreTaken(kind: ComponentKind) {
        var old = JackdawConfiguration()
        old.domains = [HostedDomain(name: "a.example"), HostedDomain(name: "b.example")]
        let renewal = Self.renewed(kind, from: old) {
            $0.domains = [HostedDomain(name: "c.example"), HostedDomain(name: "b.example")]
            $0.domains[1].registration = true
        }
        #expect(renewal.needsRestart == ["domains"])
        #expect(renewal.configuration.domains.map(\.name) == ["a.example", "b.example"])
        #expect(renewal.configuration.domains[1].registration == true)
    }

    @Test func aDomainThatBecomesAComponentNeedsARestartAsAWhole() {
        var old = JackdawConfiguration()
        old.domains = [HostedDomain(name: "a.example"), HostedDomain(name: "b.example")]
        let renewal = Self.renewed(.router, from: old) {
            $0.domains.removeLast()
            var component = JackdawConfiguration.Component()
            component.names = ["b.example"]
            $0.components = [component]
        }
        #expect(renewal.needsRestart == ["components", "domains"])
        #expect(renewal.configuration.components == [])
    }

    @Test(arguments: everyKind) func aLimitThatTheLinksDoNotHoldYetStays(kind: ComponentKind) {
        let renewal = Self.renewed(kind) {
            $0.router.limits.internalStanzaBytes = 64 << 20
            $0.c2s.limits.stanzaBytes = 16 << 20
            $0.sm.limits.rosterBytes = 1 << 20
        }
        #expect(renewal.needsRestart == ["c2s.limits.stanza_bytes", "router.limits.internal_stanza_bytes"])
        #expect(renewal.configuration.c2s.limits.stanzaBytes == JackdawConfiguration().c2s.limits.stanzaBytes)
        #expect(renewal.configuration.sm.limits.rosterBytes == 1 << 20)
    }
}
