# SPDX-License-Identifier: Apache-2.0
"""Two people chat, both with slixmpp: login, roster, presence, messages, and what waits for whoever is away."""

import asyncio
import unittest

import running
from slixmpp_client import SECONDS, Client


class ChatTests(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        # The test case turns on the loop's debug mode, which is slow and talks.
        asyncio.get_running_loop().set_debug(False)
        self.clients: list[Client] = []

    async def asyncTearDown(self):
        for client in self.clients:
            client.abort()

    async def client(self, *arguments, **options) -> Client:
        client = Client(*arguments, **options)
        self.clients.append(client)
        return await client.log_in()

    async def test_two_people_meet_chat_and_find_their_messages_on_return(self):
        alice, bob = await self.client("alice"), await self.client("bob")
        await alice.befriend(bob)
        for client, other in ((alice, "bob@localhost"), (bob, "alice@localhost")):
            # The answer is empty when the version is the same (RFC 6121, 2.6): then what it has is right.
            self.assertEqual(await client.contacts(), {other: "both"})

        words = ["Good morning", "<b>&amp;</b> \"quotes\" 'and' ]]>", "grüße, 你好, 😀", "line\nbreak\ttab"]
        for body in words:
            alice.send_message(mto="bob@localhost", mbody=body, mtype="chat")
        await bob.until(lambda: len(bob.bodies) == len(words), "messages")
        self.assertEqual(bob.bodies, words)
        bob.send_message(mto=alice.boundjid, mbody="Good morning, Alice", mtype="chat")
        await alice.until(lambda: alice.bodies, "answer")

        await bob.log_out()
        await alice.until(lambda: ("bob@localhost", "unavailable") in alice.presences, "farewell")
        waiting = [f"message {n}" for n in range(20)]
        for body in waiting:
            alice.send_message(mto="bob@localhost", mbody=body, mtype="chat")
        await alice.ping()

        bob = await self.client("bob")
        await bob.until(lambda: len(bob.bodies) == len(waiting), "waiting messages")
        self.assertEqual(bob.bodies, waiting)
        self.assertEqual(bob.delayed, waiting)
        await alice.until(lambda: alice.presences[-1] == ("bob@localhost", "available"), "return")

        # Who leaves before it has acknowledged what it got, gets it again; the answer comes behind the request for it.
        await bob.ping()
        await bob.log_out()
        alice.send_message(mto="bob@localhost", mbody="after the restart", mtype="chat")
        await alice.ping()
        await alice.log_out()
        await asyncio.to_thread(running.suite.call, "supervisor", "restart")
        bob = await self.client("bob")
        await bob.until(lambda: bob.bodies, "message from before the restart")
        self.assertEqual(bob.bodies, ["after the restart"])
        self.assertIn("alice@localhost", bob.client_roster)

    async def test_a_wrong_password_and_an_unknown_user_are_refused(self):
        for user, password in (("alice", "wrong"), ("nobody", running.PASSWORD)):
            client = Client(user, password)
            self.clients.append(client)
            client.connect("127.0.0.1", running.suite.ports["starttls"])
            await client.until(lambda: client.failed, "refusal")
            self.assertFalse(client.started)

    async def test_a_vcard_that_was_stored_can_be_read_by_others(self):
        alice, bob = await self.client("alice", resource="card"), await self.client("bob", resource="card")
        card = alice.plugin["xep_0054"].make_vcard()
        card["FN"] = "Alice Ångström"
        await alice.plugin["xep_0054"].publish_vcard(card)
        read = await bob.plugin["xep_0054"].get_vcard("alice@localhost")
        self.assertEqual(read["vcard_temp"]["FN"], "Alice Ångström")

    async def test_the_server_tells_what_it_is(self):
        alice = await self.client("alice", resource="curious")
        information = await alice.plugin["xep_0030"].get_info("localhost")
        identities = {(category, kind) for category, kind, _, _ in information["disco_info"]["identities"]}
        self.assertIn(("server", "im"), identities)
        self.assertIn("vcard-temp", information["disco_info"]["features"])
        version = await alice.plugin["xep_0092"].get_version("localhost")
        self.assertEqual(version["software_version"]["name"], "Jackdaw")

    async def test_a_broken_connection_is_resumed_and_loses_nothing(self):
        alice = await self.client("alice", resource="resume")
        bob = await self.client("bob", resource="resume")
        resumed = asyncio.Event()
        bob.add_event_handler("session_resumed", lambda _: resumed.set())
        await bob.until(lambda: bob.plugin["xep_0198"].enabled_in, "stream management")
        bob.transport.abort()
        await bob.disconnected
        alice.send_message(mto=bob.boundjid.full, mbody="while you were cut off", mtype="chat")
        await alice.ping()
        bob.connect("127.0.0.1", running.suite.ports["starttls"])
        await asyncio.wait_for(resumed.wait(), SECONDS)
        await bob.until(lambda: bob.bodies, "the message")
        self.assertEqual(bob.bodies, ["while you were cut off"])
