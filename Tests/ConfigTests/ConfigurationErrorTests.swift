// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Config

/// What a person who mistyped something reads.
@Suite struct ConfigurationErrorTests {
    static func lines(_ text: String) -> [String] {
        do throws(ConfigurationError) {
            _ = try ConfigurationFile.parse(Array(text.utf8), file: "j.yml", directory: "")
            return []
        } catch {
            return error.lines
        }
    }

    @Test(arguments: [
        ("routr:\n  listen: 127.0.0.1:1", "j.yml:1:1: unknown key 'routr', did you mean 'router'?"),
        (
            "c2s:\n  limits:\n    stanza-bytes: 1",
            "j.yml:3:5: unknown key 'c2s.limits.stanza-bytes', did you mean 'stanza_bytes'?"
        ),
        ("frobnicate: 1", "j.yml:1:1: unknown key 'frobnicate'"),
        (
            "log:\n  level: loud",
            "j.yml:2:10: log.level: one of trace, debug, info, notice, warning, error is expected, not 'loud'"
        ),
        ("log: loud", "j.yml:1:6: 'log': a section of keys is expected, not 'loud'"),
        ("domains: example.org", "j.yml:1:10: domains: a list of domains is expected, not 'example.org'"),
        (
            "router:\n  remote: [{address: nowhere}]",
            "j.yml:2:22: router.remote[0].address: a host with a port, such as router.example.org:5348 or"
                + " 192.0.2.1:5348, is expected, not 'nowhere'"
        ),
        (
            "router:\n  remote: [{address: 'a:1'}]",
            "j.yml:2:12: a remote router needs 'address' and 'certificate'"
        ),
        (
            "router:\n  tls_key: k",
            "j.yml:2:12: router.tls_key: tls_certificate and tls_key go together"
        ),
        (
            "supervisor:\n  router: 0",
            "j.yml:2:11: supervisor.router: must be 1 at least, since router.remote names no other"
        ),
        ("domains: []", "j.yml:1:10: domains: at least one domain is expected"),
        ("domains:\n  - certificate: x\n    key: y", "j.yml:2:5: a domain needs a 'name'"),
        (
            "domains: [a@b]",
            "j.yml:1:11: domains[0]: a domain name is expected, not 'a@b', which has a label that is not a host name's"
        ),
        (
            "domains:\n  - name: my_host",
            "j.yml:2:11: domains[0].name: a domain name is expected, not 'my_host', which has a label that is not"
        ),
        ("domains: [{name: ''}]", "j.yml:1:18: domains[0].name: a domain name is expected, not '', which is empty"),
        (
            "components:\n  - names: [a, b_c]\n    secret_file: s",
            "j.yml:2:16: components[0].names[1]: a domain name is expected, not 'b_c', which has a label that is not"
        ),
        (
            "sasl:\n  iterations: 10",
            "j.yml:2:15: sasl.iterations: a whole number from 4096 to 1000000 is expected, not '10'"
        ),
        (
            "sasl:\n  iterations:",
            "j.yml:2:14: sasl.iterations: a whole number from 4096 to 1000000 is expected, not nothing"
        ),
        (
            "sasl:\n  mechanisms: [SCRAM-SHA-256, MD5]",
            "j.yml:2:31: sasl.mechanisms[1]: mechanisms of SCRAM-SHA-512-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-1-PLUS, "
                + "SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1, PLAIN expected, not 'MD5'"
        ),
        (
            "c2s:\n  limits:\n    stanza_bytes: 1KiB",
            "j.yml:3:19: c2s.limits.stanza_bytes: a size from 10000B to 16MiB is expected, not '1KiB'"
        ),
        ("c2s:\n  resumption_time: 2d", "j.yml:2:20: c2s.resumption_time: a time from 0s to 1d is expected, not '2d'"),
        (
            "registration:\n  enabled: perhaps",
            "j.yml:2:12: registration.enabled: true or false is expected, not 'perhaps'"
        ),
        (
            "router:\n  listen: localhost:1",
            "j.yml:2:11: router.listen: an address with a port, such as 127.0.0.1:5347 or [::]:5222, is expected, not 'localhost:1'"
        ),
        ("http:\n  address: 0.0.0.0", "j.yml:2:12: http.address: a loopback address (127.0.0.0/8 or ::1) is expected"),
        ("supervisor:\n  sm: 17", "j.yml:2:7: supervisor.sm: a whole number from 1 to 16 is expected, not '17'"),
        ("log: {level: info", "j.yml:2:1: did not find expected ',' or '}'"),
        ("a: 1\na: 2", "j.yml:2:1: the key 'a' is there twice"),
        ("a: &x 1", "j.yml:1:4: anchors (&name) are not read here; a text that starts with & needs quotes"),
        ("a: *x", "j.yml:1:4: aliases (*name) are not read here; a text that starts with * needs quotes"),
        ("a: !!str x", "j.yml:1:4: tags (!name) are not read here; a text that starts with ! needs quotes"),
        ("[a]: 1", "j.yml:1:1: a key must be a plain word"),
        ("log:\n---\nlog:", "j.yml:2:1: a second document; only one is read"),
        ("- a", "j.yml:1:1: the file: a section of keys is expected, not a list"),
        ("database:\n  url: host=x", "j.yml:2:8: database.url: database.url and database.credentials_url go together"),
        ("domains: [a, A]", "j.yml: domains[1].name: 'a' is there twice"),
        ("domains: [müller.example, xn--mller-kva.example]", "j.yml: domains[1].name: 'müller.example' is there twice"),
        ("domains: [c2s-1.jackdaw.internal]", "j.yml: domains[0].name: 'jackdaw.internal' is for our own processes"),
        ("domains:\n  - name: a\n    key: x", "j.yml:3:10: domains[0].key: certificate and key go together"),
        (
            "components:\n  - names: [localhost]\n    secret_file: s",
            "j.yml:2:12: components[0].names: 'localhost' has another owner"
        ),
        ("components:\n  - names: [a]", "j.yml:2:5: a component needs 'names' and 'secret_file'"),
        (
            "components:\n  - names: []\n    secret_file: s",
            "j.yml:2:12: components[0].names: at least one name is expected"
        ),
        ("c2s:\n  listeners: []", "j.yml:2:14: c2s.listeners: at least one listener is expected"),
        ("c2s:\n  listeners:\n    - tls: direct", "j.yml:3:7: a listener needs an 'address'"),
        (
            "sasl:\n  former_iterations: [4096, many]",
            "j.yml:2:29: sasl.former_iterations[1]: whole numbers from 1 to 1000000 expected"
        ),
        (
            "c2s:\n  limits:\n    stanza_bytes: 4MiB",
            "j.yml:3:19: c2s.limits.stanza_bytes: must not exceed half of router.limits.internal_stanza_bytes"
        ),
        (
            "sm:\n  limits:\n    roster_bytes: 3MiB",
            "j.yml:3:19: sm.limits.roster_bytes: must not exceed half of router.limits.internal_stanza_bytes"
        ),
        (
            "router:\n  limits:\n    stanza_bytes: 3MiB",
            "j.yml:3:19: router.limits.stanza_bytes: must not exceed half of router.limits.internal_stanza_bytes"
        ),
        (
            "c2s:\n  limits:\n    tag_bytes: 256KiB",
            "j.yml:3:16: c2s.limits.tag_bytes: must not exceed 1/32 of router.limits.internal_stanza_bytes"
        ),
        (
            "c2s:\n  limits:\n    output_bytes: 1MiB",
            "j.yml:3:19: c2s.limits.output_bytes: must be at least router.limits.internal_stanza_bytes"
        ),
        (
            "router:\n  limits:\n    queue_bytes: 8MiB\n    internal_stanza_bytes: 3MiB",
            "j.yml:4:28: router.limits.internal_stanza_bytes: must not exceed a quarter of queue_bytes"
        ),
    ])
    func mistakeIsNamedWithItsPlace(_ text: String, _ expected: String) {
        let lines = Self.lines(text)
        #expect(lines.contains { $0.hasPrefix(expected) }, "\(lines)")
    }

    @Test func allMistakesAreToldAtOnce() {
        let lines = Self.lines("log:\n  level: loud\n  frmat: text\nsasl:\n  iterations: x\nnothing: 1\n")
        #expect(lines.map { $0.prefix(9) } == ["j.yml:2:1", "j.yml:3:3", "j.yml:5:1", "j.yml:6:1"])
    }

    @Test func wrongDatabaseURLIsNotPrinted() {
        let lines = Self.lines("database:\n  url: postgresql://sm:hunter2@db/jackdaw\n")
        #expect(lines.count == 1)
        #expect(!lines.joined().contains("hunter2"))
    }
}
