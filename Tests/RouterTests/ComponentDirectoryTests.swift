// SPDX-License-Identifier: Apache-2.0

import Config
import Testing

@testable import Router

@Suite struct ComponentDirectoryTests {
    private let directory = TestRouter.directory()

    @Test(arguments: [
        ("c2s-1.jackdaw.internal", "c2s"), ("c2s-12.jackdaw.internal", "c2s"), ("sm-1.jackdaw.internal", "sm"),
        ("ctl-1.jackdaw.internal", "ctl"), ("ctl-x7y.jackdaw.internal", "ctl"),
        ("chess.localhost", "secret of chess.localhost"),
    ])
    func `a name has the secret of its component`(name: String, secret: String) {
        #expect(directory.grant(for: name)?.secret == Secret(secret))
    }

    @Test(arguments: [
        "", "localhost", "jackdaw.internal", "c2s.jackdaw.internal", "c2s-0.jackdaw.internal",
        "c2s-01.jackdaw.internal", "c2s-x.jackdaw.internal", "router-1.jackdaw.internal", "ctl-.a.jackdaw.internal",
        "x.c2s-1.jackdaw.internal", "c2s-1.jackdaw.internal.example.org", "sub.chess.localhost",
    ])
    func `nobody else may bind`(name: String) {
        #expect(directory.grant(for: name) == nil)
    }

    @Test func `only SM may declare the hosted domains`() {
        #expect(directory.grant(for: "sm-1.jackdaw.internal")?.names == ["localhost"])
        #expect(directory.grant(for: "c2s-1.jackdaw.internal")?.names == [])
        #expect(directory.grant(for: "ctl-1.jackdaw.internal")?.names == [])
    }

    @Test func `the default route needs the configuration's word and an internal component`() {
        #expect(directory.grant(for: "gate.localhost")?.mayBeDefaultRoute == true)
        #expect(directory.grant(for: "maps.localhost")?.mayBeDefaultRoute == false)
        #expect(directory.grant(for: "sm-1.jackdaw.internal")?.mayBeDefaultRoute == false)
    }

    @Test func `hosted domains, components and instance names are ours`() {
        for name in ["localhost", "chess.localhost", "c2s-9.jackdaw.internal", "jackdaw.internal"] {
            #expect(directory.isConfigured(name), "\(name)")
        }
        for name in ["example.org", "nowhere.localhost", "xjackdaw.internal"] {
            #expect(!directory.isConfigured(name), "\(name)")
        }
    }
}
