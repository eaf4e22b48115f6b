// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ComponentLink
import Config
import Daemon

/// What every command takes.
struct CommonOptions: ParsableArguments {
    @Option(name: .customLong("config"), help: "The configuration; else $JACKDAW_CONFIG, else var/jackdaw.yml.")
    var file: String?

    @Flag(help: "Prints JSON.")
    var json = false

    @Option(help: "Seconds to wait for an answer.")
    var timeout = 15

    func validate() throws {
        guard (1...3_600).contains(timeout) else { throw ValidationError("--timeout is from 1 to 3600 seconds.") }
    }

    /// The configuration, or the end with its mistakes on stderr.
    func load() throws -> ConfigurationFile.Loaded {
        do throws(ConfigurationError) {
            return try ConfigurationFile.load(argument: file)
        } catch {
            throw Refusal(.configuration, error.description)
        }
    }
}

extension JackdawConfiguration {
    /// The hosted domain whose session manager answers for a domain: itself, or for one of former times the main one.
    func nearest(_ domain: String) -> String {
        domains.contains { $0.name == domain } ? domain : mainDomain
    }

    /// Refuses a domain that the suite does not host, before anybody is asked.
    func requireHosted(_ domain: String) throws {
        guard !domains.contains(where: { $0.name == domain }) else { return }
        let known = domains.map(\.name).joined(separator: ", ")
        throw Refusal(refused: "'\(domain)' is not a domain of this suite, which hosts \(known)")
    }
}

/// Why the tool ends without having done what it was asked.
struct Refusal: Error {
    let code: Int32
    let text: String
    private(set) var isAbsence = false

    /// The suite said no.
    static let refused: Int32 = 1

    init(_ code: Daemon.ExitCode, _ text: String) {
        self.code = code.rawValue
        self.text = text
    }

    init(refused text: String) {
        self.code = Self.refused
        self.text = text
    }

    /// The suite said no, with a reason.
    init(_ failure: AdminResponse.Failure) {
        self.init(refused: "\(failure.text) (\(failure.condition))")
    }

    /// The same in other words.
    init(_ refusal: Refusal, _ text: String) {
        self.code = refusal.code
        self.text = text
        self.isAbsence = refusal.isAbsence
    }

    /// The process that was asked is not there: it may be asked again when it is, or another one.
    static func absent(_ text: String) -> Refusal {
        var refusal = Refusal(.unavailable, text)
        refusal.isAbsence = true
        return refusal
    }
}
