// SPDX-License-Identifier: Apache-2.0

import Config
import XML
import XMPPCore

/// The modules in their order, indexed by what each wants to see.
///
/// Confined to the server's event loop; made at the start, and anew from the same modules when the configuration
/// turns some of them off or on.
struct ModuleChain {
    /// One row of the table.
    struct Entry: Sendable {
        /// The name under `sm.modules` that turns it off; nil for what RFC 6121 needs.
        let key: JackdawConfiguration.SMModule?
        let make: @Sendable (SMServer) -> any SMModule

        init(_ key: JackdawConfiguration.SMModule? = nil, _ make: @escaping @Sendable (SMServer) -> any SMModule) {
            self.key = key
            self.make = make
        }
    }

    /// Every module of the server. The order counts where several see the same stanza: the first that does not pass
    /// decides.
    static let table: [Entry] = [
        // Who is blocked is refused before anybody else looks.
        Entry(.blocking) { BlockingModule($0) },
        Entry(.lastActivity) { LastActivityModule($0) },
        Entry { SubscriptionModule($0, RosterChanges($0)) },
        Entry { PresenceModule($0) },
        Entry { RosterModule($0, RosterChanges($0)) },
        Entry { StanzaIDsModule($0) },
        Entry { DelayModule($0) },
        Entry(.offline) { OfflineMessagesModule($0) },
        Entry { LegacySessionModule($0) },
        Entry { RegistrationModule($0) },
        Entry { DiscoModule($0) },
        Entry(.contacts) { ContactAddressesModule($0) },
        Entry(.vcard) { VCardModule($0) },
        Entry(.privateStorage) { PrivateStorageModule($0) },
        Entry(.version) { VersionModule($0) },
        Entry(.time) { EntityTimeModule($0) },
        Entry(.ping) { PingModule($0) },
    ]

    let modules: [any SMModule]
    private let messageFromClient: [any SMModule]
    private let presenceFromClient: [any SMModule]
    private let iqFromClient: [any SMModule]
    private let messageToUser: [any SMModule]
    private let presenceToUser: [any SMModule]
    private let iqToUser: [any SMModule]
    private let server: [String: [any SMModule]]
    private let account: [String: [any SMModule]]

    init(_ modules: [any SMModule]) {
        self.modules = modules
        messageFromClient = modules.filter { $0.points.contains(.messageFromClient) }
        presenceFromClient = modules.filter { $0.points.contains(.presenceFromClient) }
        iqFromClient = modules.filter { $0.points.contains(.iqFromClient) }
        messageToUser = modules.filter { $0.points.contains(.messageToUser) }
        presenceToUser = modules.filter { $0.points.contains(.presenceToUser) }
        iqToUser = modules.filter { $0.points.contains(.iqToUser) }
        server = Self.index(modules) { $0.serverNamespaces }
        account = Self.index(modules) { $0.accountNamespaces }
    }

    /// A module and the name that turns it off.
    typealias Made = (key: JackdawConfiguration.SMModule?, module: any SMModule)

    /// The table's modules, those too that are off: they keep what they know until they are turned on.
    static func makeModules(for server: SMServer) -> [Made] {
        table.map { (key: $0.key, module: $0.make(server)) }
    }

    /// The chain of the modules that the configuration does not turn off.
    init(_ modules: [Made], _ configuration: JackdawConfiguration.SM) {
        self.init(modules.filter { $0.key.map(configuration.isEnabled) ?? true }.map(\.module))
    }

    func fromClient(_ passage: Passage, session: Session) -> Verdict {
        let asked =
            switch passage.stanza.kind {
            case .message: messageFromClient
            case .presence: presenceFromClient
            case .iq: iqFromClient
            }
        return Self.first(asked) { $0.fromClient(passage, session: session) }
    }

    func toUser(_ passage: Passage, user: User) -> Verdict {
        let asked =
            switch passage.stanza.kind {
            case .message: messageToUser
            case .presence: presenceToUser
            case .iq: iqToUser
            }
        return Self.first(asked) { $0.toUser(passage, user: user) }
    }

    func requestToServer(_ passage: Passage, _ request: Element, domain: String) -> Verdict {
        Self.first(server[request.namespace] ?? []) { $0.requestToServer(passage, request, domain: domain) }
    }

    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict {
        Self.first(account[request.namespace] ?? []) { $0.requestToAccount(passage, request, user: user) }
    }

    /// The error for a request to an account of somebody else that only its owner may make.
    func refusalOfStrangers(_ stanza: Stanza) -> StanzaError? {
        guard let request = stanza.payloadTag else { return nil }
        for module in account[request.namespace] ?? [] {
            if let error = module.refusalOfStrangers(name: request.name, type: stanza.type) { return error }
        }
        return nil
    }

    /// The first module of this type, for those that work together.
    func module<Module: SMModule>(_ type: Module.Type) -> Module? {
        for case let module as Module in modules { return module }
        return nil
    }

    private static func first(_ modules: [any SMModule], _ ask: (any SMModule) -> Verdict) -> Verdict {
        for module in modules {
            let verdict = ask(module)
            if verdict != .pass { return verdict }
        }
        return .pass
    }

    private static func index(
        _ modules: [any SMModule],
        _ namespaces: (any SMModule) -> [String]
    ) -> [String: [any SMModule]] {
        var index: [String: [any SMModule]] = [:]
        for module in modules {
            for namespace in namespaces(module) { index[namespace, default: []].append(module) }
        }
        return index
    }
}
