# SPDX-License-Identifier: Apache-2.0
"""Row 10: logins and odd input for a long time; and PostgreSQL stands still for a while."""

import asyncio
import collections
import contextlib
import pathlib
import random
import time

import fuzzing
from contenders import Contender
from crowd import Crowd
from logins import client, logged_in
from outcome import Outcome, Scale, running
from xmpp_client import Client, Component, Connection, Ended

ACCOUNTS = 100
# Logins under way at a time, and connections with odd input per second at each port.
MOST_LOGINS, ODD_RATE = 64, 5.0
# What a process may grow by after the first half, in which pools and caches fill: 5 %, or for a process of a few
# megabytes one, in which an allocator takes and keeps its memory.
GROWTH, LEAST_GROWTH = 0.05, 1 << 20
PEOPLE, OUTAGE_RATE = 20, 40.0


def soak(contender: Contender, scale: Scale) -> Outcome:
    """logins and logouts, with odd stanzas on the client and the component port"""
    with running(contender, ACCOUNTS):
        details = asyncio.run(Soak(contender, scale).run())
    done = (
        f"{scale.soak:.0f} s of logins and logouts, {scale.logins:.0f}/s wanted, with odd stanzas and bytes on the client and the "
        "component port"
    )
    growth = ", ".join(
        f"{name} {now / 1e6:.1f} MB ({(now - before) / before * 100:+.1f} %)" for name, (before, now) in details["memory"].items())
    crashes = f"ended: {', '.join(details['ended'])}" if details["ended"] else "no crash"
    reason = f" ({max(details['reasons'], key=details['reasons'].get)})" if details["reasons"] else ""
    figure = (
        f"{details['logins'] / scale.soak:.0f} logins/s, {details['refused']} failed{reason}, {details['odd']} connections with "
        f"odd input; {crashes}; RSS at the end, and growth in the second half: {growth}"
    )
    grown = any(now - before > max(before * GROWTH, LEAST_GROWTH) for before, now in details["memory"].values())
    return Outcome(done, figure, not (details["ended"] or details["refused"] or grown), details)


class Soak:
    def __init__(self, contender: Contender, scale: Scale):
        self.contender, self.scale = contender, scale
        self.until = 0.0
        self.counts: collections.Counter = collections.Counter(logins=0, refused=0, odd=0)
        self.reasons: collections.Counter = collections.Counter()
        self.places = asyncio.Semaphore(MOST_LOGINS)

    async def run(self) -> dict:
        pids = self.contender.pids()
        began = time.monotonic()
        self.until = began + self.scale.soak
        work = [asyncio.create_task(task) for task in (self.log_in_and_out(), self.odd_clients(), self.odd_components())]
        await asyncio.sleep(self.scale.soak / 2)
        before = memory(pids)
        await asyncio.gather(*work)
        # What is under way at the end is not what stays.
        await asyncio.sleep(2)
        now = memory(self.contender.pids())
        ended = [name for name, pid in pids.items() if self.contender.pids().get(name) != pid]
        return dict(self.counts) | {
            "ended": ended, "memory": {name: (before[name], now[name]) for name in before if name in now},
            "reasons": dict(self.reasons),
        }

    async def log_in_and_out(self) -> None:
        began, count = time.monotonic(), 0
        tasks: set[asyncio.Task] = set()
        while (now := time.monotonic()) < self.until:
            while count < (now - began) * self.scale.logins and not self.places.locked():
                await self.places.acquire()
                tasks.add(task := asyncio.create_task(self.one(count % ACCOUNTS + 1, f"r{count}")))
                task.add_done_callback(tasks.discard)
                count += 1
            await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)

    async def one(self, number: int, resource: str) -> None:
        try:
            user = await client(self.contender, number).log_in(self.contender.host, self.contender.client_port, resource)
            self.counts["logins"] += 1
            await user.close()
        except Ended as ended:
            self.counts["refused"] += 1
            self.reasons[str(ended)] += 1
        finally:
            self.places.release()

    async def repeat(self, seed: int, odd) -> None:
        generator = random.Random(seed)
        while time.monotonic() < self.until:
            with contextlib.suppress(Ended):
                await odd(generator)
            self.counts["odd"] += 1
            await asyncio.sleep(1 / ODD_RATE)

    async def odd_clients(self) -> None:
        async def odd(generator: random.Random) -> None:
            stage = generator.randrange(3)
            peer = client(self.contender, generator.randrange(1, ACCOUNTS + 1))
            try:
                if stage == 2:
                    await peer.log_in(self.contender.host, self.contender.client_port, "odd")
                else:
                    await peer.connect(self.contender.host, self.contender.client_port)
                    if stage == 1:
                        await peer.secure()
                await self.say_odd_things(peer, generator)
            finally:
                peer.abort()
        await self.repeat(1, odd)

    async def odd_components(self) -> None:
        name, place = f"gamma.{self.contender.domain}", (self.contender.host, self.contender.router_port)

        async def odd(generator: random.Random) -> None:
            peer = Component(name)
            try:
                if generator.random() < 0.5:
                    await peer.log_in(*place, self.contender.secret("gamma"))
                else:
                    await peer.connect(*place)
                    peer.open_stream()
                await self.say_odd_things(peer, generator)
            finally:
                peer.abort()
        await self.repeat(2, odd)

    async def say_odd_things(self, peer: Connection, generator: random.Random) -> None:
        for _ in range(generator.randrange(1, 20)):
            if peer.closed.is_set():
                break
            odd = fuzzing.noise(generator) if generator.random() < 0.05 else fuzzing.stanza(generator, self.contender.domain)
            peer.send(odd)
            await asyncio.sleep(0.005)


def memory(pids: dict[str, int]) -> dict[str, int]:
    """Bytes of resident memory of those that live."""
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(OSError, StopIteration):
            lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
            found[name] = int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024
    return found


def outage(contender: Contender, scale: Scale) -> Outcome:
    """PostgreSQL stands still"""
    with running(contender, PEOPLE + 4):
        details = asyncio.run(Outage(contender, scale).run())
    done = (
        f"PostgreSQL stopped (`SIGSTOP`) for {scale.outage:.0f} s, {PEOPLE} users write {OUTAGE_RATE:.0f} messages/s to each other, "
        "and one writes to some who are away"
    )
    figure = (
        f"{details['disconnected']} connections lost; of {details['live']} live messages {details['prompt']} came within 2 s, "
        f"{details['lost']} lost; "
        f"of {details['stored']} for people away {details['refused']} were answered with an error, {details['kept']} came at the next login, "
        f"{details['doubled']} twice, {details['silent']} were lost without a word"
    )
    is_met = not any(details[key] for key in ("disconnected", "lost", "silent", "doubled"))
    return Outcome(done, figure, is_met, details)


class Outage:
    def __init__(self, contender: Contender, scale: Scale):
        self.contender, self.scale = contender, scale
        self.away = [PEOPLE + 2, PEOPLE + 3, PEOPLE + 4]
        # By id: of what was written to those who are away.
        self.sent: list[str] = []
        self.refused: set[str] = set()
        self.came: collections.Counter = collections.Counter()

    async def run(self) -> dict:
        crowd = Crowd(self.contender, PEOPLE)
        try:
            await crowd.come()
            writer = await logged_in(
                self.contender, PEOPLE + 1, self.contender.acknowledges, lambda message: self.refused.add(message.get("id", "")))
            writing = [asyncio.create_task(crowd.write(self.scale.outage + 6, OUTAGE_RATE)), asyncio.create_task(self.write(writer))]
            await asyncio.sleep(2)
            at = time.monotonic()
            with self.contender.stopped_database():
                await asyncio.sleep(self.scale.outage)
            over = time.monotonic()
            await asyncio.gather(*writing)
            # What was stopped for long has a lot to do.
            await crowd.settle(15)
            await writer.ping(60)
            disconnected = crowd.disconnects(at) + writer.closed.is_set()
            tally = crowd.books.tally()
            meanwhile = crowd.books.select(at, over)
            prompt = sum(message.received_at is not None and message.received_at - message.sent_at < 2 for message in meanwhile)
            await self.fetch()
        finally:
            await crowd.go()
        return {
            "disconnected": disconnected, "live": len(meanwhile), "prompt": prompt, "lost": tally.lost + tally.vanished,
            "stored": len(self.sent), "refused": len(self.refused & set(self.sent)), "kept": sum(identifier in self.came for identifier in self.sent),
            "doubled": sum(count > 1 for count in self.came.values()) + tally.doubled,
            "silent": sum(identifier not in self.came and identifier not in self.refused for identifier in self.sent),
        }

    async def write(self, writer: Client) -> None:
        """Two a second for those who are away, as long as the others write."""
        deadline = time.monotonic() + self.scale.outage + 6
        while time.monotonic() < deadline and not writer.closed.is_set():
            identifier = f"o{len(self.sent)}"
            self.sent.append(identifier)
            writer.send_message(f"chaos{self.away[len(self.sent) % len(self.away)]}@{self.contender.domain}", identifier)
            await asyncio.sleep(0.5)

    async def fetch(self) -> None:
        readers = []
        for number in self.away:
            readers.append(await logged_in(
                self.contender, number, self.contender.acknowledges, lambda message: self.came.update([message.get("id", "")])))
        await asyncio.sleep(5)
        for reader in readers:
            await reader.close()

