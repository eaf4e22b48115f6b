// SPDX-License-Identifier: Apache-2.0

/// The configuration of the whole suite, with every default; each process reads the same file and takes its part.
///
/// A section is a struct with its defaults in the initial values and its bounds in `read(_:)` below them.
/// `etc/jackdaw.yml` documents the same keys for people; a test holds the two together. Every path is absolute
/// or relative to the current directory once a file was read (`ConfigurationFile.load`).
package struct JackdawConfiguration: Sendable, Equatable {
    /// The hosted domains; the first is the main one.
    package var domains: [HostedDomain] = [HostedDomain()]
    package var paths = Paths()
    package var secrets = SecretFiles()
    package var database = Database()
    package var tls = TLS()
    package var sasl = SASL()
    package var registration = Registration()
    package var router = Router()
    /// The external components (XEP-0114) that may bind.
    package var components: [Component] = []
    package var c2s = C2S()
    package var sm = SM()
    package var s2s = S2S()
    package var log = Log()
    package var http = HTTP()
    package var supervisor = Supervisor()

    package init() {}

    /// The domain under which our own processes have their names on the router.
    package static let internalDomain = "jackdaw.internal"
    /// The most routers of one host: each process has a link to each.
    package static let mostRouters = 8
}

/// A domain that the suite serves.
package struct HostedDomain: Sendable, Equatable {
    /// Prepared (RFC 7622 §3.2).
    package var name = "localhost"
    /// PEM file of the certificate chain; nil: `<paths.certificates>/<dnsName>.pem`.
    package var certificate: String?
    /// PEM file of the private key; nil: `<paths.certificates>/<dnsName>.key`.
    package var key: String?
    /// Overrides `registration.enabled` for this domain.
    package var registration: Bool?
    package var contacts = ContactAddresses()

    package init(name: String = "localhost") {
        self.name = name
    }
}

/// The addresses to reach those who run a service (XEP-0157), each a list of URIs.
package struct ContactAddresses: Sendable, Equatable {
    package var abuse: [String] = []
    package var admin: [String] = []
    package var feedback: [String] = []
    package var sales: [String] = []
    package var security: [String] = []
    package var status: [String] = []
    package var support: [String] = []

    package init() {}

    /// The form's fields in XEP-0157's spelling ("abuse-addresses"), those with a value only.
    package var fields: [(name: String, values: [String])] {
        let all = [
            ("abuse-addresses", abuse), ("admin-addresses", admin), ("feedback-addresses", feedback),
            ("sales-addresses", sales), ("security-addresses", security), ("status-addresses", status),
            ("support-addresses", support),
        ]
        return all.filter { !$0.1.isEmpty }.map { (name: $0.0, values: $0.1) }
    }
}

extension JackdawConfiguration {
    /// Where things are.
    package struct Paths: Sendable, Equatable {
        /// Where the private database cluster has its socket; a short path.
        package var run = "run"
        /// Certificates and keys by domain, where a domain names none.
        package var certificates = "certificates"
        package var logs = "log"

        package init() {}
    }

    /// The files with the secrets, each of mode 0600.
    package struct SecretFiles: Sendable, Equatable {
        /// What C2S instances prove to the router.
        package var c2s = "secrets/router-c2s"
        package var sm = "secrets/router-sm"
        package var s2s = "secrets/router-s2s"
        package var ctl = "secrets/router-ctl"
        /// What routers prove to each other, where there are several.
        package var router = "secrets/router-router"
        /// The key of the salts that unknown users are shown, the same in every C2S.
        package var fakeSalt = "secrets/fake-salt"
        /// The key of the dialback keys (XEP-0185), the same in every S2S.
        package var dialback = "secrets/dialback"

        package init() {}
    }

    /// PostgreSQL.
    package struct Database: Sendable, Equatable {
        /// Connection string or URI for the SM's role; nil: the private cluster (see `smDatabase`).
        package var url: Secret?
        /// Likewise for the role that reads credentials only.
        package var credentialsURL: Secret?
        /// Connections for each lane of an SM.
        package var readConnections = 1
        package var writeConnections = 1
        package var credentialsConnections = 1
        package var connectTimeout: Duration = .seconds(10)
        package var statementTimeout: Duration = .seconds(10)
        /// Requests that may wait; at the bound a request fails and its sender gets a `wait` error.
        package var queueLength = 10_000
        package var reconnectDelayMaximum: Duration = .seconds(5)

        package init() {}
    }

    /// What is common to all TLS listeners.
    package struct TLS: Sendable, Equatable {
        package enum Version: String, Sendable, CaseIterable {
            case tls12 = "1.2"
            case tls13 = "1.3"
        }
        package var minimumVersion = Version.tls12
        /// OpenSSL's list for TLS 1.2.
        package var ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20"
        /// How often the certificate files are looked at.
        package var reloadInterval: Duration = .seconds(60)

        package init() {}
    }

    /// Mechanisms and stored credentials.
    package struct SASL: Sendable, Equatable {
        package enum Mechanism: String, Sendable, CaseIterable {
            case scramSHA512Plus = "SCRAM-SHA-512-PLUS"
            case scramSHA256Plus = "SCRAM-SHA-256-PLUS"
            case scramSHA1Plus = "SCRAM-SHA-1-PLUS"
            case scramSHA512 = "SCRAM-SHA-512"
            case scramSHA256 = "SCRAM-SHA-256"
            case scramSHA1 = "SCRAM-SHA-1"
            case plain = "PLAIN"
        }
        package var mechanisms = Mechanism.allCases
        /// The iteration count of new credentials.
        package var iterations = 10_000
        /// The counts that credentials from before still have.
        package var formerIterations: [Int] = []

        package init() {}
    }

    /// In-band registration (XEP-0077).
    package struct Registration: Sendable, Equatable {
        package var enabled = false
        /// Whether a user may change the password and remove the account in-band.
        package var passwordChange = true
        package var accountRemoval = true
        /// New accounts from one address.
        package var perAddress = 3
        /// New accounts from all addresses together.
        package var total = 100
        /// Tries of one address that make no account; a name that is taken can be found out by trying.
        package var failuresPerAddress = 20
        /// The time that the three count over.
        package var period: Duration = .seconds(3_600)
        package var passwordLengthMinimum = 8

        package init() {}
    }

    /// The levels and form of the log.
    package struct Log: Sendable, Equatable {
        package enum Level: String, Sendable, CaseIterable {
            case trace
            case debug
            case info
            case notice
            case warning
            case error
        }
        package enum Format: String, Sendable, CaseIterable {
            case text
            case json
        }
        package var level = Level.info
        package var format = Format.text

        package init() {}
    }

    /// The loopback HTTP endpoint; instance n of a component listens on its base port + n - 1.
    package struct HTTP: Sendable, Equatable {
        package var address = "127.0.0.1"
        package var routerPort = 15_100
        package var c2sPort = 15_200
        package var smPort = 15_300
        package var s2sPort = 15_400
        package var connections = 16
        package var idleTimeout: Duration = .seconds(10)

        package init() {}
    }

    /// What `scripts/supervisor` starts.
    package struct Supervisor: Sendable, Equatable {
        package var router = 1
        package var c2s = 1
        package var sm = 1
        /// 0: no federation.
        package var s2s = 1
        /// The longest pause before a dead process is started again.
        package var restartDelayMaximum: Duration = .seconds(30)
        package var logBytes = 10 << 20
        package var logFiles = 5

        package init() {}
    }
}
