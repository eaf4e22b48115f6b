# SPDX-License-Identifier: Apache-2.0
"""Two people chat, both with slixmpp: login, roster, presence, messages, and what waits for whoever is away."""

import asyncio
import ssl
import unittest

import running
import slixmpp

SECONDS = 20


class Client(slixmpp.ClientXMPP):
    """Keeps what arrives in lists, and lets a test wait until something has arrived."""

    def __init__(self, user: str, password: str = running.PASSWORD, resource: str = "test"):
        super().__init__(f"{user}@localhost/{resource}", password)
        for plugin in ("xep_0030", "xep_0054", "xep_0092", "xep_0198", "xep_0199", "xep_0203"):
            self.register_plugin(plugin)
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        # None: neither agree nor refuse by itself.
        self.auto_authorize = self.auto_subscribe = None
        self.changed = asyncio.Event()
        self.bodies: list[str] = []
        self.delayed: list[str] = []
        self.presences: list[tuple[str, str]] = []
        self.failed = False
        self.started = False
        self.add_event_handler("message", self.on_message)
        self.add_event_handler("presence", self.on_presence)
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("failed_auth", self.on_failed)

    def on_message(self, message) -> None:
        self.bodies.append(message["body"])
        if message.get_plugin("delay", check=True):
            self.delayed.append(message["body"])
        self.changed.set()

    def on_presence(self, presence) -> None:
        self.presences.append((presence["from"].bare, presence["type"]))
        self.changed.set()

    def on_start(self, _) -> None:
        self.started = True
        self.changed.set()

    def on_failed(self, _) -> None:
        self.failed = True
        self.changed.set()

    async def until(self, condition, what: str) -> None:
        async def wait() -> None:
            while not condition():
                self.changed.clear()
                await self.changed.wait()

        try:
            await asyncio.wait_for(wait(), SECONDS)
        except TimeoutError:
            raise AssertionError(f"{self.boundjid}: no {what} in {SECONDS} s: {self.bodies} {self.presences}") from None

    async def log_in(self) -> "Client":
        self.enable_starttls = True
        self.connect("127.0.0.1", running.suite.ports["starttls"])
        await self.until(lambda: self.started, "session")
        await self.get_roster()
        self.send_presence()
        # The server's answer to our presence is the presence itself, at every resource (RFC 6121, 4.2.2).
        await self.until(lambda: (self.boundjid.bare, "available") in self.presences, "presence of its own")
        return self

    async def log_out(self) -> None:
        self.disconnect(wait=2)
        await self.disconnected

    async def befriend(self, other: "Client") -> None:
        """Both ask, both agree."""
        for asks, answers in ((self, other), (other, self)):
            asks.send_presence_subscription(answers.boundjid.bare, ptype="subscribe")
            await answers.until(lambda: (asks.boundjid.bare, "subscribe") in answers.presences, "request")
            answers.send_presence_subscription(asks.boundjid.bare, ptype="subscribed")
            await asks.until(lambda: (answers.boundjid.bare, "subscribed") in asks.presences, "answer")
            await asks.until(lambda: (answers.boundjid.bare, "available") in asks.presences, "presence")


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
            await client.get_roster()
            contacts = {jid: client.client_roster[jid]["subscription"] for jid in client.client_roster}
            self.assertEqual({jid: state for jid, state in contacts.items() if state != "none"}, {other: "both"})

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
        # An answered ping: all that came before it was taken.
        await alice.plugin["xep_0199"].ping("localhost")

        bob = await self.client("bob")
        await bob.until(lambda: len(bob.bodies) == len(waiting), "waiting messages")
        self.assertEqual(bob.bodies, waiting)
        self.assertEqual(bob.delayed, waiting)
        await alice.until(lambda: alice.presences[-1] == ("bob@localhost", "available"), "return")

        await bob.log_out()
        alice.send_message(mto="bob@localhost", mbody="after the restart", mtype="chat")
        await alice.plugin["xep_0199"].ping("localhost")
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
        await alice.plugin["xep_0199"].ping("localhost")
        bob.connect("127.0.0.1", running.suite.ports["starttls"])
        await asyncio.wait_for(resumed.wait(), SECONDS)
        await bob.until(lambda: bob.bodies, "the message")
        self.assertEqual(bob.bodies, ["while you were cut off"])
