# SPDX-License-Identifier: Apache-2.0
"""Our S2S is restarted and scaled while there is something to send: nothing is lost, and other peers notice little."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

import breakages
from cells import OURS, SECOND
from diagnoses import Answer, ask, rows, until
from stub import Behaviour, StubServer, described
from stub_stage import ADDRESSES, LABELS, Case, StubStage

# Stanzas a second, and seconds with two processes: enough to find some of them under way.
RATE, SECONDS = 100.0, 4.0


def bodies(server: StubServer) -> list[str]:
    return [stanza.findtext("{*}body", "") for stanza in server.stanzas]


async def restarted(on: StubStage) -> Answer:
    """What waits for a peer that is away waits for the new process too; another peer is written to as before."""
    away, good = LABELS["closed"].name, on.servers["good"]
    written = [f"over a restart {number}" for number in range(3)]
    for body in written:
        on.client.send_message(on.bob("closed"), body.replace(" ", "-"), body)
    async def waiting() -> bool:
        return sum(row["queued"] for row in await rows(on, away)) >= len(written)
    if not await until(waiting):
        return False, None, f"nothing waits: {await rows(on, away)}"
    await asyncio.to_thread(on.target.call, "supervisor", "restart", "s2s-1")
    on.client.send_message(on.bob("good"), "after-a-restart", "after a restart")
    async def has_come() -> bool:
        return "after a restart" in bodies(good)
    if not await until(has_come, 10):
        return False, None, f"the other peer got {bodies(good)}"
    server = StubServer(away, ADDRESSES["closed"], on.pairs["closed"], on.troupe.authority.trusted, Behaviour())
    await server.start(5998)
    try:
        # The new process has tried in vain by now, and would wait before it tries again.
        await ask(on, "close", away)
        async def have_come() -> bool:
            return set(written) <= set(bodies(server))
        await until(have_come, 20)
        await asyncio.sleep(0.5)
        came = [body for body in bodies(server) if body in written]
    finally:
        await server.stop()
    return came == written, None, f"came: {came}"


def not_forgotten(*steps: tuple[str, str]) -> Callable[[StubStage], Awaitable[Answer]]:
    """A message waits for a peer that is away, and its sender was told that it is taken: then it still waits afterwards, or its
    sender gets an error."""
    async def case(on: StubStage) -> Answer:
        away, label = LABELS["closed"].name, "-".join(name for _, name in steps)
        async def queued() -> int:
            return sum(row["queued"] for row in await rows(on, away))
        # What waits from before is not of this case.
        before = await queued()
        while not on.errors.empty():
            on.errors.get_nowait()
        on.client.send_message(on.bob("closed"), label, label)
        async def waits() -> bool:
            return await queued() > before
        if not await until(waits):
            return False, None, "it does not wait"
        await asyncio.sleep(1.5)
        for step, name in steps:
            await asyncio.to_thread(on.target.call, "supervisor", step, name)
        async def is_known() -> bool:
            return await queued() > 0 or not on.errors.empty()
        found = bool(await until(is_known, 10))
        told = described(on.errors.get_nowait()) if not on.errors.empty() else "it waits" if found else "it is lost"
        return found, None, told
    return case


async def started_late(on: StubStage) -> Answer:
    """SM is there, and S2S is not yet: what is written to another server waits, and nobody gets an error."""
    good, body = on.servers["good"], "before S2S"
    await asyncio.to_thread(on.target.call, "supervisor", "stop", "s2s-1")
    try:
        await asyncio.to_thread(on.target.call, "supervisor", "restart", "sm-1")
        while not on.errors.empty():
            on.errors.get_nowait()
        on.client.send_message(on.bob("good"), "before-s2s", body)
        # The answer comes behind what SM had to say of the message.
        await on.client.request("<ping xmlns='urn:xmpp:ping'/>", to=on.us, seconds=10)
    finally:
        await asyncio.to_thread(on.target.call, "supervisor", "start", "s2s-1")
    async def has_come() -> bool:
        return body in bodies(good)
    came = bool(await until(has_come, 20))
    errors = on.errors.qsize()
    return came and not errors, None, f"came: {came}, {errors} errors"


async def scaled(on: StubStage) -> Answer:
    """One S2S becomes two and one again under traffic."""
    breakage = dataclasses.replace(breakages.BREAKAGES["ours-scaled"], seconds=SECONDS)
    result = await breakages.run(on.troupe, breakage, OURS, SECOND, RATE, before=2.0, after=4.0, pairs=4)
    told = "; ".join(result["wrong"]) or f"{result['delivered']} of {result['sent']} came, {result['refused']} errors"
    return not result["wrong"], None, told


CASES: list[Case] = [
    ("what waits outlives a restart of S2S", restarted), ("what is written before S2S is there waits for it", started_late),
    ("what waits is not forgotten when S2S and SM stop", not_forgotten(("stop", "s2s-1"), ("restart", "sm-1"), ("start", "s2s-1"))),
    ("what waits is not forgotten when SM and S2S are exchanged", not_forgotten(("restart", "sm-1"), ("restart", "s2s-1"))),
    ("S2S is scaled under traffic", scaled),
]
