# SPDX-License-Identifier: Apache-2.0
"""Steady traffic from our users to those of a peer, and the account of what became of every message."""

import asyncio
import dataclasses
import time

import accounts
from accounts import PASSWORD
from message_books import MessageBooks
from xmpp_client import Client, is_error

TICK = 0.02
# How long nothing may come before what is missing is missing.
PATIENCE = 10.0


@dataclasses.dataclass
class Account:
    """Of all messages; all that matters is of those that our server has taken."""

    sent: int
    accepted: int
    delivered: int
    refused: int
    # Delivered, and its sender got an error all the same: in doubt, and said so.
    both: int
    # Neither, though it was taken.
    lost: int
    doubled: int
    reordered: int
    # By the words of the error.
    reasons: dict[str, int]

    @property
    def delivered_share(self) -> float:
        return self.delivered / self.sent if self.sent else 0.0


class Traffic:
    """Pairs of a sender and a receiver; a message's id is its pair and its number, so order can be told."""

    def __init__(self, ours, peer, our_domain: str, their_domain: str, pairs: int = 20):
        self.ours, self.peer = ours, peer
        self.our_domain, self.their_domain = our_domain, their_domain
        self.pairs = pairs
        self.books = MessageBooks()
        self.senders: list[Client] = []
        self.receivers: list[Client] = []
        self.next_number = [0] * pairs
        # The numbers of each pair, as they came first.
        self.arrivals: list[list[int]] = [[] for _ in range(pairs)]
        self.answered: set[str] = set()
        self.reasons: dict[str, int] = {}
        self.last_event = 0.0

    async def begin(self) -> None:
        for number in range(self.pairs):
            await accounts.register(self.ours, self.our_domain, f"sender{number}")
            await accounts.register(self.peer, self.their_domain, f"receiver{number}")
        for number in range(self.pairs):
            receiver = Client(f"receiver{number}", self.their_domain, PASSWORD, acknowledges=self.peer.acknowledges)
            receiver.on_message = lambda message, number=number: self.received(number, message)
            self.receivers.append(await receiver.log_in(self.peer.address, self.peer.port))
            sender = Client(f"sender{number}", self.our_domain, PASSWORD, acknowledges=self.ours.acknowledges)
            sender.on_message = self.came_back
            sender.on_settled = self.books.accept
            self.senders.append(await sender.log_in(self.ours.address, self.ours.port))

    def received(self, pair: int, message) -> None:
        if is_error(message):
            return
        identifier = message.get("id", "")
        self.last_event = time.monotonic()
        known = self.books.messages.get(identifier)
        if not known:
            return
        if not known.sessions:
            self.arrivals[pair].append(int(identifier.partition("-")[2]))
        self.books.receive(identifier, self.jid(pair), 0, self.last_event)

    def came_back(self, message) -> None:
        if is_error(message):
            self.last_event = time.monotonic()
            self.books.refuse(message.get("id", ""))
            self.answered.add(message.get("id", ""))
            error = message.find("{*}error")
            words = error.findtext("{*}text", "") if error is not None else ""
            self.reasons[words] = self.reasons.get(words, 0) + 1

    def jid(self, pair: int) -> str:
        return f"receiver{pair}@{self.their_domain}"

    async def write(self, seconds: float, rate: float) -> None:
        """At this rate of all together, one pair after the other."""
        started, written = time.monotonic(), 0
        while (passed := time.monotonic() - started) < seconds:
            while written < passed * rate:
                pair = written % self.pairs
                self.write_one(pair)
                written += 1
            for sender in self.senders:
                if len(sender.unsettled) > 50:
                    await sender.ask_what_was_taken()
            await asyncio.sleep(TICK)

    def write_one(self, pair: int) -> None:
        identifier = f"{pair}-{self.next_number[pair]}"
        self.next_number[pair] += 1
        self.books.send(identifier, self.jid(pair), time.monotonic(), 0)
        self.senders[pair].send_message(self.jid(pair), identifier)

    async def settle(self, longest: float) -> None:
        """Until nothing is outstanding, or nothing has come for a while."""
        deadline = time.monotonic() + longest
        self.last_event = time.monotonic()
        while self.books.outstanding() and time.monotonic() < deadline:
            for sender in self.senders:
                await sender.ask_what_was_taken()
            await asyncio.sleep(0.5)
        for sender in self.senders:
            await sender.ask_what_was_taken()
        await asyncio.sleep(1)

    def recovery(self, since: float) -> tuple[float | None, float | None]:
        """Seconds from then to the first arrival of any message, and of one that was written after it: what waited is
        first."""
        messages = self.books.messages.values()
        anything = [message.received_at for message in messages if message.received_at and message.received_at > since]
        fresh = [message.received_at for message in self.books.select(since=since) if message.received_at]
        return tuple(min(times) - since if times else None for times in (anything, fresh))

    def account(self) -> Account:
        tally = self.books.tally()
        messages = self.books.messages.values()
        return Account(
            sent=tally.sent, accepted=tally.accepted, delivered=tally.live, refused=tally.refused,
            both=sum(bool(message.sessions) and message.is_refused for message in messages), lost=tally.lost + tally.vanished,
            doubled=tally.doubled, reordered=self.reordered(), reasons=dict(sorted(self.reasons.items())),
        )

    def reordered(self) -> int:
        """After a later one of the same sender, but for those whose sender was told that nobody knows about them."""
        found = 0
        for pair, numbers in enumerate(self.arrivals):
            highest = -1
            for number in numbers:
                if f"{pair}-{number}" not in self.answered:
                    found += number < highest
                    highest = max(highest, number)
        return found

    async def end(self) -> None:
        for client in [*self.senders, *self.receivers]:
            client.abort()

    def broken(self) -> list[str]:
        """Clients whose connection has ended, with the reason: that is no part of any fault here."""
        everybody = [*self.senders, *self.receivers]
        return [f"{client.jid}: {client.reason}" for client in everybody if client.closed.is_set()]
