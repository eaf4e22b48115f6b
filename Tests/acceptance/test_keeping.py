# SPDX-License-Identifier: Apache-2.0
"""What an operator saves, moves and renames: scripts/backup, scripts/restore, scripts/set-domain."""

import asyncio

from story import Story


class KeepingTests(Story):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        await self.start()
        await self.add_users("alice", "bob")
        alice, bob = await self.client("alice"), await self.client("bob")
        await alice.befriend(bob)
        await bob.log_out()
        await self.leave_message(alice, "bob@localhost", "kept for you")
        self.alice = alice

    async def assert_that_all_is_there(self, suite=None) -> None:
        suite = suite or self.suite
        self.assertEqual(await asyncio.to_thread(suite.users), ["alice@localhost", "bob@localhost"])
        bob = await self.client("bob", suite=suite)
        await bob.until(lambda: bob.bodies, "waiting message")
        self.assertEqual((bob.bodies, bob.delayed), (["kept for you"], ["kept for you"]))
        self.assertEqual(await bob.contacts(), {"alice@localhost": "both"})
        await bob.log_out()

    async def test_a_backup_of_a_running_suite_restores_in_another_place(self):
        file = self.suite.directory / "backup"
        await self.call("backup", str(file))
        # Nobody is disturbed by a backup, and what comes after it is not in it.
        await self.alice.ping()
        await self.leave_message(self.alice, "bob@localhost", "after the backup")
        await self.add_users("carol")
        await self.call("supervisor", "stop")

        other = self.new_suite(restored_from=self.suite)
        await self.call("restore", str(file), suite=other)
        await self.start(other)
        await self.assert_that_all_is_there(other)
        # The certificate too, so that clients that trust it go on.
        self.assertEqual(other.certificate().read_bytes(), self.suite.certificate().read_bytes())
        await self.call("supervisor", "stop", suite=other)

        refused = await self.call("restore", str(file), check=False)
        self.assertEqual(refused.returncode, 73)
        await self.call("restore", "--force", str(file))
        await self.start()
        await self.assert_that_all_is_there()

    async def test_another_domain_begins_anew_and_the_old_one_keeps_its_people(self):
        words = (await self.call("set-domain", "chat.example.org")).stdout
        self.assertIn("The suite was restarted", words)
        await self.alice.until(lambda: self.alice.is_cut_off, "end of the connection")
        # Out of use, but they can be seen and removed.
        self.assertEqual(await asyncio.to_thread(self.suite.users), ["alice@localhost", "bob@localhost"])
        await self.add_users("alice", domain="chat.example.org")
        certificate = self.suite.certificate("chat.example.org").read_text(encoding="ascii")
        alice = await self.client("alice", domain="chat.example.org", trusted=certificate)
        self.assertEqual(await alice.contacts(), {})
        await alice.ping()
        await alice.log_out()

        await self.call("set-domain", "localhost")
        await self.call("jackdawctl", "user", "remove", "alice@chat.example.org")
        await self.assert_that_all_is_there()
