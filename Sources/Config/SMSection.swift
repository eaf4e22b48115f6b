// SPDX-License-Identifier: Apache-2.0

extension JackdawConfiguration {
    /// The session manager.
    package struct SM: Sendable, Equatable {
        /// What happens when a resource is asked for that a session of the same user has (RFC 6120 §7.7.2.2).
        package enum ResourceConflict: String, Sendable, CaseIterable {
            /// The older session ends with `<conflict/>`.
            case endOlder = "end-older"
            /// The newer one is refused with `<conflict/>`.
            case refuseNewer = "refuse-newer"
            /// The newer one gets another resource.
            case rename
        }
        package var resourceConflict = ResourceConflict.endOlder
        package var limits = SMLimits()
        /// The optional modules that are off.
        package var disabledModules: Set<SMModule> = []

        package init() {}

        package func isEnabled(_ module: SMModule) -> Bool { !disabledModules.contains(module) }
    }

    /// The modules of the SM that may be turned off, under `sm.modules`.
    package enum SMModule: String, Sendable, CaseIterable {
        /// XEP-0160: messages wait for those who are away.
        case offline
        /// XEP-0191.
        case blocking
        /// XEP-0054, vcard-temp.
        case vcard
        /// XEP-0049.
        case privateStorage = "private_storage"
        /// XEP-0012.
        case lastActivity = "last_activity"
        /// XEP-0092.
        case version
        /// XEP-0202.
        case time
        /// XEP-0199: pings to the server; C2S pings on its own.
        case ping
        /// XEP-0157.
        case contacts
    }

    /// What a user may cost the SM.
    package struct SMLimits: Sendable, Equatable {
        /// Messages that wait for a user; beyond it senders get `resource-constraint`.
        package var offlineMessages = 1_000
        package var rosterItems = 10_000
        /// Bytes of a roster as a client gets it.
        package var rosterBytes = 2 << 20
        package var rosterGroups = 32
        /// UTF-8 bytes of an item's name or one of its groups.
        package var rosterNameBytes = 1_023
        package var blockedAddresses = 2_000
        package var vcardBytes = 256 << 10
        package var privateStorageBytes = 256 << 10
        package var sessionsPerUser = 50
        /// Bytes of a presence that is told to all contacts.
        package var presenceBytes = 64 << 10
        /// Addresses that one session's directed presence may reach.
        package var directedPresence = 1_000
        /// Unacknowledged stanzas that are kept for a session; beyond it the session ends.
        package var unacknowledgedStanzas = 25_000
        package var unacknowledgedBytes = 16 << 20
        /// The same of all sessions together; beyond it broken sessions end, the oldest first.
        package var unacknowledgedBytesTotal = 512 << 20
        package var accounts = 1_000_000

        package init() {}
    }
}

extension JackdawConfiguration.SM {
    mutating func read(_ section: SectionReader) {
        section.choice("resource_conflict", &resourceConflict)
        section.section("limits") { limits.read($0) }
        section.section("modules") { modules in
            for module in JackdawConfiguration.SMModule.allCases {
                var isOn = isEnabled(module)
                modules.boolean(module.rawValue, &isOn)
                if isOn { disabledModules.remove(module) } else { disabledModules.insert(module) }
            }
        }
    }
}

extension JackdawConfiguration.SMLimits {
    mutating func read(_ section: SectionReader) {
        section.integer("offline_messages", &offlineMessages, in: 0...1_000_000)
        section.integer("roster_items", &rosterItems, in: 0...1_000_000)
        section.bytes("roster_bytes", &rosterBytes, in: 16 << 10...32 << 20)
        section.integer("roster_groups", &rosterGroups, in: 0...1_000)
        section.bytes("roster_name_bytes", &rosterNameBytes, in: 16...16 << 10)
        section.integer("blocked_addresses", &blockedAddresses, in: 0...1_000_000)
        section.bytes("vcard_bytes", &vcardBytes, in: 1 << 10...16 << 20)
        section.bytes("private_storage_bytes", &privateStorageBytes, in: 1 << 10...16 << 20)
        section.integer("sessions_per_user", &sessionsPerUser, in: 1...10_000)
        section.bytes("presence_bytes", &presenceBytes, in: 1 << 10...16 << 20)
        section.integer("directed_presence", &directedPresence, in: 1...1_000_000)
        section.integer("unacknowledged_stanzas", &unacknowledgedStanzas, in: 10...1_000_000)
        section.bytes("unacknowledged_bytes", &unacknowledgedBytes, in: 64 << 10...1 << 30)
        section.bytes("unacknowledged_bytes_total", &unacknowledgedBytesTotal, in: 1 << 20...1 << 40)
        section.integer("accounts", &accounts, in: 1...1_000_000_000)
    }
}
