# SPDX-License-Identifier: Apache-2.0
"""Many remote domains at once, all hosted by the stub: the time to open links, and the memory of a link."""

import asyncio
import time

import stage
from accounts import NEAR, PASSWORD
from cells import OURS, domain
from processes import Refusal
from stub import Behaviour, StubServer, StubStream, client_context
from troupe import Troupe
from xmpp_client import Client, body_of

ADDRESS = f"127.0.0.{stage.STUBS.stop}"
HOST = "host.many.example"
# Of links that are opened at a time by the stub, which is one process.
AT_ONCE = 50
LONGEST = 300.0
US = domain(OURS, "certificate", "starttls", "out")


def name_of(number: int) -> str:
    return f"d{number}.many.example"


def announce(troupe: Troupe, number: int) -> None:
    troupe.zones.host(HOST, ADDRESS)
    for each in range(number):
        troupe.zones.service(name_of(each), HOST)


def proportional_bytes(suite) -> int:
    """PSS of all processes of S2S: each shared page by its share."""
    total = 0
    for name in suite.instances("s2s"):
        with open(f"/proc/{suite.pid(name)}/smaps_rollup", encoding="ascii") as file:
            total += next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    return total


async def run(troupe: Troupe, number: int) -> dict:
    """Links out, each opened by a message of ours; then links in, each with a message for us."""
    ours = troupe.servers[OURS]
    pair = await asyncio.to_thread(troupe.authority.issue, "many", ["*.many.example"])
    server = await StubServer("many.example", ADDRESS, pair, troupe.authority.trusted, Behaviour()).start()
    server.takes_every_name = True
    client = Client(NEAR, US, PASSWORD, acknowledges=True)
    bodies: set[str] = set()
    client.on_message = lambda message: bodies.add(body_of(message))
    await client.log_in(ours.address, ours.port, "many")
    streams: list[StubStream] = []
    try:
        before = proportional_bytes(ours)
        started = time.monotonic()
        for each in range(number):
            client.send_message(f"bob@{name_of(each)}", f"m{each}")
        await until_there(lambda: len({stanza.get("to") for stanza in server.stanzas}) == number, "links out", lambda: len(server.stanzas))
        out_seconds = time.monotonic() - started
        await asyncio.sleep(5)
        after_out = proportional_bytes(ours)
        started = time.monotonic()
        await open_all(ours, number, client_context(pair), streams)
        await until_there(lambda: len(bodies) >= number, "links in", lambda: len(bodies))
        in_seconds = time.monotonic() - started
        await asyncio.sleep(5)
        after_in = proportional_bytes(ours)
    finally:
        for stream in streams:
            stream.abort()
        client.abort()
        await server.stop()
    return {
        "type": "many", "domains": number, "methods": sorted(set(server.methods)), "outSeconds": round(out_seconds, 2),
        "inSeconds": round(in_seconds, 2), "bytesBefore": before, "bytesPerOutgoingLink": (after_out - before) // number,
        "bytesPerIncomingLink": (after_in - after_out) // number,
    }


async def open_all(ours, number: int, context, streams: list[StubStream]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(each: int) -> None:
        async with gate:
            stream = StubStream(name_of(each), US)
            await stream.dial(ours.address)
            await stream.secure(context)
            await stream.authenticate()
            stream.send(f"<message from='bob@{name_of(each)}' to='{NEAR}@{US}' type='chat'><body>from {each}</body></message>")
            streams.append(stream)

    await asyncio.gather(*map(one, range(number)))


async def until_there(condition, what: str, count) -> None:
    deadline = time.monotonic() + LONGEST
    while not condition():
        if time.monotonic() > deadline:
            raise Refusal(f"{what}: {count()} after {LONGEST:.0f} s")
        await asyncio.sleep(0.05)


def described(result: dict) -> str:
    return (
        f"{result['domains']} domains: links out in {result['outSeconds']} s, {result['bytesPerOutgoingLink'] / 1000:.1f} kB each; "
        f"links in in {result['inSeconds']} s, {result['bytesPerIncomingLink'] / 1000:.1f} kB each"
    )
