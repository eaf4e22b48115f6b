// SPDX-License-Identifier: Apache-2.0

import DequeModule
import NIOCore
import XMPPCore

@testable import XML

/// A client with stream management (XEP-0198): it sends numbered messages, acknowledges, loses its connection, resumes,
/// or logs in anew where that fails. What becomes of its messages it tells the records.
final class SimulatedClient {
    enum Phase: Equatable {
        case offline
        /// The stream is open; the features are awaited.
        case opening
        case resuming
        case binding
        case online
    }

    let index: Int
    let user: BareJID
    unowned let world: SimulatedWorld
    private(set) var phase = Phase.offline
    private(set) var wire: ClientWire?
    private var reader: StreamReader?
    /// The stanzas since `<enable/>` that are not acknowledged; nil: none that counts.
    private var unacknowledged: Deque<(text: String, message: MessageKey?)> = []
    private var acknowledgedCount: UInt32 = 0
    /// Stanzas that it got since `<enable/>`, and how many of them it acknowledged.
    private var received: UInt32 = 0
    private var told: UInt32 = 0
    private var token: String?
    private var isEnabled = false
    /// Which of its sessions this is.
    private(set) var session = 0
    /// Whether it answers requests for an acknowledgement by itself.
    let isPrompt: Bool
    private(set) var phaseSince: Int64 = 0
    /// The C2S to which it connected last, and the one where its session was last.
    private weak var edge: SimulatedEdge?
    private weak var home: SimulatedEdge?
    private var brokenSince: Int64 = 0
    /// A resumption broke before its answer: who has the session, the client cannot know.
    private var isResumptionInDoubt = false
    /// A resumption or bind of this session broke before its answer: it may come late, and take what a newer one has.
    private var hasAbandonedRequest = false
    private var isDisplaced = false

    init(_ index: Int, user: BareJID, isPrompt: Bool, in world: SimulatedWorld) {
        self.index = index
        self.user = user
        self.isPrompt = isPrompt
        self.world = world
    }

    var isQuiet: Bool { phase == .online && isEnabled && unacknowledged.isEmpty && told == received }
    var summary: String {
        "client \(index): \(phase), \(unacknowledged.count) unacknowledged, \(received - told) to acknowledge"
    }

    private func trace(_ line: () -> String) { world.network.trace { "client \(self.index): \(line())" } }

    private func turn(to phase: Phase) {
        self.phase = phase
        phaseSince = world.network.now
    }

    // MARK: What it does

    func connect(to edge: SimulatedEdge) {
        guard phase == .offline, let wire = edge.connect(user) else { return }
        trace { "connects to \(edge.name)" }
        self.wire = wire
        self.edge = edge
        reader = StreamReader(trust: .internalLink, contentNamespaces: [Namespace.client])
        turn(to: .opening)
        write(Self.header)
    }

    private static let header =
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='localhost' version='1.0' "
        + "xmlns:stream='http://etherx.jabber.org/streams'>"

    func send(to other: SimulatedClient) {
        guard phase == .online else { return }
        let key = world.records.send(from: index, to: world.index(of: other.user))
        let text = "<message to='\(other.user)' type='chat' id='\(key)'><body>x</body></message>"
        trace { "sends \(key)" }
        count(text, key)
    }

    private func count(_ text: String, _ message: MessageKey?) {
        unacknowledged.append((text, message))
        write(text)
    }

    func acknowledge() {
        guard phase == .online, isEnabled else { return }
        told = received
        write("<a xmlns='urn:xmpp:sm:3' h='\(received)'/>")
    }

    func request() {
        if phase == .online, isEnabled { write("<r xmlns='urn:xmpp:sm:3'/>") }
    }

    /// Its connection breaks.
    func cut(serverReads: Int) {
        guard let wire else { return }
        trace { "loses its connection" }
        wire.cut(serverReads: serverReads)
        disconnected()
    }

    /// It ends its stream in order: what is not acknowledged is in doubt.
    func close() {
        guard phase == .online else { return }
        trace { "closes" }
        write("</stream:stream>")
        wire?.cut(serverReads: .max)
        disconnected()
        forgetSession()
    }

    private func disconnected() {
        if phase == .online { brokenSince = world.network.now }
        if phase == .resuming {
            isResumptionInDoubt = true
        }
        if phase == .resuming || phase == .binding { hasAbandonedRequest = true }
        isDisplaced = false
        wire = nil
        reader = nil
        turn(to: .offline)
        if !isEnabled { forgetSession() }
    }

    private func write(_ text: String) { wire?.write(ByteBuffer(string: text)) }

    // MARK: What it hears

    /// Reads what has come; false if that was nothing.
    func read() -> Bool {
        guard let wire else { return false }
        var hasMoved = false
        while let bytes = wire.read(), let reader {
            hasMoved = true
            reader.receive(bytes)
            while self.wire === wire, let event = try? reader.next() {
                switch event {
                case .element(let element): take(element)
                case .streamOpened, .route: break
                case .streamClosed: break
                }
            }
        }
        if self.wire === wire, wire.isEnded {
            trace { "is disconnected" }
            if phase == .online, !wire.isServerGone, !isDisplaced { world.blame("client \(index) is disconnected") }
            disconnected()
            return true
        }
        return hasMoved
    }

    private func take(_ element: StreamElement) {
        switch element.name {
        case "stream:features", "features": featuresCame()
        case "message": messageCame(element)
        case "iq": iqCame(element)
        case "presence": countStanza()
        case "a": acknowledged(UInt32(element["h"] ?? "") ?? 0)
        case "r": if isPrompt { acknowledge() }
        case "enabled":
            token = element["id"]
            isEnabled = true
        case "resumed": resumed(UInt32(element["h"] ?? "") ?? 0)
        case "failed": resumptionFailed(element["h"].flatMap { UInt32($0) })
        case "error", "stream:error":
            trace { "hears \(String(buffer: element.bytes))" }
            // It is there, and so is its C2S: nothing may end its session.
            let error = String(buffer: element.bytes)
            isDisplaced = hasAbandonedRequest && error.contains("<conflict")
            if phase == .online, !isDisplaced { world.blame("client \(index) is dropped: \(error)") }
        default: trace { "hears \(String(buffer: element.bytes))" }
        }
    }

    private func featuresCame() {
        guard phase == .opening else { return }
        if let token {
            turn(to: .resuming)
            write("<resume xmlns='urn:xmpp:sm:3' previd='\(token)' h='\(received)'/>")
        } else {
            bind()
        }
    }

    private func bind() {
        turn(to: .binding)
        write(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r\(index)</resource></bind></iq>"
        )
    }

    private func iqCame(_ element: StreamElement) {
        guard phase == .binding else { return countStanza() }
        guard element["type"] == "result" else {
            trace { "cannot bind" }
            wire?.cut(serverReads: .max)
            return disconnected()
        }
        trace { "has a session" }
        session += 1
        turn(to: .online)
        home = edge
        isResumptionInDoubt = false
        write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        count("<presence/>", nil)
    }

    private func countStanza() {
        if isEnabled { received &+= 1 }
    }

    private func messageCame(_ element: StreamElement) {
        countStanza()
        guard let key = element["id"].flatMap(MessageKey.init) else { return }
        if element["type"] == "error" {
            trace { "gets the error of \(key)" }
            world.records.failed(key, at: index)
        } else {
            trace { "gets \(key)" }
            world.records.received(
                key,
                by: world.index(of: user),
                ClientSession(client: index, number: session),
                isAlone: world.clients.filter { $0.user == user }.count == 1,
                content: element.content
            )
        }
    }

    private func acknowledged(_ h: UInt32) {
        let count = Int(h &- acknowledgedCount)
        guard count <= unacknowledged.count else {
            return world.blame("client \(index): h \(h) after \(acknowledgedCount) of \(unacknowledged.count) more")
        }
        acknowledgedCount = h
        for _ in 0..<count {
            guard let message = unacknowledged.removeFirst().message else { continue }
            trace { "has the acknowledgement of \(message)" }
            world.records.acknowledged(message)
        }
    }

    private func resumed(_ h: UInt32) {
        trace { "resumes" }
        acknowledged(h)
        told = received
        turn(to: .online)
        home = edge
        isResumptionInDoubt = false
        for (text, _) in unacknowledged { write(text) }
    }

    private func resumptionFailed(_ h: UInt32?) {
        guard phase == .resuming else { return trace { "is refused something" } }
        trace { "cannot resume, h \(h.map { "\($0)" } ?? "unknown")" }
        if let h { acknowledged(h) }
        judgeRefusal()
        forgetSession()
        bind()
    }

    /// A session whose C2S lived, and was there for the SMs, while the database was, can be resumed in its time.
    private func judgeRefusal() {
        guard let home, world.edges.contains(where: { $0 === home }), !isResumptionInDoubt,
            world.network.now - brokenSince < Self.resumptionTime, world.databaseTrouble < brokenSince,
            world.outOfReach[home.name].map({ $0 < brokenSince }) ?? true,
            world.owners.allSatisfy({ $0?.reached.contains(home.name) ?? true })
        else { return }
        world.blame("client \(index) cannot resume its session, which lived at \(home.name)")
    }

    /// A little less than `resumption_time`, in milliseconds.
    private static let resumptionTime: Int64 = 50_000

    /// What is not acknowledged is in doubt for ever.
    private func forgetSession() {
        for case (_, let message?) in unacknowledged { world.records.isInDoubt(message) }
        unacknowledged = []
        acknowledgedCount = 0
        received = 0
        told = 0
        token = nil
        isEnabled = false
    }
}
