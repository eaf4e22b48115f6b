// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import SM

/// RFC 6121 §8.5, the table of §8.5.4 with the cases that our resumption adds.
@Suite struct DeliveryRulesTests {
    /// Which sessions an account has.
    enum Sessions: String, CaseIterable, Sendable {
        case nobody
        /// One connected session that is not available.
        case connected
        case negative
        case one
        /// Priorities 1, 5, 5 and -1.
        case several
        /// One available session whose connection broke.
        case broken
        /// The session "home" is broken, "work" lives.
        case brokenAndAlive

        var targets: [DeliveryTarget] {
            switch self {
            case .nobody: []
            case .connected: [Self.target("home", nil)]
            case .negative: [Self.target("home", -1)]
            case .one: [Self.target("home", 0)]
            case .several:
                [
                    Self.target("home", 1), Self.target("work", 5), Self.target("phone", 5), Self.target("bot", -1),
                ]
            case .broken: [Self.target("home", 0, isAttached: false)]
            case .brokenAndAlive: [Self.target("home", 0, isAttached: false), Self.target("work", 0)]
            }
        }

        private static func target(_ resource: String, _ priority: Int8?, isAttached: Bool = true) -> DeliveryTarget {
            DeliveryTarget(resource: resource, priority: priority, isAttached: isAttached)
        }
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let sessions: Sessions
        let resource: String?
        let type: MessageType
        let decision: DeliveryRules.MessageDecision

        init(
            _ sessions: Sessions,
            _ resource: String?,
            _ type: MessageType,
            _ decision: DeliveryRules.MessageDecision
        ) {
            self.sessions = sessions
            self.resource = resource
            self.type = type
            self.decision = decision
        }

        var testDescription: String { "\(sessions.rawValue), to \(resource ?? "bare JID"), \(type.rawValue)" }
    }

    static let messages: [Row] = [
        // To the bare JID, nobody there.
        Row(.nobody, nil, .normal, .store), Row(.nobody, nil, .chat, .store),
        Row(.nobody, nil, .groupchat, .serviceUnavailable), Row(.nobody, nil, .headline, .ignore),
        Row(.nobody, nil, .error, .ignore),
        // Connected only, or negative priorities only: as if nobody were there.
        Row(.connected, nil, .normal, .store), Row(.connected, nil, .chat, .store),
        Row(.connected, nil, .headline, .ignore),
        Row(.negative, nil, .normal, .store), Row(.negative, nil, .chat, .store),
        Row(.negative, nil, .groupchat, .serviceUnavailable), Row(.negative, nil, .headline, .ignore),
        Row(.negative, nil, .error, .ignore),
        // One resource.
        Row(.one, nil, .normal, .deliver(["home"])), Row(.one, nil, .chat, .deliver(["home"])),
        Row(.one, nil, .groupchat, .serviceUnavailable), Row(.one, nil, .headline, .deliver(["home"])),
        Row(.one, nil, .error, .ignore),
        // Several: the highest, or all that are not negative.
        Row(.several, nil, .normal, .deliver(["work", "phone"])),
        Row(.several, nil, .chat, .deliver(["work", "phone"])),
        Row(.several, nil, .groupchat, .serviceUnavailable),
        Row(.several, nil, .headline, .deliver(["home", "work", "phone"])), Row(.several, nil, .error, .ignore),
        // To a full JID that is there, whatever its priority.
        Row(.connected, "home", .chat, .deliver(["home"])), Row(.negative, "home", .normal, .deliver(["home"])),
        Row(.negative, "home", .groupchat, .deliver(["home"])), Row(.several, "bot", .chat, .deliver(["bot"])),
        Row(.one, "home", .error, .deliver(["home"])), Row(.one, "home", .headline, .deliver(["home"])),
        // To a full JID that is not there.
        Row(.nobody, "x", .normal, .serviceUnavailable), Row(.nobody, "x", .chat, .store),
        Row(.nobody, "x", .groupchat, .serviceUnavailable), Row(.nobody, "x", .headline, .ignore),
        Row(.nobody, "x", .error, .ignore),
        Row(.one, "x", .normal, .serviceUnavailable), Row(.one, "x", .chat, .deliver(["home"])),
        Row(.one, "x", .groupchat, .serviceUnavailable), Row(.one, "x", .headline, .ignore),
        Row(.one, "x", .error, .ignore),
        Row(.several, "x", .chat, .deliver(["work", "phone"])), Row(.negative, "x", .chat, .store),
        // A session that waits for its resumption does not take messages that others, or the spool, can have.
        Row(.broken, nil, .chat, .store), Row(.broken, "home", .chat, .store), Row(.broken, "home", .normal, .store),
        Row(.broken, "home", .groupchat, .deliver(["home"])), Row(.broken, nil, .headline, .ignore),
        Row(.brokenAndAlive, nil, .chat, .deliver(["work"])),
        Row(.brokenAndAlive, "home", .normal, .deliver(["work"])),
        Row(.brokenAndAlive, "home", .groupchat, .deliver(["home"])),
    ]

    @Test("Messages", arguments: messages)
    func message(row: Row) {
        let decision = DeliveryRules.message(type: row.type, to: row.resource, sessions: row.sessions.targets)
        #expect(decision == row.decision)
    }

    @Test("An unknown type of message counts as normal")
    func unknownType() {
        #expect(MessageType(attribute: "letter") == .normal)
        #expect(MessageType(attribute: nil) == .normal)
        #expect(MessageType(attribute: "chat") == .chat)
    }

    @Test(
        "IQs: the server answers for the bare JID; a full JID must exist and share presence",
        arguments: [
            (true, nil, true, DeliveryRules.IQDecision.onBehalf), (false, nil, true, .ignore),
            (true, "home", true, .deliver("home")), (true, "home", false, .serviceUnavailable),
            (false, "home", false, .deliver("home")), (true, "x", true, .serviceUnavailable),
            (false, "x", true, .ignore),
        ] as [(Bool, String?, Bool, DeliveryRules.IQDecision)]
    )
    func iq(isRequest: Bool, resource: String?, shares: Bool, decision: DeliveryRules.IQDecision) {
        #expect(
            DeliveryRules.iq(
                isRequest: isRequest,
                to: resource,
                sharesPresence: shares,
                sessions: Sessions.one.targets
            ) == decision
        )
    }

    @Test("Presence goes to all available resources, or to the one that is named")
    func presence() {
        #expect(
            DeliveryRules.presence(to: nil, sessions: Sessions.several.targets) == ["home", "work", "phone", "bot"]
        )
        #expect(DeliveryRules.presence(to: nil, sessions: Sessions.connected.targets).isEmpty)
        #expect(DeliveryRules.presence(to: "home", sessions: Sessions.connected.targets) == ["home"])
        #expect(DeliveryRules.presence(to: "x", sessions: Sessions.several.targets).isEmpty)
    }
}
