// SPDX-License-Identifier: Apache-2.0

/// A subscription between a user and a contact, from the user's side (RFC 6121 section 3 and appendix A).
///
/// The state moves by `SubscriptionTables`. On top of them come the pre-approval of section 3.4, which turns an
/// inbound request into its approval, and the replies that the server gives in the user's name. A pure value.
struct SubscriptionStateMachine: Hashable, Sendable {
    /// What the server has to do about a stanza.
    struct Outcome: Hashable, Sendable {
        /// Route it to the contact (outbound), or deliver it to the user's interested resources (inbound).
        var passes = false
        /// What a roster shows has changed: store the item and push it. Without an item one is made.
        var pushes = false
        /// What to do about the stored request of the contact.
        var request = RequestChange.keep
        /// A stanza to send to the contact in the user's name, from the bare JID.
        var reply: SubscriptionStanza?
        /// What to send to the contact from each available resource of the user, after everything else.
        var presence = PresenceChange.keep
    }

    enum RequestChange: Hashable, Sendable {
        case keep
        /// The request waits for the user: store it, to be delivered again at each login (section 3.1.3).
        case store
        case drop
    }

    enum PresenceChange: Hashable, Sendable {
        case keep
        /// The contact may see the user now: current presence (section 3.1.5).
        case sendCurrent
        /// The contact may not see the user any more: unavailable presence (sections 3.2.2 and 3.3.3).
        case sendUnavailable
    }

    private(set) var state: SubscriptionState
    /// A request of the contact is approved in advance (section 3.4); shown as `approved='true'`.
    private(set) var isApproved: Bool

    init(state: SubscriptionState = .none, isApproved: Bool = false) {
        self.state = state
        self.isApproved = isApproved
    }

    /// The user sent the stanza to the contact.
    mutating func sent(_ stanza: SubscriptionStanza) -> Outcome {
        let before = self
        let row = SubscriptionTables.outbound(stanza, in: state)
        state = row.newState
        switch stanza {
        // Where there is nothing to approve yet, it is approved in advance (section 3.4.2).
        case .subscribed: isApproved = isApproved || (!row.passes && !state.sendsPresence)
        // It takes a pre-approval back as well (section 3.4.3).
        case .unsubscribed: isApproved = false
        case .subscribe, .unsubscribe: break
        }
        return outcome(since: before, passes: row.passes)
    }

    /// The contact sent the stanza to the user.
    mutating func received(_ stanza: SubscriptionStanza) -> Outcome {
        let before = self
        if stanza == .subscribe, isApproved || state.sendsPresence {
            return approveAtOnce(since: before)
        }
        let row = SubscriptionTables.inbound(stanza, in: state)
        state = row.newState
        return outcome(since: before, passes: row.passes)
    }

    /// The user removed the contact from the roster: what to send to the contact (section 2.5.2). Requests that are
    /// open in either direction are withdrawn and refused with it.
    mutating func removed() -> (stanzas: [SubscriptionStanza], outcome: Outcome) {
        let before = self
        var stanzas: [SubscriptionStanza] = []
        if state.receivesPresence || state.isPendingOut { stanzas.append(.unsubscribe) }
        if state.sendsPresence || state.isPendingIn { stanzas.append(.unsubscribed) }
        self = SubscriptionStateMachine()
        return (stanzas, outcome(since: before, passes: !stanzas.isEmpty))
    }

    /// The contact has the user's leave already, or in advance: the server answers, and the user sees no request.
    private mutating func approveAtOnce(since before: Self) -> Outcome {
        state = SubscriptionState(
            state.receivesPresence ? .both : .from,
            pendingOut: state.isPendingOut,
            pendingIn: false
        )
        var outcome = outcome(since: before, passes: false)
        outcome.reply = .subscribed
        // Also where nothing changed: the contact asks since it does not see the user.
        outcome.presence = .sendCurrent
        return outcome
    }

    private func outcome(since before: Self, passes: Bool) -> Outcome {
        var outcome = Outcome(passes: passes)
        outcome.pushes =
            state.subscription != before.state.subscription || state.isPendingOut != before.state.isPendingOut
            || isApproved != before.isApproved
        switch (before.state.isPendingIn, state.isPendingIn) {
        case (false, true): outcome.request = .store
        case (true, false): outcome.request = .drop
        case (true, true), (false, false): break
        }
        switch (before.state.sendsPresence, state.sendsPresence) {
        case (false, true): outcome.presence = .sendCurrent
        case (true, false): outcome.presence = .sendUnavailable
        case (true, true), (false, false): break
        }
        return outcome
    }
}
