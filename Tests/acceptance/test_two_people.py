# SPDX-License-Identifier: Apache-2.0
"""Two people chat, with clients of different make, by the commands of the README."""

import asyncio

from running import PASSWORD
from story import Story
from terminal import Profanity, Terminal


class TwoPeopleTests(Story):
    """Alice has Profanity in a terminal, Bob has slixmpp, which believes only the certificate of the suite."""

    async def see(self, terminal: Terminal, text: str) -> None:
        await asyncio.to_thread(terminal.see, text)

    async def ask(self, terminal: Terminal, command: str, answer: str) -> None:
        await asyncio.to_thread(terminal.ask, command, answer)

    async def add_user_at_the_terminal(self, user: str) -> None:
        terminal = Terminal(
            [str(self.suite.root / "scripts" / "jackdawctl"), "user", "add", user], self.suite.environment
        )
        self.addCleanup(terminal.close)
        for prompt in (f"Password for {user}:", "Again:"):
            await self.see(terminal, prompt)
            terminal.type(PASSWORD)
        await self.see(terminal, f"{user} was added")
        self.assertNotIn(PASSWORD, terminal.screen())

    async def profanity(self) -> Profanity:
        """Alice's, logged in as the README says."""
        alice = Profanity()
        self.addCleanup(alice.close)
        await self.see(alice, "Profanity")
        alice.type(f"/connect alice@localhost server 127.0.0.1 port {self.suite.ports['starttls']} tls trust")
        await self.see(alice, "Enter password:")
        alice.type(PASSWORD)
        await self.see(alice, "logged in successfully")
        return alice

    async def bob(self):
        return await self.client("bob", trusted=self.suite.certificate().read_text(encoding="ascii"))

    async def befriend(self, alice: Profanity, bob) -> None:
        alice.type("/sub request bob@localhost")
        await bob.until(lambda: ("alice@localhost", "subscribe") in bob.presences, "request")
        bob.send_presence_subscription("alice@localhost", ptype="subscribed")
        bob.send_presence_subscription("alice@localhost", ptype="subscribe")
        await self.see(alice, "authorization request from bob@localhost")
        alice.type("/sub allow bob@localhost")
        await bob.until(lambda: ("alice@localhost", "available") in bob.presences, "presence")
        await self.see(alice, "++ bob@localhost (test) is online")

    async def assert_friends(self, alice: Profanity, bob) -> None:
        self.assertEqual(await bob.contacts(), {"alice@localhost": "both"})
        await self.ask(alice, "/roster", "bob@localhost - both")

    async def test_they_meet_chat_and_find_roster_and_messages_after_restarts(self):
        first_words = await self.start()
        self.assertIn(f"port {self.suite.ports['starttls']} (STARTTLS)", first_words)
        await self.add_user_at_the_terminal("alice@localhost")
        await self.add_users("bob")

        alice, bob = await self.profanity(), await self.bob()
        await self.befriend(alice, bob)
        alice.type("/msg bob@localhost Good morning, Bob")
        await bob.until(lambda: bob.bodies == ["Good morning, Bob"], "message")
        bob.send_message(mto="alice@localhost", mbody="Good morning, grüße 😀", mtype="chat")
        await self.see(alice, "Good morning, grüße")

        # Alice goes away; her message waits, also while everything is restarted under Bob.
        alice.type("/quit")
        await bob.until(lambda: ("alice@localhost", "unavailable") in bob.presences, "farewell")
        await self.leave_message(bob, "alice@localhost", "while you were away")
        await self.call("supervisor", "restart")
        await bob.until(lambda: bob.is_cut_off, "end of the connection")
        alice, bob = await self.profanity(), await self.bob()
        await self.see(alice, "++ bob@localhost (test) is online")
        await self.assert_friends(alice, bob)
        alice.type("/msg bob@localhost")
        await self.see(alice, "while you were away")

        # The other way round, and scripts/run once more instead of the restart.
        await bob.log_out()
        await self.see(alice, "bob@localhost [offline]")
        alice.type("What a day, Bob")
        alice.type("/quit")
        await self.start()
        self.assertEqual(await asyncio.to_thread(self.suite.users), ["alice@localhost", "bob@localhost"])
        bob = await self.bob()
        await bob.until(lambda: bob.bodies, "message from before")
        self.assertEqual((bob.bodies, bob.delayed), (["What a day, Bob"], ["What a day, Bob"]))
        self.assertEqual(await bob.contacts(), {"alice@localhost": "both"})
