// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import SASL
import XML
import XMPPCore

/// One stanza on its way through the server, and the custody of it.
///
/// A stanza of a client is settled (`docs/protocols.md` section 2) when its passage ends: when nobody holds it any
/// more. Who answers later (after a write to the database) calls `hold()` before it returns and `release()` when the
/// stanza is stored, delivered or answered with an error. Confined to the server's event loop.
final class Passage {
    /// The stanza; `from` is set.
    var stanza: Stanza {
        didSet { parsed = nil }
    }
    /// The local session that sent it; nil for what came from elsewhere or from the server itself.
    let session: Session?
    /// The stanza's number in that session.
    let number: UInt64
    /// The SM that forwarded it; nil: nobody did.
    let origin: ForwardOrigin?
    /// When it arrived, in microseconds since 1970.
    let received: Int64
    /// An id that is equal for each sending of this stanza, and only then (XEP-0359).
    private(set) lazy var stableID = makeStableID()
    private let isCountedAtOrigin: Bool
    private var holders = 1
    private var isInCustody = false
    private var isAbandoned = false
    /// Whether it is held for another process that was handed it.
    private var isHandedOver = false
    private weak let server: SMServer?
    private var parsed: [Element]?

    init(
        _ stanza: Stanza,
        session: Session? = nil,
        number: UInt64 = 0,
        received: Int64,
        settlesAt server: SMServer? = nil
    ) {
        self.stanza = stanza
        self.session = session
        self.number = number
        self.received = received
        self.server = server
        origin = nil
        isCountedAtOrigin = false
    }

    /// A stanza that another SM forwarded, with what that one says of it.
    init(
        _ stanza: Stanza,
        origin: ForwardOrigin,
        stableID: String,
        isCounted: Bool,
        received: Int64,
        settlesAt server: SMServer
    ) {
        self.stanza = stanza
        self.origin = origin
        self.received = received
        self.server = server
        session = nil
        number = 0
        isCountedAtOrigin = isCounted
        self.stableID = stableID
    }

    /// The stanza's child elements, parsed at the first use. Empty when they cannot be parsed, which an edge
    /// prevents.
    var children: [Element] {
        if let parsed { return parsed }
        let elements = (try? stanza.payloadElements()) ?? []
        parsed = elements
        return elements
    }

    /// The only child of a well-shaped IQ.
    var payload: Element? { children.first }

    private func makeStableID() -> String {
        guard let session else { return Digest.randomName() }
        return (server?.stableIDs ?? StableIDs()).make(session: session.name, number: number)
    }

    /// Whether its sender learns when it is settled (XEP-0198): only then it is worth to wait for that.
    var isCounted: Bool { session?.outbox.isCounting ?? isCountedAtOrigin }

    /// Whether it may be sent once more, under the same stable id: by the C2S of a sender that counts, or another SM.
    var isRepeatable: Bool { origin != nil || isCounted }

    /// A message is settled when a client has acknowledged it or a row holds it, whichever comes first.
    func enterCustody() {
        guard !isInCustody else { return }
        isInCustody = true
        hold()
    }

    func leaveCustody() {
        guard isInCustody else { return }
        isInCustody = false
        release()
    }

    /// Another process is handed it: it is unsettled until that one has settled it.
    func handOver() {
        guard !isHandedOver else { return }
        isHandedOver = true
        hold()
    }

    /// The other process has settled it, or two have it by now; the second time nothing happens.
    func endHandover() {
        guard isHandedOver else { return }
        isHandedOver = false
        release()
    }

    /// Whether its sender has not heard that it is settled, and so sends it again to our successor.
    var comesAgain: Bool { isCounted && isHandedOver }

    /// Its sender sends it again, to another SM: it is not settled here.
    func abandon() {
        isAbandoned = true
    }

    /// Keeps the stanza unsettled until the matching `release()`.
    func hold() {
        holders += 1
    }

    func release() {
        holders -= 1
        if holders == 0, !isAbandoned { server?.settled(self) }
    }
}
