// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import XMPPCore
import XMPPStream

/// A stanza in an outbox, with the time at which the server got it. A class, since the outboxes of several sessions
/// hold the same one, and a stanza has many parts to copy.
final class Outgoing {
    let stanza: Stanza
    /// Microseconds since 1970.
    let received: Int64
    /// What the spool knows the message by.
    let stableID: String
    /// What is settled when a client has the message or a row; nil: its sender does not learn of it, or has by now.
    let passage: Passage?
    /// Whether it may come once more (`Passage.isRepeatable`); a row may, whoever sent it.
    let isRepeatable: Bool

    init(stanza: Stanza, received: Int64, stableID: String, passage: Passage? = nil, isRepeatable: Bool = true) {
        self.isRepeatable = isRepeatable
        self.stanza = stanza
        self.received = received
        self.stableID = stableID
        self.passage = passage
    }

    /// The same message as another stanza.
    func with(_ stanza: Stanza) -> Outgoing {
        Outgoing(
            stanza: stanza,
            received: received,
            stableID: stableID,
            passage: passage,
            isRepeatable: isRepeatable
        )
    }
}

/// A client's session: a full JID that is bound, from `<open/>` to its end, over all its connections.
///
/// ```
///   attached --- detached ---> broken ----- resumption time over, taken over --> ended
///      ^  |                      |
///      |  +-- close, end --------|----------------------------------------------> ended
///      +------- resumed ---------+
/// ```
///
/// Confined to the server's event loop; `SMServer` changes it.
final class Session {
    enum State: Equatable {
        case attached
        /// The connection broke; the session waits for its resumption.
        case broken(since: Int64)
        case ended
    }

    /// XEP-0198 after `<enable resume='true'/>`.
    struct Resumption {
        /// What the client shows; nil: only its hash is known.
        let token: String?
        /// `SessionRecord.hash(ofToken:)`.
        let hash: [UInt8]
        let seconds: UInt32

        init(token: String, seconds: UInt32) {
            self.token = token
            hash = SessionRecord.hash(ofToken: token)
            self.seconds = seconds
        }

        init(hash: [UInt8], seconds: UInt32) {
            token = nil
            self.hash = hash
            self.seconds = seconds
        }
    }

    /// 128 random bits, made by the C2S that took the login.
    let name: String
    let jid: JID
    /// The address as text, which lists are ordered by.
    let jidText: String
    let user: User
    let address: String
    let tls: String
    let mechanism: String
    /// When it was opened, in microseconds since 1970.
    let opened: Int64

    /// The C2S instance that has its connection, and how far that one has read.
    var instance: String { flow.instance }
    var flow: InstanceFlow { didSet { route = nil } }
    /// What the connection that resumed it last was called before; nil: none has, at this SM.
    var connectionName: String?
    /// How a successor would have known it before it was resumed last, until the C2S that has it now is heard of it: the
    /// answer to the client may be lost with us.
    var recordBeforeResumption: SessionRecord?
    /// How often it was attached, from 1.
    var attach: UInt64 = 1 { didSet { route = nil } }
    /// How wrappers about it begin, once one was sent.
    private var route: SessionRoute?
    var state = State.attached
    var settlement = InboundSettlement()
    /// How many stanzas the client sent before `<enable/>`: the `h` of XEP-0198 counts from there.
    var countsFrom: UInt64 = 0
    var outbox: SessionOutbox<Outgoing> {
        didSet {
            user.kept.add(outbox.looseBytes - countedBytes)
            countedBytes = outbox.looseBytes
        }
    }
    /// What `user.kept` has of the outbox: messages count with the user's ledger.
    private var countedBytes = 0
    var resumption: Resumption?
    /// It is known from its record only: nobody has presented it.
    var isRecalled = false
    /// What its client was sent before it was recalled, until that one says how much of it has come.
    var recalledSent: SentBefore?
    var expiry: Scheduled<Void>?
    /// Whether a report of settled stanzas is on its way in this turn of the loop.
    var reportIsDue = false
    /// Whether it waits for its turn to be sent more (`SMServer+Pacing`).
    var isPaced = false

    /// The last available presence that it broadcast; nil: it is not available.
    var presence: Stanza? { didSet { isStateDirty = true } }
    var priority: Int8 = 0
    /// It was told of the user's other resources, and is told what becomes of them.
    var isIntroduced = false { didSet { isStateDirty = true } }
    /// The unavailable presence that its client sent; nil while it is available, or when it broke away.
    var farewell: Stanza? { didSet { isStateDirty = true } }
    /// Whom it sent directed presence that they must be told the end of (RFC 6121 §4.6).
    var directed: Set<JID> = [] { didSet { isStateDirty = true } }
    /// It asked for the roster: it gets pushes (RFC 6121 §2.1.6).
    var isInterested = false { didSet { isStateDirty = true } }
    /// It asked for the block list: it gets pushes (XEP-0191 §3.3).
    var wantsBlocklist = false { didSet { isStateDirty = true } }
    /// Its C2S was not told of the newest `SessionState`.
    var isStateDirty = false
    /// Without XEP-0198: a ping of ours is under way, whose answer acknowledges what came before.
    var isPinged = false
    /// When its client last sent a stanza, in microseconds since 1970.
    var lastStanza: Int64

    init(
        name: String,
        jid: JID,
        user: User,
        flow: InstanceFlow,
        connection: Connection,
        opened: Int64,
        outbox: SessionOutbox<Outgoing>
    ) {
        self.name = name
        self.jid = jid
        self.jidText = jid.description
        self.user = user
        self.flow = flow
        self.address = connection.address
        self.tls = connection.tls
        self.mechanism = connection.mechanism
        self.opened = opened
        self.lastStanza = opened
        self.outbox = outbox
    }

    /// What C2S says of the connection, for lists and logs.
    struct Connection {
        var address = ""
        var tls = ""
        var mechanism = ""
    }

    /// The way to its client, from the instance with this name.
    func route(from name: String) -> SessionRoute {
        if let route { return route }
        let made = SessionRoute(from: name, to: instance, session: self.name, attach: attach)
        route = made
        return made
    }

    /// What its C2S keeps for the next owner.
    func takeState() -> SessionMessage.Content {
        isStateDirty = false
        return .handover(.state(SessionState(of: self).encoded))
    }

    var resource: String { jid.resource ?? "" }
    var isAttached: Bool { state == .attached }
    var isAvailable: Bool { presence != nil }

    /// As the delivery rules see it.
    var target: DeliveryTarget {
        DeliveryTarget(resource: resource, priority: presence == nil ? nil : priority, isAttached: isAttached)
    }
}
