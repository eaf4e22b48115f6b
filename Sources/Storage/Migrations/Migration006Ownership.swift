// SPDX-License-Identifier: Apache-2.0

extension Migration {
    /// Which SM instances share the users, and since which epoch.
    ///
    /// - `owner_epoch`: one row, the epoch. Whoever raises it locks the table exclusively, and each group of writes locks
    ///   it shared from before it compares the epoch to its end: once a new epoch can be seen, no group of an older one
    ///   can commit. Of the locks of tables these two stand in each other's way and in nobody else's; an advisory lock
    ///   would do the same, but C2S's role, which may do nothing here, could take that as well.
    /// - `owner_maps`: the instances of each epoch, so that who looks seldom misses none. The last 1000 are kept.
    /// - `owner_instances`: who is there now. `application` is the `application_name` of the instance's connections.
    ///   `heartbeat` only ever differs from before: it starts at the clock, so that who joins again is not mistaken.
    ///
    /// All changes of the members go through the functions, one at a time (`owner_lock_members`). Where a lock cannot be
    /// had within a second they fail (SQLSTATE 55P03): a queue for the fence would hold up the writes of all others.
    static let ownership = Migration(version: 6, sql: tables + fence + raise + membership + eviction)

    private static let tables = """
        CREATE TABLE owner_epoch (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            epoch bigint NOT NULL
        );
        INSERT INTO owner_epoch (epoch) VALUES (0);
        CREATE TABLE owner_maps (
            epoch bigint PRIMARY KEY,
            instances text[] NOT NULL
        );
        CREATE TABLE owner_instances (
            name text PRIMARY KEY,
            incarnation text NOT NULL,
            application text NOT NULL,
            heartbeat bigint NOT NULL,
            joined timestamptz NOT NULL DEFAULT now()
        );

        """

    /// The first step of a group of writes. Each statement of the function has a snapshot of its own, so the epoch is
    /// read after the lock was granted.
    private static let fence = """
        CREATE FUNCTION owner_fence(expected bigint) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            LOCK TABLE owner_epoch IN ROW SHARE MODE;
            IF (SELECT epoch FROM owner_epoch WHERE one) IS DISTINCT FROM expected THEN
                RAISE EXCEPTION 'the epoch is not %', expected USING ERRCODE = '\(Fence.sqlstate)';
            END IF;
        END
        $$;

        """

    /// Makes the instances of now the map of the next epoch, which is greater than `known`, and gives that epoch. The lock
    /// of who changes the members is one that heartbeats do not wait for.
    private static let raise = """
        CREATE FUNCTION owner_raise(known bigint) RETURNS bigint LANGUAGE plpgsql AS $$
        DECLARE
            raised bigint;
        BEGIN
            PERFORM set_config('lock_timeout', '1s', true);
            LOCK TABLE owner_epoch IN EXCLUSIVE MODE;
            UPDATE owner_epoch SET epoch = greatest(epoch, known) + 1 RETURNING epoch INTO raised;
            INSERT INTO owner_maps (epoch, instances)
                VALUES (raised, array(SELECT name FROM owner_instances ORDER BY name));
            DELETE FROM owner_maps WHERE epoch <= raised - 1000;
            RETURN raised;
        END
        $$;
        CREATE FUNCTION owner_lock_members() RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM set_config('lock_timeout', '1s', true);
            LOCK TABLE owner_maps IN SHARE UPDATE EXCLUSIVE MODE;
        END
        $$;

        """

    /// Joining replaces an older incarnation of the name, whose connections end first; of a member it changes nothing.
    private static let membership = """
        CREATE FUNCTION owner_join(joining text, its_incarnation text, its_application text, known bigint)
        RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM owner_lock_members();
            IF EXISTS (SELECT FROM owner_instances WHERE name = joining AND incarnation = its_incarnation) THEN
                RETURN;
            END IF;
            PERFORM owner_end_connections(array(
                SELECT application FROM owner_instances WHERE name = joining AND application <> its_application
            ));
            INSERT INTO owner_instances (name, incarnation, application, heartbeat)
                VALUES (joining, its_incarnation, its_application, extract(epoch FROM clock_timestamp()) * 1000000)
                ON CONFLICT (name) DO UPDATE SET incarnation = excluded.incarnation,
                    application = excluded.application, heartbeat = excluded.heartbeat, joined = excluded.joined;
            PERFORM owner_raise(known);
        END
        $$;
        CREATE FUNCTION owner_leave(leaving text, its_incarnation text) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM owner_lock_members();
            DELETE FROM owner_instances WHERE name = leaving AND incarnation = its_incarnation;
            IF FOUND THEN
                PERFORM owner_raise(0);
            END IF;
        END
        $$;

        """

    /// Who is evicted disappears and the epoch rises in one transaction, after its connections have ended: one that was
    /// stopped in the middle of a group would hold the fence's lock for ever. Its row stays locked meanwhile, so that
    /// one that wakes up learns the outcome.
    private static let eviction = """
        CREATE FUNCTION owner_end_connections(applications text[]) RETURNS void LANGUAGE plpgsql AS $$
        DECLARE
            backends integer[];
        BEGIN
            PERFORM pg_stat_clear_snapshot();
            backends := array(
                SELECT pid FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name = ANY (applications) AND pid <> pg_backend_pid()
            );
            PERFORM pg_terminate_backend(pid) FROM unnest(backends) pid;
            FOR attempt IN 1..200 LOOP
                PERFORM pg_stat_clear_snapshot();
                IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY (backends)) THEN
                    RETURN;
                END IF;
                PERFORM pg_sleep(0.01);
            END LOOP;
            RAISE EXCEPTION 'connections do not end' USING ERRCODE = 'lock_not_available';
        END
        $$;
        CREATE FUNCTION owner_evict(names text[], incarnations text[], heartbeats bigint[])
        RETURNS void LANGUAGE plpgsql AS $$
        DECLARE
            gone text[];
        BEGIN
            PERFORM owner_lock_members();
            gone := array(
                SELECT i.name FROM owner_instances i
                JOIN unnest(names, incarnations, heartbeats) AS e (name, incarnation, heartbeat)
                    ON i.name = e.name AND i.incarnation = e.incarnation AND i.heartbeat = e.heartbeat
                FOR UPDATE OF i
            );
            IF gone = '{}' THEN
                RETURN;
            END IF;
            PERFORM owner_end_connections(array(SELECT application FROM owner_instances WHERE name = ANY (gone)));
            DELETE FROM owner_instances WHERE name = ANY (gone);
            PERFORM owner_raise(0);
        END
        $$;
        """
}
