// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import TLS

/// Makes the connections of a chaos run's clients, with what they log in with. Confined to the generator's event loop.
struct ChaosConnector {
    struct Server: Sendable {
        let host: String
        let port: Int
    }

    private let options: LoadOptions
    private let eventLoop: any EventLoop
    private let passwords: SaltedPasswords
    private let tls: TLSContext?

    init(_ options: LoadOptions, on eventLoop: any EventLoop, passwords: SaltedPasswords) throws {
        self.options = options
        self.eventLoop = eventLoop
        self.passwords = passwords
        tls = options.noTLS ? nil : try TLSContext(client: .init(alpn: options.directTLS ? ["xmpp-client"] : []))
    }

    /// Connects the client to one of the servers of its place.
    func connect(
        _ client: ChaosClient,
        at place: ChaosFleet.Place,
        using generator: inout ChaosRandom,
        resumes: (token: String, received: UInt32)?
    ) -> ChaosConnection {
        var plan = options.plan
        (plan.fetchesRoster, plan.sendsPresence) = (false, false)
        (plan.streamManagement, plan.resumption) = (true, true)
        (plan.resource, plan.resumes) = ("chaos", resumes)
        let account = LoginStateMachine.Account(
            user: options.user(client.index + 1),
            domain: place.domain,
            password: options.password,
            mechanism: options.mechanism
        )
        let login = LoginStateMachine(account: account, plan: plan, isEncrypted: options.directTLS)
        let connection = ChaosConnection(
            owner: client,
            tls: tls,
            login: login,
            domain: place.domain,
            passwords: passwords
        )
        let server = place.servers.randomElement(using: &generator) ?? Server(host: options.host, port: options.port)
        open(connection, to: server, domain: place.domain)
        return connection
    }

    private func open(_ connection: ChaosConnection, to server: Server, domain: String) {
        let bound = NIOLoopBound(connection, eventLoop: eventLoop)
        let directTLS = options.directTLS ? tls : nil
        ClientBootstrap(for: connection, directTLS: directTLS, domain: domain, on: eventLoop)
            .connect(host: server.host, port: server.port)
            .whenFailure { bound.value.giveUp("\($0)") }
    }
}
