// SPDX-License-Identifier: Apache-2.0

import Storage

/// The statements of ``RosterStore``; the first two parameters of each are the user's local part and domain.
extension Statement {
    static let loadRoster = Statement(
        "load_roster",
        isRepeatable: true,
        """
        SELECT coalesce(v.version, 0), u.roster_epoch,
            i.contact, i.name, i.subscription, i.ask, i.approved, i.groups, i.version
        FROM users u LEFT JOIN roster_versions v ON v.user_id = u.id LEFT JOIN roster_items i ON i.user_id = u.id
        WHERE u.local = $1 AND u.domain = $2
        """
    )
    /// Column by column as ``loadRoster``, with the floor for the epoch; a removed contact has nulls between contact and version.
    static let rosterChanges = Statement(
        "roster_changes",
        isRepeatable: true,
        """
        SELECT coalesce(v.version, 0), coalesce(v.floor, 0),
            c.contact, c.name, c.subscription, c.ask, c.approved, c.groups, c.version
        FROM users u LEFT JOIN roster_versions v ON v.user_id = u.id
        LEFT JOIN LATERAL (
            SELECT contact, name, subscription, ask, approved, groups, version FROM roster_items
            WHERE user_id = u.id AND version > $3
            UNION ALL
            SELECT contact, NULL, NULL, NULL, NULL, NULL, version FROM roster_tombstones
            WHERE user_id = u.id AND version > $3
        ) c ON true
        WHERE u.local = $1 AND u.domain = $2
        ORDER BY c.version
        """
    )
    static let putRosterItem = Statement(
        "put_roster_item",
        isRepeatable: true,
        """
        WITH v AS (
            INSERT INTO roster_versions AS r (user_id, version)
            SELECT id, 1 FROM users WHERE local = $1 AND domain = $2
            ON CONFLICT (user_id) DO UPDATE SET version = r.version + 1
            RETURNING user_id, version
        ), gone AS (
            DELETE FROM roster_tombstones t USING v WHERE t.user_id = v.user_id AND t.contact = $3
        )
        INSERT INTO roster_items (user_id, contact, name, subscription, ask, approved, groups, version)
        SELECT user_id, $3, $4, $5, $6::boolean, $7::boolean, $8::text[], version FROM v
        ON CONFLICT (user_id, contact) DO UPDATE SET name = excluded.name, subscription = excluded.subscription,
            ask = excluded.ask, approved = excluded.approved, groups = excluded.groups, version = excluded.version
        RETURNING version
        """
    )
    static let removeRosterItem = Statement(
        "remove_roster_item",
        """
        WITH gone AS (
            DELETE FROM roster_items i USING users u
            WHERE u.local = $1 AND u.domain = $2 AND i.user_id = u.id AND i.contact = $3
            RETURNING i.user_id
        ), v AS (
            INSERT INTO roster_versions AS r (user_id, version)
            SELECT user_id, 1 FROM gone
            ON CONFLICT (user_id) DO UPDATE SET version = r.version + 1
            RETURNING user_id, version
        )
        INSERT INTO roster_tombstones (user_id, contact, version) SELECT user_id, $3, version FROM v
        ON CONFLICT (user_id, contact) DO UPDATE SET version = excluded.version
        RETURNING version
        """
    )
    /// Drops the tombstones past the newest `$3`; what they told can not be replayed from then on.
    static let pruneRosterTombstones = Statement(
        "prune_roster_tombstones",
        isRepeatable: true,
        """
        WITH old AS (
            DELETE FROM roster_tombstones t USING users u
            WHERE u.local = $1 AND u.domain = $2 AND t.user_id = u.id AND t.version <= (
                SELECT version FROM roster_tombstones WHERE user_id = u.id ORDER BY version DESC OFFSET $3 LIMIT 1
            )
            RETURNING t.user_id, t.version
        )
        UPDATE roster_versions v SET floor = greatest(v.floor, o.version)
        FROM (SELECT user_id, max(version) AS version FROM old GROUP BY user_id) o WHERE v.user_id = o.user_id
        """
    )
    static let loadSubscriptionRequests = Statement(
        "load_subscription_requests",
        isRepeatable: true,
        """
        SELECT r.contact, r.stanza, r.received FROM subscription_requests r JOIN users u ON u.id = r.user_id
        WHERE u.local = $1 AND u.domain = $2 ORDER BY r.received, r.contact
        """
    )
    static let putSubscriptionRequest = Statement(
        "put_subscription_request",
        isRepeatable: true,
        """
        INSERT INTO subscription_requests (user_id, contact, received, stanza)
        SELECT id, $3, to_timestamp($4::bigint / 1000000.0), $5::bytea FROM users WHERE local = $1 AND domain = $2
        ON CONFLICT (user_id, contact) DO UPDATE SET received = excluded.received, stanza = excluded.stanza
        """
    )
    static let removeSubscriptionRequest = Statement(
        "remove_subscription_request",
        isRepeatable: true,
        """
        DELETE FROM subscription_requests r USING users u
        WHERE u.local = $1 AND u.domain = $2 AND r.user_id = u.id AND r.contact = $3
        """
    )
}
