// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon
import Testing

@testable import S2S

@Suite struct CheckTests {
    private func finding(_ anchors: [String], requires: Bool) -> CheckFinding {
        var section = JackdawConfiguration.S2S()
        section.dns.trustAnchors = anchors
        var entry = JackdawConfiguration.RemoteDomain()
        entry.policy.dane = requires ? .required : .use
        section.domains = [entry]
        return S2SCheck.dnssec(section)
    }

    @Test func `Without its keys DNSSEC proves nothing, which is a fault where DANE is required`() {
        #expect(self.finding(["/nowhere/key"], requires: false).severity == .warning)
        let fault = self.finding(["/nowhere/key"], requires: true)
        #expect(fault.severity == .error)
        #expect(fault.text == "/nowhere/key cannot be read: where DANE is required nobody can be reached")
        #expect(self.finding([], requires: false).severity == .ok)
        #expect(self.finding([], requires: true).severity == .error)
        #expect(self.finding(["/etc/passwd"], requires: true).severity == .ok)
    }
}
