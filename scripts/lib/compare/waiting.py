# SPDX-License-Identifier: Apache-2.0
"""Row 4: messages wait, the client sends presence and resets its connection; the next login."""

import asyncio
import collections

from contenders import Contender
from logins import logged_in
from outcome import Outcome, Scale, running
from xmpp_client import Ended, body_of

MESSAGES = 5
# How long nothing comes before the rest is missing.
PATIENCE = 3.0


def waiting_messages(contender: Contender, scale: Scale) -> Outcome:
    """5 messages wait, the client sends presence and resets its connection, next login"""
    with running(contender, 2):
        counts = asyncio.run(attempts(contender, scale.attempts, acknowledges=False))
        with_acknowledgements = None
        if contender.acknowledges:
            with_acknowledgements = asyncio.run(attempts(contender, scale.attempts, acknowledges=True))
    done = f"{MESSAGES} messages wait, the client sends presence and resets TCP, {scale.attempts} times"
    figure = f"the next login got {counts['arrived']} of {counts['stored']}, {counts['doubled']} of them twice"
    if with_acknowledgements:
        more = with_acknowledgements
        figure += f"; with XEP-0198 {more['arrived']} of {more['stored']}, {more['doubled']} twice"
    everything = [counts] + ([with_acknowledgements] if with_acknowledgements else [])
    is_met = all(one["arrived"] == one["stored"] and not one["doubled"] for one in everything)
    return Outcome(done, figure, is_met, {"plain": counts, "acknowledged": with_acknowledgements})


async def attempts(contender: Contender, number: int, acknowledges: bool) -> dict:
    total = collections.Counter(stored=0, arrived=0, doubled=0)
    for attempt in range(number):
        total.update(await attempt_once(contender, attempt, acknowledges))
    return dict(total)


async def attempt_once(contender: Contender, attempt: int, acknowledges: bool) -> dict:
    await store(contender, attempt)
    # At once, or when the server has surely written: the client reads, and so acknowledges, nothing of it.
    victim = await logged_in(contender, 2, acknowledges, presence=False)
    victim.transport.pause_reading()
    victim.send_stanza("<presence/>")
    await asyncio.sleep(0.2 if attempt % 2 else 0.01)
    victim.abort()
    await asyncio.sleep(0.3)
    bodies = await fetch(contender, acknowledges)
    wanted = [f"{attempt}-{number}" for number in range(MESSAGES)]
    return {"stored": MESSAGES, "arrived": sum(bodies[body] > 0 for body in wanted), "doubled": sum(bodies[body] > 1 for body in wanted)}


async def store(contender: Contender, attempt: int) -> None:
    sender = await logged_in(contender, 1)
    for number in range(MESSAGES):
        sender.send_message(f"chaos2@{contender.domain}", f"s{number}", f"{attempt}-{number}")
    if not await sender.ping():
        raise Ended("the server took no messages")
    await sender.close()


async def fetch(contender: Contender, acknowledges: bool) -> collections.Counter:
    """What comes to a client that stays, in another resource."""
    bodies: collections.Counter = collections.Counter()
    arrived = asyncio.Event()

    def take(message) -> None:
        bodies[body_of(message)] += 1
        arrived.set()

    reader = await logged_in(contender, 2, acknowledges, take, resource="there")
    while True:
        arrived.clear()
        try:
            await asyncio.wait_for(arrived.wait(), PATIENCE if sum(bodies.values()) < MESSAGES else 0.5)
        except TimeoutError:
            break
    # What it has got is acknowledged, as the end of a stream with a stanza before it is.
    await reader.ping()
    await reader.close()
    return bodies
