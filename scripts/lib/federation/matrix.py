# SPDX-License-Identifier: Apache-2.0
"""The matrix: every cell is talked through by two people, and asserted from the logs of both servers and from the wire."""

import asyncio

from accounts import FAR, NEAR
from cells import FUNCTIONS, Cell
from conversation import Conversation, first_line, person
from slixmpp_client import Client
from troupe import Troupe
from verdicts import Judgement, faults_of
from wire import Wire

# What is written a moment after what the clients saw.
LOG_SECONDS = 5.0


async def judge(troupe: Troupe, wire: Wire, cell: Cell, functions: tuple[str, ...] = FUNCTIONS) -> Judgement:
    near, far = troupe.servers[cell.near], troupe.servers[cell.far]
    people: list[Client] = []
    try:
        people.append(await person(near, cell.opener, NEAR, cell.peer))
        people.append(await person(far, cell.acceptor, FAR, cell.peer))
        results = await Conversation(*people).run(functions)
    except AssertionError as error:
        return Judgement(cell, dict.fromkeys(functions, ""), [f"a client could not log in: {first_line(error)}"])
    finally:
        for client in people:
            client.abort()
        # slixmpp's tasks end a moment later.
        await asyncio.sleep(0.05)
    faults = await settled_faults(cell, near, far, wire)
    return Judgement(cell, results, faults)


async def settled_faults(cell: Cell, near, far, wire: Wire) -> list[str]:
    for _ in range(int(LOG_SECONDS * 2)):
        faults = faults_of(cell, {near.name: near.streams(), far.name: far.streams()}, wire.seen())
        if not faults:
            return []
        await asyncio.sleep(0.5)
    return faults


async def run(troupe: Troupe, wire: Wire, cells: list[Cell], at_once: int = 6) -> list[Judgement]:
    gate = asyncio.Semaphore(at_once)

    async def one(cell: Cell) -> Judgement:
        async with gate:
            return await judge(troupe, wire, cell)

    return list(await asyncio.gather(*map(one, cells)))
