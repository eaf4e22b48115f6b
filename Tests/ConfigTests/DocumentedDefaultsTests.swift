// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Config

/// `etc/jackdaw.yml` is the documentation of the keys: it must say what the code does.
@Suite struct DocumentedDefaultsTests {
    static let file: [UInt8] = {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        return (try? SmallFile.read("/\(root)/etc/jackdaw.yml", limit: 1 << 20).bytes) ?? []
    }()

    @Test func documentedValuesAreTheBuiltInDefaults() throws {
        try #require(!Self.file.isEmpty)
        let documented = try ConfigurationFile.parse(Self.file, file: "etc/jackdaw.yml", directory: "")
        #expect(documented.configuration == JackdawConfiguration())
    }

    @Test func noKeyIsMissing() throws {
        let documented = try ConfigurationFile.parse(Self.file, file: "etc/jackdaw.yml", directory: "")
        #expect(documented.absentKeys == [])
    }

    @Test func exampleOfAComponentShowsEveryKeyOfOne() throws {
        let text = String(decoding: Self.file, as: UTF8.self)
        let lines = text.split(separator: "\n").drop { !$0.hasPrefix("# External components") }.dropFirst()
        let example = lines.prefix { $0.hasPrefix("#   ") }.map { $0.dropFirst(2) }
        let document = "components:\n" + example.joined(separator: "\n")
        let result = try ConfigurationFile.parse(Array(document.utf8), file: "example", directory: "")
        #expect(result.absentKeys.filter { $0.hasPrefix("components") } == [])
        #expect(result.configuration.components.first?.names == ["irc.example.org"])
    }

    @Test func exampleOfARemoteRouterShowsEveryKeyOfOne() throws {
        let text = String(decoding: Self.file, as: UTF8.self)
        let lines = text.split(separator: "\n").drop { !$0.contains("# Routers on other hosts") }.dropFirst()
        let example = lines.prefix { $0.hasPrefix("  #   ") }.map { $0.dropFirst(4) }
        let document = "router:\n  remote:\n" + example.map { "  \($0)" }.joined(separator: "\n")
        let result = try ConfigurationFile.parse(Array(document.utf8), file: "example", directory: "")
        #expect(result.absentKeys.filter { $0.hasPrefix("router.remote") } == [])
        #expect(result.configuration.router.remote.first?.address.port == 5348)
    }

    @Test func everyKeyHasAReasonNearby() {
        // A comment at most three lines above, or at its section's head: a key nobody explains is a key missing.
        let lines = String(decoding: Self.file, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        var lastComment = 0
        for (index, line) in lines.enumerated() {
            if line.contains("#") { lastComment = index }
            let isKey = line.contains(":") && !line.contains("#") && !line.hasSuffix(":")
            if isKey { #expect(index - lastComment <= 8, "line \(index + 1): \(line)") }
        }
    }

    @Test func emptyFileMeansTheDefaultsBesideIt() throws {
        let loaded = try ConfigurationFile.parse([], file: "x", directory: "/srv/jackdaw").configuration
        #expect(loaded.paths.run == "/srv/jackdaw/run")
        #expect(loaded.secrets.c2s == "/srv/jackdaw/secrets/router-c2s")
        #expect(loaded.certificateFiles(for: HostedDomain()).certificate == "/srv/jackdaw/certificates/localhost.pem")
        #expect(loaded.smDatabase.revealed == "host='/srv/jackdaw/run' dbname=jackdaw user=jackdaw_sm")
    }
}
