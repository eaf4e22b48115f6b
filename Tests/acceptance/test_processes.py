# SPDX-License-Identifier: Apache-2.0
"""The processes under scripts/supervisor: shown, scaled, refused, killed, with clients connected meanwhile."""

import asyncio
import itertools
import os
import pathlib
import pwd
import signal

from slixmpp_client import Client
from story import Story
from suite import IS_ROOT

KEYS = ["process", "instance", "pid", "uptime", "connected", "sessions"]


class ProcessTests(Story):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        await self.start()
        await self.add_users("alice", "bob")

    # A resource that is taken again would end the session that has it.
    numbers = itertools.count()

    async def instances(self) -> dict[str, str]:
        return await asyncio.to_thread(self.suite.instances)

    async def client_at_each(self, *wanted: str) -> dict[str, Client]:
        """A client at each of these processes; the kernel chooses, so it takes some logins."""
        clients: dict[str, Client] = {}
        for _ in range(50):
            client = await self.client("alice", resource=f"r{next(self.numbers)}")
            instance = (await self.instances())[client.boundjid.full]
            if instance in wanted and instance not in clients:
                clients[instance] = client
            else:
                await client.log_out()
            if len(clients) == len(wanted):
                return clients
        raise AssertionError(f"50 logins reached only {list(clients)}")

    async def scale(self, number: int) -> dict[str, int]:
        await self.call("supervisor", "scale", "c2s", str(number))
        status = await self.status()
        self.assertEqual(
            sorted(name for name in status if name.startswith("c2s")), [f"c2s-{n + 1}" for n in range(number)]
        )
        self.assertTrue(all(row["connected"] for row in status.values()), status)
        return {name: row["pid"] for name, row in status.items()}

    async def test_status_shows_what_runs_with_the_documented_keys(self):
        client = await self.client("bob")
        rows = list((await self.status()).values())
        self.assertEqual([row["instance"] for row in rows], ["postgresql", "router-1", "sm-1", "s2s-1", "c2s-1"])
        for row in rows:
            self.assertEqual(list(row), KEYS)
            self.assertEqual(row["process"], row["instance"].partition("-")[0])
            self.assertIs(row["connected"], True)
            self.assertIsInstance(row["uptime"], int)
            owner = pathlib.Path(f"/proc/{row['pid']}").stat().st_uid
            self.assertEqual(pwd.getpwuid(owner).pw_name, "jackdaw" if IS_ROOT else pwd.getpwuid(os.getuid()).pw_name)
        # SM and C2S: Bob's session. The router: SM, S2S and C2S. S2S has none, and PostgreSQL does not say.
        self.assertEqual([row["sessions"] for row in rows], [None, 3, 1, 0, 1])
        await client.log_out()
        self.assertEqual((await self.call("jackdawctl", "check")).returncode, 0)

    async def test_scaling_drops_nobody_who_is_at_a_process_that_stays(self):
        one = await self.pids()
        three = await self.scale(3)
        self.assertEqual(three | one, three)
        at = await self.client_at_each("c2s-1", "c2s-2", "c2s-3")

        self.assertEqual(await self.scale(1), one)
        for gone in ("c2s-2", "c2s-3"):
            await at[gone].until(lambda: at[gone].is_cut_off, f"end of the connection at {gone}")
            self.assertFalse(os.path.exists(f"/proc/{three[gone]}"))
        await at["c2s-1"].ping()

        again = await self.scale(3)
        self.assertEqual(again | one, again)
        at |= await self.client_at_each("c2s-2", "c2s-3")
        two = await self.scale(2)
        self.assertEqual(two, {name: pid for name, pid in again.items() if name != "c2s-3"})
        await at["c2s-3"].until(lambda: at["c2s-3"].is_cut_off, "end of the connection")
        for stays in ("c2s-1", "c2s-2"):
            await at[stays].ping()
            self.assertFalse(at[stays].is_cut_off)

    async def test_what_cannot_be_scaled_is_refused_with_the_reason(self):
        client = await self.client("bob")
        before = await self.pids()
        answer = await self.call("supervisor", "scale", "postgresql", "2", check=False)
        self.assertEqual(answer.returncode, 64)
        self.assertIn("has one server", answer.stdout)
        self.assertEqual(await self.pids(), before)
        await client.ping()

    async def test_a_second_router_takes_over_and_goes_again_and_nobody_notices(self):
        client = await self.client("alice", resource="routers")
        before = await self.pids()
        await self.call("supervisor", "scale", "router", "2")
        two = await self.pids()
        self.assertEqual(two | before, two)
        for victim in ("router-1", "router-2"):
            pid = (await self.pids())[victim]
            os.kill(pid, signal.SIGKILL)
            await self.chat(f"while {victim} is away")
            await self.until_returned(victim, pid)
        await self.call("supervisor", "scale", "router", "1")
        after = await self.pids()
        self.assertNotIn("router-2", after)
        self.assertEqual(after | {"router-1": 0}, before | {"router-1": 0})
        await self.chat("over one router again")
        await client.ping()
        self.assertFalse(client.is_cut_off)

    async def test_a_killed_process_returns_alone_and_people_chat_on(self):
        await self.call("supervisor", "scale", "c2s", "2")
        before = await self.pids()
        for victim in ("c2s-2", "c2s-1", "sm-1", "router-1", "postgresql"):
            os.kill(before[victim], signal.SIGKILL)
            await self.until_returned(victim, before[victim])
            after = await self.pids()
            self.assertNotEqual(after[victim], before[victim])
            self.assertEqual(after | {victim: 0}, before | {victim: 0}, f"{victim} was killed")
            before = after
            await self.chat(f"after {victim}")

    async def chat(self, body: str) -> None:
        # Who asks for a password while the database is on its way back is told to come again.
        alice, bob = await self.persistent_client("alice"), await self.persistent_client("bob")
        alice.send_message(mto=bob.boundjid.full, mbody=body, mtype="chat")
        # What was deleted in the moment of the kill may come once more.
        await bob.until(lambda: body in bob.bodies, "message")
        await alice.log_out()
        await bob.log_out()
        # It waits in the database.
        alice = await self.client("alice")
        await self.leave_message(alice, "bob@localhost", f"{body}, offline")
        await alice.log_out()
        bob = await self.client("bob")
        await bob.until(lambda: f"{body}, offline" in bob.bodies, "waiting message")
        await bob.log_out()
