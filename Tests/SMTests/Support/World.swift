// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import NIOEmbedded
import Testing
import XMPPCore

@testable import SM

/// A server with a fake link and a fake database, on a loop whose time the test moves.
final class World: LinkPort {
    static let c2s = "c2s-1.jackdaw.internal"
    static let sm1 = "sm-1.jackdaw.internal"
    static let sm2 = "sm-2.jackdaw.internal"

    let loop: EmbeddedEventLoop
    let database: FakeDatabase
    let instanceName: String
    /// Microseconds since 1970.
    var time: Int64 = 1_700_000_000_000_000
    /// What went to other domains.
    private(set) var outside: [String] = []
    var said: [(message: SessionMessage, instance: String)] = []
    private var made: SMServer?
    var isUp = true
    private var nameCounter = 0

    /// Other servers, which get what is said to them; `nil` for one that reads nothing.
    var peers: [String: World] = [:]

    /// - Parameter first: a server that is there already; loop, time and database are its own.
    init(
        users: [String] = [],
        beside first: World? = nil,
        configure: (inout JackdawConfiguration) -> Void = { _ in }
    ) {
        loop = first?.loop ?? EmbeddedEventLoop()
        database = first?.database ?? FakeDatabase(eventLoop: loop)
        instanceName = first == nil ? Self.sm1 : Self.sm2
        nameCounter = first == nil ? 0 : 1_000
        var configuration = JackdawConfiguration()
        configuration.domains = [HostedDomain(name: "localhost"), HostedDomain(name: "second.example")]
        configure(&configuration)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let server = SMServer(
            configuration: configuration,
            eventLoop: loop,
            link: self,
            stores: database.stores,
            metrics: SMMetrics(MetricsRegistry()),
            logger: logger,
            now: { [unowned self] in first?.time ?? time }
        )
        made = server
        let loop = loop
        server.accounts = Accounts(server) { password in
            loop.makeCompletedFuture { try Accounts.credentials(of: password, iterations: 1) }
        }
        server.start()
        server.mapChanged(OwnershipMap(epoch: 1, instances: [Self.sm1]))
        server.instancesComplete()
        for user in users { add(user) }
        connect(Self.c2s)
    }

    var server: SMServer {
        guard let made else { fatalError("used before it was made") }
        return made
    }

    func add(_ user: String) {
        database.accounts[Self.bare(user)] = FakeDatabase.Account()
    }

    /// Puts a contact with a subscription into a user's roster, as stored.
    func befriend(_ user: String, _ contact: String, _ subscription: String) {
        let row = RosterItemRow(
            contact: contact,
            name: nil,
            subscription: subscription,
            ask: false,
            approved: false,
            groups: [],
            version: 1
        )
        database.accounts[Self.bare(user)]?.items[contact] = row
        database.accounts[Self.bare(user)]?.version = 1
    }

    /// A C2S is bound at the router.
    func connect(_ name: String, epoch: String = "e1", kind: LinkInstance.Kind = .internal) {
        server.instanceAvailable(LinkInstance(name: name, epoch: epoch, kind: kind, names: []))
    }

    func disconnect(_ name: String, kind: LinkInstance.Kind = .internal) {
        server.instanceUnavailable(LinkInstance(name: name, epoch: "e1", kind: kind, names: []))
    }

    func advance(seconds: Int64) {
        time += seconds * 1_000_000
        loop.advanceTime(by: .seconds(seconds))
    }

    /// A stanza from a component or another server.
    func fromOutside(_ xml: String) throws {
        server.received(try Self.stanza(xml))
        loop.run()
    }

    func takeOutside() -> [String] {
        defer { outside = [] }
        return outside
    }

    func name() -> String {
        nameCounter += 1
        return "session\(nameCounter)"
    }

    static func bare(_ text: String) -> BareJID {
        guard let jid = try? BareJID(text) else { fatalError("\(text) is no bare JID") }
        return jid
    }

    static func stanza(_ xml: String) throws -> Stanza {
        try #require(SpoolCodec.decode(ByteBuffer(string: xml)))
    }

    static func text(_ stanza: Stanza) -> String {
        String(buffer: SpoolCodec.encode(stanza))
    }

    /// The bytes of all that was said to an instance.
    func sentBytes(to instance: String) -> Int { sentTo[instance, default: 0] }

    // MARK: - LinkPort

    /// What the router takes and the link holds, by default (`InstanceLink.Configuration`, `RouterLimits`).
    private static let queueBytes = 16 << 20
    private static let stanzaBytes = 4 << 20
    /// Bytes that the link does not get rid of.
    var stuckBytes = 0
    /// Whether the link writes nothing: what is sent stays queued.
    var isStuck = false {
        didSet { if !isStuck { unwritten = 0 } }
    }
    /// How often too much was sent, so that the link was reset; and how many stanzas no router would have taken.
    private(set) var resets = 0
    private(set) var oversized = 0
    private var unwritten = 0
    private var sentTo: [String: Int] = [:]
    /// Instances that read nothing, and so echo nothing.
    var silentInstances: Set<String> = [] {
        didSet { answerEchoes() }
    }
    private var echoes: [(id: String, instance: String)] = []

    var queuedBytes: Int { stuckBytes + unwritten }

    /// As the real link: what is sent is written at the end of this turn of the loop, and a full queue resets.
    private func carry(_ size: Int) -> Bool {
        guard isUp else { return false }
        unwritten += size
        if size > Self.stanzaBytes { oversized += 1 }
        if queuedBytes > Self.queueBytes {
            resets += 1
            isUp = false
            loop.execute {
                self.server.failOutside()
                self.disconnect(Self.c2s)
            }
        }
        if !isStuck { loop.execute { self.unwritten = 0 } }
        return true
    }

    /// Instances that are away, which is not told yet.
    var awayInstances: Set<String> = []

    func hasWay(to instance: String) -> Bool { !awayInstances.contains(instance) }

    func send(_ stanza: Stanza) -> Bool {
        guard carry(stanza.encodedSize) else { return false }
        outside.append(Self.text(stanza))
        return true
    }

    func send(_ message: SessionMessage, to instance: String) -> Bool {
        var size = 200
        if case .stanza(let stanza, _, _) = message.content { size += stanza.encodedSize }
        guard carry(size) else { return false }
        sentTo[instance, default: 0] += size
        if let peer = peers[instance] {
            loop.execute { peer.server.received(message, from: self.instanceName) }
        } else {
            said.append((message, instance))
        }
        return true
    }

    func send(_ request: AdminRequest, to instance: String) -> Bool {
        guard carry(200) else { return false }
        if let peer = peers[instance] {
            loop.execute { _ = peer.respond(to: request) }
            return true
        }
        echoes.append((request.id, instance))
        loop.execute { self.answerEchoes() }
        return true
    }

    /// What the server answers to `jackdawctl`, or to another server.
    func respond(to request: AdminRequest) -> EventLoopFuture<AdminResponse> {
        let responder = AdminResponder(eventLoop: loop) { [] }
        guard let accounts = server.accounts else { fatalError("used before it was made") }
        AdministrationCommands(server, accounts).register(at: responder)
        return responder.respond(to: request)
    }

    private func answerEchoes() {
        let due = echoes.filter { !silentInstances.contains($0.instance) }
        echoes.removeAll { !silentInstances.contains($0.instance) }
        for echo in due { server.received(AdminResponse(id: echo.id), from: echo.instance) }
    }

    /// What was said to the connection since the last call.
    func take(session: String) -> [SessionMessage] {
        let mine = said.filter { $0.message.session == session }.map(\.message)
        said.removeAll { $0.message.session == session }
        return mine
    }
}
