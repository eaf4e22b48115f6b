# SPDX-License-Identifier: Apache-2.0
"""Faults of links under load: what is broken, for how long, and what must have become of every message."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import time

import stage
from cells import SECOND, domain
from processes import Refusal, signals, stopped
from traffic import Account, Traffic
from troupe import Troupe

# Seconds of load before a fault, and after it is over.
BEFORE, AFTER = 10.0, 20.0
# Until everything is settled: what waits is sent when the peer is back, after a pause that grows while it is away.
LONGEST_SETTLING = 240.0
# With a peer that was away for less than the queue's time.
LEAST_DELIVERED = 0.95


@dataclasses.dataclass(frozen=True)
class Breakage:
    name: str
    title: str
    seconds: float

    async def happen(self, ours, theirs) -> float:
        """When it was over."""
        over = await getattr(self, self.name.replace("-", "_"))(ours, theirs)
        return over or time.monotonic()

    async def nothing(self, ours, theirs) -> None:
        """For comparison."""

    async def peer_killed(self, ours, theirs) -> float:
        """Everything by which it is a peer; its supervisor starts it again."""
        at = time.monotonic()
        for name in [*theirs.instances("s2s"), *theirs.instances("router")]:
            kill(theirs, name)
        await asyncio.sleep(self.seconds)
        return at

    async def peer_stopped(self, ours, theirs) -> None:
        """It reads nothing and answers nothing, and its connections stay open."""
        with stopped(serving(theirs)):
            await asyncio.sleep(self.seconds)

    async def packets_cut(self, ours, theirs) -> None:
        with cut(theirs.name):
            await asyncio.sleep(self.seconds)

    async def ours_scaled(self, ours, theirs) -> None:
        """The new process takes pairs of domains that have nothing under way; the one that goes gives back what it has."""
        await asyncio.to_thread(ours.scale, "s2s", 2)
        await asyncio.sleep(self.seconds)
        await asyncio.to_thread(ours.scale, "s2s", 1)

    async def ours_restarted(self, ours, theirs) -> None:
        """In order, as an upgrade does it: what it has not sent goes to the new process."""
        await asyncio.to_thread(ours.restart, "s2s")

    async def sm_restarted(self, ours, theirs) -> None:
        """In order: what it has not settled comes again from C2S, and S2S may have it already."""
        await asyncio.to_thread(ours.restart, "sm")

    async def ours_killed(self, ours, theirs) -> float:
        at = time.monotonic()
        for name in ours.instances("s2s"):
            kill(ours, name)
        await asyncio.sleep(self.seconds)
        return at


BREAKAGES = {breakage.name: breakage for breakage in (
    Breakage("nothing", "nothing is broken", 20), Breakage("peer-killed", "`kill -9` of the peer's S2S and router", 20),
    Breakage("peer-stopped", "the peer reads nothing for 60 s (SIGSTOP of its S2S)", 60),
    Breakage("packets-cut", "packets to and from the peer are dropped for 40 s (nftables)", 40),
    Breakage("ours-killed", "`kill -9` of our S2S", 20), Breakage("ours-scaled", "our S2S become two, and one again", 10),
    Breakage("ours-restarted", "our S2S is restarted in order", 0), Breakage("sm-restarted", "our SM is restarted in order", 0),
)}


# Only with a peer whose links are processes of their own: one that is a single process takes its users' connections along.
OF_A_SUITE = {"peer-killed"}


def kill(suite, name: str) -> None:
    pid = suite.pid(name)
    if pid is None:
        raise Refusal(f"{suite.name} has no {name} that could be killed")
    os.kill(pid, signal.SIGKILL)


def serving(theirs) -> list[int]:
    """The processes that serve the peer's links."""
    if theirs.name == SECOND:
        return [theirs.pid(name) for name in theirs.instances("s2s")]
    return [process.pid for process in theirs.processes]


@contextlib.contextmanager
def cut(server: str):
    """Nothing passes between the peer's ports for servers and anybody, and nobody is told."""
    published = stage.published(server)
    try:
        for address in published:
            stage.drop("cut", "ip6" if ":" in address else "ip", address, "{ 5269, 5270 }")
        yield
    finally:
        with signals.held():
            stage.pass_again("cut")


async def run(
    troupe: Troupe, breakage: Breakage, near: str, peer: str, rate: float, before: float = BEFORE, after: float = AFTER, pairs: int = 20,
) -> dict:
    """One breakage under load; the account, and whether it is what it must be."""
    ours, theirs = troupe.servers[near], troupe.servers[peer]
    traffic = Traffic(ours, theirs, domain(near, "certificate", "starttls", "out"), domain(peer, "certificate", "starttls", "out"), pairs)
    try:
        await traffic.begin()
        writing = asyncio.create_task(traffic.write(before + breakage.seconds + after, rate))
        await asyncio.sleep(before)
        over = await breakage.happen(ours, theirs)
        await writing
        await traffic.settle(LONGEST_SETTLING)
        settled = time.monotonic() - over
        account, broken = traffic.account(), traffic.broken()
        first, fresh = map(rounded, traffic.recovery(over))
    finally:
        await traffic.end()
    result = dataclasses.asdict(account) | {
        "type": "load", "fault": breakage.name, "title": breakage.title, "peer": peer, "rate": rate, "faultSeconds": breakage.seconds,
        "deliveredShare": round(account.delivered_share, 4), "settledSeconds": round(settled, 1),
        "firstSeconds": first, "freshSeconds": fresh, "brokenClients": broken[:5],
    }
    return result | {"wrong": wrongs(account, broken, resumes=peer == SECOND)}


def rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def wrongs(account: Account, broken: list[str], resumes: bool) -> list[str]:
    """Every message is delivered once or its sender got an error; twice never, where the peer resumes (XEP-0198)."""
    found = []
    if account.lost:
        found.append(f"{account.lost} silently lost")
    if account.doubled and resumes:
        found.append(f"{account.doubled} delivered twice")
    if account.reordered:
        found.append(f"{account.reordered} out of order")
    if account.delivered_share < LEAST_DELIVERED:
        found.append(f"{account.delivered_share:.1%} delivered")
    if broken:
        found.append(f"clients lost their connection: {broken[0]}")
    return found


def described(result: dict) -> str:
    verdict = "; ".join(result["wrong"]) or "as it must be"
    return (
        f"{result['fault']} with {result['peer']}: {result['sent']} sent, {result['delivered']} delivered, {result['refused']} errors "
        f"({result['both']} of delivered ones), {result['lost']} lost, {result['doubled']} doubled, {result['reordered']} out of order; "
        f"the first came {result['firstSeconds']} s after the fault, the first written after it {result['freshSeconds']} s: {verdict}"
    )
