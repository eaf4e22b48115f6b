// SPDX-License-Identifier: Apache-2.0

import Testing
import XML
import XMPPCore

@testable import SM

@Suite struct SubscriptionStateMachineTests {
    private typealias Machine = SubscriptionStateMachine

    @Test(arguments: SubscriptionState.allCases)
    func `a state is made of its parts`(_ state: SubscriptionState) {
        let made = SubscriptionState(
            state.subscription,
            pendingOut: state.isPendingOut,
            pendingIn: state.isPendingIn
        )
        #expect(made == state)
        // What is had already is not asked for.
        #expect(SubscriptionState(.both, pendingOut: true, pendingIn: true) == .both)
        #expect(SubscriptionState(.to, pendingOut: true, pendingIn: false) == .to)
        #expect(SubscriptionState(.from, pendingOut: false, pendingIn: true) == .from)
    }

    /// RFC 6121 section 3.4.2.
    @Test(arguments: SubscriptionState.allCases)
    func `an approval with nothing to approve is one in advance`(_ state: SubscriptionState) {
        var machine = Machine(state: state)
        let outcome = machine.sent(.subscribed)
        let isInAdvance = [.none, .nonePendingOut, .to].contains(state)
        #expect(machine.isApproved == isInAdvance)
        if isInAdvance {
            #expect(outcome == Machine.Outcome(pushes: true))
            #expect(machine.state == state)
            // Once is enough.
            #expect(machine.sent(.subscribed) == Machine.Outcome())
        }
    }

    @Test(arguments: [
        (SubscriptionState.none, SubscriptionState.from), (.nonePendingOut, .fromPendingOut), (.to, .both),
        (.nonePendingIn, .from), (.nonePendingOutIn, .fromPendingOut), (.toPendingIn, .both),
    ])
    func `a request that was approved in advance is answered at once`(
        state: SubscriptionState,
        newState: SubscriptionState
    ) {
        var machine = Machine(state: state, isApproved: true)
        let outcome = machine.received(.subscribe)
        #expect(machine.state == newState)
        #expect(machine.isApproved)
        #expect(
            outcome
                == Machine.Outcome(
                    pushes: true,
                    request: state.isPendingIn ? .drop : .keep,
                    reply: .subscribed,
                    presence: .sendCurrent
                )
        )
    }

    /// RFC 6121 section 3.4.3: whether the subscription came about or not.
    @Test(arguments: SubscriptionState.allCases)
    func `a refusal takes the approval in advance back`(_ state: SubscriptionState) {
        var machine = Machine(state: state, isApproved: true)
        let outcome = machine.sent(.unsubscribed)
        #expect(!machine.isApproved)
        #expect(outcome.pushes)
        #expect(outcome.passes == (state.isPendingIn || state.sendsPresence))
    }

    @Test(
        arguments: [
            (SubscriptionState.none, []), (.nonePendingOut, [.unsubscribe]), (.nonePendingIn, [.unsubscribed]),
            (.nonePendingOutIn, [.unsubscribe, .unsubscribed]), (.to, [.unsubscribe]),
            (.toPendingIn, [.unsubscribe, .unsubscribed]), (.from, [.unsubscribed]),
            (.fromPendingOut, [.unsubscribe, .unsubscribed]), (.both, [.unsubscribe, .unsubscribed]),
        ] as [(SubscriptionState, [SubscriptionStanza])]
    )
    func `a removed contact is told, and a request of it is dropped`(
        state: SubscriptionState,
        stanzas: [SubscriptionStanza]
    ) {
        var machine = Machine(state: state, isApproved: true)
        let removal = machine.removed()
        #expect(removal.stanzas == stanzas)
        #expect(removal.outcome.request == (state.isPendingIn ? .drop : .keep))
        #expect(removal.outcome.presence == (state.sendsPresence ? .sendUnavailable : .keep))
        #expect(machine == Machine())
    }

    /// Two users and the network between them: after any exchange that has come to rest, what one believes to get is
    /// what the other believes to give.
    @Test(arguments: 0..<100)
    func `two sides agree when all stanzas have arrived`(seed: Int) {
        var random = SystemRandomNumberGenerator()
        var sides = [Machine(), Machine()]
        var inTransit: [(to: Int, stanza: SubscriptionStanza)] = []
        for _ in 0..<30 {
            let sender = Int.random(in: 0...1, using: &random)
            let stanza = SubscriptionStanza.allCases.randomElement(using: &random) ?? .subscribe
            if sides[sender].sent(stanza).passes { inTransit.append((1 - sender, stanza)) }
            while !inTransit.isEmpty {
                let (receiver, stanza) = inTransit.removeFirst()
                if let reply = sides[receiver].received(stanza).reply { inTransit.append((1 - receiver, reply)) }
            }
            for side in 0...1 {
                let (own, other) = (sides[side].state, sides[1 - side].state)
                #expect(own.receivesPresence == other.sendsPresence)
                #expect(own.isPendingOut == other.isPendingIn)
            }
        }
    }

    @Test func `an item shows what the roster shows`() throws {
        let item = RosterItem(
            contact: try JID("romeo@example.net"),
            name: "Romeo & co",
            groups: ["Friends", "Lovers"],
            subscription: Machine(state: .nonePendingOutIn, isApproved: true),
            version: 7
        )
        let element = item.element()
        #expect(element.name == "item" && element.namespace == "jabber:iq:roster")
        #expect(element["jid"] == "romeo@example.net")
        #expect(element["name"] == "Romeo & co")
        #expect(element["subscription"] == "none")
        #expect(element["ask"] == "subscribe")
        #expect(element["approved"] == "true")
        #expect(element.childElements.map(\.text) == ["Friends", "Lovers"])

        let bare = RosterItem(contact: try JID("a@b"), subscription: Machine(state: .toPendingIn)).element()
        #expect(bare.attributes.map(\.name) == ["jid", "subscription"])
        #expect(bare["subscription"] == "to")
        #expect(RosterItem.removedElement("a@b")["subscription"] == "remove")
    }

    @Test(arguments: SubscriptionState.allCases)
    func `an item is what was stored`(_ state: SubscriptionState) throws {
        let item = RosterItem(
            contact: try JID("romeo@example.net"),
            name: "Romeo",
            groups: ["a"],
            subscription: Machine(state: state, isApproved: state == .none),
            version: 3
        )
        #expect(RosterItem(item.row, isRequested: state.isPendingIn) == item)
        var row = item.row
        row.subscription = "remove"
        #expect(RosterItem(row, isRequested: false) == nil)
        row = item.row
        row.contact = "@"
        #expect(RosterItem(row, isRequested: false) == nil)
    }
}
