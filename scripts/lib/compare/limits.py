# SPDX-License-Identifier: Apache-2.0
"""Row 6: a limit of stanzas, and connections that never log in."""

import asyncio
import contextlib
import time

from contenders import Contender
from logins import logged_in
from outcome import Outcome, Scale, running
from processes import cpu_seconds
from xmpp_client import Ended

LIMIT = 10
# Connections from one address, so that no limit for one address hides the one of time.
PER_ADDRESS = 20
# What is still there then is not dropped; and when the end of 30 s must have been seen, on a busy machine too.
LONGEST_IDLE, DEMANDED_IDLE = 36.0, 31.0
LOGINS = 10


def limits(contender: Contender, scale: Scale) -> Outcome:
    """a limit of 10 stanzas/s, and idle connections that never log in"""
    with running(contender, LOGINS, stanzas_per_second=LIMIT):
        pings = asyncio.run(ping_fast(contender, scale.pings))
        flood = asyncio.run(stand_idle(contender, scale.sockets))
    done = (
        f"limit of {LIMIT} stanzas/s: {scale.pings} pings at once; {scale.sockets:,} idle connections without login, "
        f"{LOGINS} users log in meanwhile"
    )
    dropped = f"all dropped after {flood['seconds']:.1f} s at most" if flood["left"] == 0 else (
        f"{flood['left']:,} still there after {flood['seconds']:.0f} s")
    figure = (
        f"{pings['answered']} pings answered in {pings['seconds']:.2f} s{', then ' + pings['ended'] if pings['ended'] else ''}; "
        f"{dropped}; CPU {flood['cpu']:.1f} % of a core; {flood['logins']} of {LOGINS} logins, the slowest {flood['slowest']:.1f} s"
    )
    # The first burst is free: it is what one second allows.
    slow_enough = pings["ended"] or pings["seconds"] >= (scale.pings - LIMIT) / LIMIT * 0.99
    is_met = bool(slow_enough) and flood["left"] == 0 and flood["seconds"] <= DEMANDED_IDLE and (
        flood["cpu"] < 5 and flood["logins"] == LOGINS)
    return Outcome(done, figure, is_met, {"pings": pings, "idle": flood})


async def ping_fast(contender: Contender, number: int) -> dict:
    """All written at once; until the last answer, or the end of the connection."""
    pinger = await logged_in(contender, 1)
    # What the login has used is there again.
    await asyncio.sleep(2)
    began = time.monotonic()
    futures = []
    for count in range(number):
        wanted = f"p{count}"
        futures.append(pinger.expect(lambda element, wanted=wanted: element.get("id") == wanted))
        pinger.send_stanza(f"<iq type='get' id='{wanted}' to='{contender.domain}'><ping xmlns='urn:xmpp:ping'/></iq>")
    done, waiting = await asyncio.wait(futures, timeout=60)
    seconds = time.monotonic() - began
    for future in waiting:
        future.cancel()
    answered = sum(future.exception() is None for future in done)
    ended = pinger.reason if pinger.closed.is_set() else ""
    pinger.abort()
    return {"answered": answered, "seconds": seconds, "ended": ended}


async def stand_idle(contender: Contender, number: int) -> dict:
    """Connections that say nothing, in the middle of which users log in."""
    pids = list(contender.pids().values())
    crowd = [asyncio.create_task(idle(contender, place)) for place in range(number)]
    await asyncio.sleep(4)
    logins, slowest = await log_in_all(contender)
    # What it costs to accept them, and to log in others, is not the cost of their being there.
    began, cpu = time.monotonic(), cpu_seconds(pids)
    ends = await asyncio.gather(*crowd)
    used = (cpu_seconds(pids) - cpu) / max(time.monotonic() - began, 1)
    known = [seconds for seconds in ends if seconds is not None]
    return {
        "left": len(ends) - len(known), "seconds": max(known, default=LONGEST_IDLE) if len(known) == len(ends) else LONGEST_IDLE,
        "cpu": used * 100, "logins": logins, "slowest": slowest,
    }


async def idle(contender: Contender, place: int) -> float | None:
    """How long it was there, until the server said or did something; none: it still is."""
    group = place // PER_ADDRESS
    source = f"127.0.{2 + group // 250}.{1 + group % 250}"
    # Not all in one moment: the queue of a listener is short.
    await asyncio.sleep(place / 1000)
    began = time.monotonic()
    try:
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(contender.host, contender.client_port, local_addr=(source, 0)), LONGEST_IDLE)
    except OSError:
        # Refused is dropped, too.
        return time.monotonic() - began
    except TimeoutError:
        return None
    began = time.monotonic()
    try:
        await asyncio.wait_for(reader.read(1), LONGEST_IDLE)
        return time.monotonic() - began
    except TimeoutError:
        return None
    except OSError:
        return time.monotonic() - began
    finally:
        writer.transport.abort()


async def log_in_all(contender: Contender) -> tuple[int, float]:
    """How many of the users could, and how long the slowest took."""
    good, slowest = 0, 0.0
    for number in range(1, LOGINS + 1):
        began = time.monotonic()
        with contextlib.suppress(Ended):
            user = await logged_in(contender, number)
            good += 1
            user.abort()
        slowest = max(slowest, time.monotonic() - began)
    return good, slowest
