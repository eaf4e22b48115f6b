# SPDX-License-Identifier: Apache-2.0
"""People who talk on while the suite under them is exchanged, and what their clients noticed of it."""

import asyncio
import collections.abc

from slixmpp.xmlstream.xmlstream import NotConnectedError
from slixmpp_client import SECONDS, Client
from story import Story

EDGES = 3


class Talker(Client):
    """Comes back when its connection ends, resumes its session where it can, and notes each login and resumption."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        # Of the cuts only those that ended a session.
        self.logins = self.resumptions = self.cuts = 0
        self.is_leaving = False
        self.has_session = asyncio.Event()
        self.stream_errors: list[str] = []
        # What slixmpp took and could not write: it forgets it.
        self.unwritten: list[tuple[str, str]] = []
        self.said: tuple[str, str] = ("", "")
        self.add_event_handler("session_start", self.on_login)
        self.add_event_handler("session_resumed", self.on_resumption)
        self.add_event_handler("disconnected", self.on_cut)
        self.add_event_handler("stream_error", lambda error: self.stream_errors.append(error["condition"]))

    def on_login(self, _) -> None:
        self.logins += 1
        self.has_session.set()

    def on_resumption(self, _) -> None:
        self.resumptions += 1
        for receiver, body in self.unwritten:
            self.send_message(mto=receiver, mbody=body, mtype="chat")
        self.unwritten.clear()
        self.has_session.set()
        self.changed.set()

    def on_cut(self, _) -> None:
        # What ends while it is still being negotiated, because that C2S is next to stop, takes no session along.
        self.cuts += self.has_session.is_set()
        self.has_session.clear()
        if not self.is_leaving:
            # What else is to be done about the end is done first.
            asyncio.get_running_loop().call_soon(self.connect, *self.endpoint)

    def send_raw(self, data) -> None:
        try:
            super().send_raw(data)
        except NotConnectedError:
            if f"<body>{self.said[1]}</body>" in str(data):
                self.unwritten.append(self.said)
            raise

    def leave(self) -> None:
        self.is_leaving = True
        self.abort()

    async def say(self, number: int, receiver: str) -> None:
        await self.has_session.wait()
        self.said = (receiver, str(number))
        self.send_message(mto=receiver, mbody=str(number), mtype="chat")


class TalkingStory(Story):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        await self.start()
        await self.call("supervisor", "scale", "c2s", str(EDGES))

    async def talker(self, user: str) -> Talker:
        """Each a user of its own: what one resource misses goes to the others."""
        await self.add_users(user)
        talker = Talker(user, suite=self.suite)
        self.addCleanup(talker.leave)
        return await talker.log_in()

    async def talkers_everywhere(self) -> list[Talker]:
        """As many as it takes until each C2S has some; the kernel chooses."""
        talkers: list[Talker] = []
        for number in range(40):
            talkers.append(await self.talker(f"talker{number}"))
            places = set((await asyncio.to_thread(self.suite.instances)).values())
            if len(places) == EDGES and len(talkers) >= 4:
                return talkers
        raise AssertionError(f"40 logins reached only {places}")

    async def talk_during(self, talkers: list[Talker], what_happens: collections.abc.Awaitable) -> None:
        """Each writes to the next one, fifty times a second: all of it arrives once and in order."""
        is_over = asyncio.Event()
        said: list[int] = []

        async def talk(sender: Talker, receiver: Talker) -> None:
            number = 0
            while not is_over.is_set():
                await sender.say(number, receiver.boundjid.full)
                number += 1
                await asyncio.sleep(0.02)
            said.append(number)
            await receiver.until(lambda: len(receiver.bodies) >= number, f"{number} messages")
            self.assertEqual(receiver.bodies, [str(n) for n in range(number)])

        talks = [asyncio.create_task(talk(sender, receiver)) for sender, receiver in zip(talkers, talkers[1:] + talkers[:1])]
        await what_happens
        is_over.set()
        await asyncio.wait_for(asyncio.gather(*talks), SECONDS)
        await asyncio.wait_for(asyncio.gather(*(talker.has_session.wait() for talker in talkers)), SECONDS)
        self.assertTrue(all(number > 10 for number in said), said)

    async def assert_resumed(self, talkers: list[Talker]) -> None:
        """Everybody was at a C2S that ended, and those who went on to one that ended later, again."""
        for talker in talkers:
            self.assertGreaterEqual(talker.resumptions, 1)
            self.assertEqual((talker.logins, talker.resumptions), (1, talker.cuts), talker.boundjid)
            self.assertEqual(set(talker.stream_errors), {"system-shutdown"})
        sessions = await asyncio.to_thread(self.suite.instances)
        self.assertEqual(set(sessions), {talker.boundjid.full for talker in talkers})
