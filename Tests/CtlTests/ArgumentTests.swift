// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Config
import Testing
import XMPPCore

@testable import Ctl

/// What the command line may say, and the exit code of what it may not.
@Suite struct ArgumentTests {
    /// The exit code of parsing alone; nil: a command that would run.
    private func code(_ arguments: [String]) -> Int32? {
        do {
            var command = try Main.parseAsRoot(arguments)
            // Help is a command that ends the tool when it runs.
            guard !(command is any AsyncParsableCommand) else { return nil }
            try command.run()
            return nil
        } catch {
            return Main.exitCode(for: error).rawValue
        }
    }

    @Test(arguments: [
        ["user", "add", "alice@localhost"], ["user", "add", "alice@localhost", "--password", "x", "--json"],
        ["user", "passwd", "alice@localhost", "--password-stdin"], ["user", "remove", "alice@localhost"],
        ["user", "list"], ["user", "list", "localhost", "--timeout", "3600"], ["session", "list"],
        ["session", "list", "alice@localhost"], ["session", "kick", "alice@localhost/phone"], ["component", "list"],
        ["status", "--config", "/etc/jackdaw.yml"], ["check", "--json"], ["config"],
    ])
    func whatIsDocumentedIsUnderstood(_ arguments: [String]) {
        #expect(code(arguments) == nil)
    }

    @Test(arguments: [
        ["user", "add"], ["user", "add", "a@b", "c@d"], ["user", "frobnicate"], ["frobnicate"], ["user", "remove"],
        ["session", "kick"], ["status", "--josn"], ["status", "--timeout", "0"], ["status", "--timeout", "3601"],
        ["status", "--timeout", "x"], ["user", "add", "a@b", "--password", "x", "--password-stdin"],
    ])
    func whatIsNotUnderstoodIsUsage(_ arguments: [String]) {
        #expect(code(arguments) == 64)
    }

    @Test(arguments: [["--help"], ["--version"], ["user", "add", "--help"], ["help", "session"]])
    func helpIsNoMistake(_ arguments: [String]) {
        #expect(code(arguments) == 0)
    }

    @Test func optionsAreWhereTheyAreLookedFor() throws {
        let command = try Main.parseAsRoot(["user", "add", "alice@localhost", "--password", "x", "--config", "j.yml"])
        let add = try #require(command as? UserCommand.Add)
        #expect(add.user == "alice@localhost" && add.password.password == "x" && add.common.file == "j.yml")
        #expect(!add.common.json && add.common.timeout == 15)
    }

    @Test(arguments: [
        ("alice@localhost", "alice@localhost"), ("Alice@LOCALHOST", "alice@localhost"),
        ("straße@müller.example", "straße@müller.example"),
    ])
    func addressIsPrepared(_ text: String, _ expected: String) throws {
        #expect(try UserCommand.bareJID(text).description == expected)
    }

    @Test(arguments: ["", "alice", "localhost", "alice@localhost/phone", "@localhost", "a b@localhost", "a@", "a@b@c"])
    func whatIsNoAccountIsUsage(_ text: String) {
        #expect(refusal { _ = try UserCommand.bareJID(text) }?.code == 64)
    }

    @Test(arguments: ["", "@", "a b", "alice@localhost", "a/b"])
    func whatIsNoDomainIsUsage(_ text: String) {
        #expect(refusal { _ = try UserCommand.domain(text) }?.code == 64)
    }

    @Test func foreignDomainsAreRefusedBeforeAnybodyIsAsked() throws {
        var configuration = JackdawConfiguration()
        configuration.domains = [HostedDomain(name: "one.example"), HostedDomain(name: "müller.example")]
        try configuration.requireHosted("one.example")
        try configuration.requireHosted(UserCommand.domain("MÜLLER.example"))
        for foreign in ["two.example", "sub.one.example", "example", "localhost"] {
            let refusal = try #require(refusal { try configuration.requireHosted(foreign) })
            #expect(refusal.code == 1)
            #expect(refusal.text.hasPrefix("'\(foreign)' is not a domain of this suite"))
            #expect(refusal.text.hasSuffix("one.example, müller.example"))
        }
    }

    @Test func aConfigurationWithMistakesIsOne() throws {
        var options = CommonOptions()
        options.file = "/nonexistent/jackdaw.yml"
        let refusal = try #require(refusal { _ = try options.load() })
        #expect(refusal.code == 78 && refusal.text.contains("/nonexistent/jackdaw.yml"))
    }
}

/// What a body refuses, nil if it does not.
func refusal(_ body: () throws -> Void) -> Refusal? {
    do {
        try body()
        return nil
    } catch {
        return error as? Refusal
    }
}
