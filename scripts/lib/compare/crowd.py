# SPDX-License-Identifier: Apache-2.0
"""People under whom something is done to a server: half of them write, each to one of the others, who only read.

Whoever loses a connection logs in again, as any client does, but a reader only when he notices: he says nothing of his
own accord. What a session has lost is not sent again: the server alone is judged.
"""

import asyncio
import time
import typing
import xml.etree.ElementTree as ElementTree

from message_books import MessageBooks
from xmpp_client import Client, Ended, is_error

if typing.TYPE_CHECKING:
    from contenders import Contender

LOGINS_AT_A_TIME = 16
# How often a writer asks what the server has taken, and for how long it waits for that.
ASKS_EVERY, PATIENCE = 1.0, 10.0


class Person:
    def __init__(self, crowd: "Crowd", number: int):
        self.crowd = crowd
        self.user = f"chaos{number}"
        self.client: Client | None = None
        # Logins so far; the session that is open, if one is.
        self.sessions = 0
        self.session: int | None = None
        # Connections that ended against our will, and when.
        self.disconnects: list[tuple[float, str]] = []
        self.wants_in = True

    @property
    def jid(self) -> str:
        return f"{self.user}@{self.crowd.contender.domain}"

    async def live(self) -> None:
        """In, and in again as often as it is put out."""
        while self.wants_in:
            try:
                async with self.crowd.logins:
                    await self.log_in()
                reason = await self.stay()
                if self.wants_in:
                    self.disconnects.append((time.monotonic(), reason))
            except Ended:
                pass
            if self.wants_in:
                await asyncio.sleep(0.3)

    async def log_in(self) -> None:
        contender = self.crowd.contender
        client = Client(self.user, contender.domain, contender.password, contender.acknowledges)
        client.on_settled = self.crowd.books.accept
        session = self.sessions = self.sessions + 1
        client.on_message = lambda message: self.crowd.received(self, session, message)
        await client.log_in(contender.host, contender.client_port)
        self.client, self.session = client, session

    async def stay(self) -> str:
        await self.client.closed.wait()
        self.session = None
        return self.client.reason

    async def leave(self) -> None:
        self.wants_in = False
        if self.client:
            await self.client.close()

    def write(self, receiver: "Person") -> None:
        if self.session is None:
            return
        self.crowd.number += 1
        identifier = f"m{self.crowd.number}"
        self.crowd.books.send(identifier, receiver.user, time.monotonic(), receiver.session)
        self.client.send_message(receiver.jid, identifier)

    async def ask(self) -> None:
        while self.wants_in:
            if self.session is not None:
                await self.client.ask_what_was_taken(PATIENCE)
            await asyncio.sleep(ASKS_EVERY)


class Crowd:
    def __init__(self, contender: "Contender", people: int):
        self.contender = contender
        self.books = MessageBooks()
        self.number = 0
        self.logins = asyncio.Semaphore(LOGINS_AT_A_TIME)
        self.people = [Person(self, number) for number in range(1, people + 1)]
        self.writers, self.readers = self.people[::2], self.people[1::2]
        self.tasks: list[asyncio.Task] = []

    def received(self, person: Person, session: int, message: ElementTree.Element) -> None:
        identifier = message.get("id", "")
        if is_error(message):
            self.books.refuse(identifier)
        else:
            self.books.receive(identifier, person.user, session, time.monotonic())

    def start(self, people: list[Person]) -> None:
        self.tasks += [asyncio.create_task(person.live()) for person in people]

    async def come(self) -> None:
        """All log in."""
        self.start(self.people)
        self.tasks += [asyncio.create_task(writer.ask()) for writer in self.writers]
        await self.until(lambda: all(person.session is not None for person in self.people), 60, "everybody is in")

    async def write(self, seconds: float, rate: float) -> None:
        """So many messages a second of all writers together, in turn."""
        began, count = time.monotonic(), 0
        while (now := time.monotonic()) < began + seconds:
            while count < (now - began) * rate:
                place = count % len(self.writers)
                self.writers[place].write(self.readers[place])
                count += 1
            await asyncio.sleep(0.01)

    async def until(self, condition, seconds: float, what: str = "") -> bool:
        """Whether it came true in time; with a name it must."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                if what:
                    raise Ended(f"{what}: not within {seconds:.0f} s")
                return False
            await asyncio.sleep(0.02)
        return True

    async def settle(self, seconds: float) -> None:
        """Until everything has come, or nothing has come any more for a while."""
        left, since = self.books.outstanding(), time.monotonic()
        while left and time.monotonic() < since + seconds:
            await asyncio.sleep(0.1)
            if (now_left := self.books.outstanding()) != left:
                left, since = now_left, time.monotonic()

    async def dead_readers(self) -> int:
        """Whose connections are open, while nobody serves them: asked by a ping, the first that they say."""
        there = [reader for reader in self.readers if reader.session is not None]
        answers = await asyncio.gather(*(reader.client.ping(5) for reader in there))
        return answers.count(False)

    async def come_anew(self) -> None:
        """All readers log out and in again, and get what was stored for them."""
        for reader in self.readers:
            reader.wants_in = False
        await asyncio.gather(*(reader.leave() for reader in self.readers))
        await asyncio.sleep(0.5)
        for reader in self.readers:
            reader.wants_in = True
        self.start(self.readers)
        await self.until(lambda: all(reader.session is not None for reader in self.readers), 30)
        await self.settle(3)

    def disconnects(self, since: float = 0) -> int:
        return sum(at >= since for person in self.people for at, _ in person.disconnects)

    async def go(self) -> None:
        await asyncio.gather(*(person.leave() for person in self.people))
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
