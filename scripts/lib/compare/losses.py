# SPDX-License-Identifier: Apache-2.0
"""Rows 1 to 3: an SM is killed, another one comes, the router is killed, under people who write to each other."""

import asyncio
import dataclasses
import time

from contenders import Contender
from crowd import Crowd
from outcome import Outcome, Scale, running
from xmpp_client import Ended

# How long nothing may come before what is missing is missing.
PATIENCE = 5.0
# Until all talk again after the router's end.
LONGEST_SILENCE = 60.0


def sm_killed(contender: Contender, scale: Scale) -> Outcome:
    """two SMs, `kill -9` of one of them under load, which is started again"""
    with running(contender, scale.people, sms=2):
        details = asyncio.run(kill_one(contender, scale))
    done = f"two SMs, {scale.people} users, {scale.rate:.0f} messages/s, `kill -9` of one SM, which is started again"
    figure = (
        f"it had {details['sessions']} of the sessions; {details['disconnected']} connections lost, {details['dead']} of "
        f"{details['readers']} readers on a connection that nobody serves; of {details['sent']} messages {details['accepted']} accepted, {details['lost']} of these lost; "
        f"{details['vanished']} more gone without a word, {details['late']} stored though the reader was there, "
        f"{details['refused']} answered with an error, {details['doubled']} doubled"
    )
    wrong = ("disconnected", "dead", "lost", "vanished", "doubled")
    return Outcome(done, figure, not any(details[key] for key in wrong), details)


async def kill_one(contender: Contender, scale: Scale) -> dict:
    crowd = Crowd(contender, scale.people)
    try:
        await crowd.come()
        writing = asyncio.create_task(crowd.write(scale.before + scale.after, scale.rate))
        await asyncio.sleep(scale.before)
        sessions = await asyncio.to_thread(contender.sessions_of, "sm-2")
        at = time.monotonic()
        await asyncio.to_thread(contender.kill, "sm-2")
        await asyncio.to_thread(contender.start_again, "sm-2")
        await writing
        await crowd.settle(PATIENCE)
        disconnected = crowd.disconnects(at)
        dead = await crowd.dead_readers()
        return {"sessions": sessions, "disconnected": disconnected, "dead": dead, "readers": len(crowd.readers)} | await rest(crowd)
    finally:
        await crowd.go()


async def rest(crowd: Crowd) -> dict:
    """What has become of everything, when also what was stored has been fetched."""
    await crowd.settle(PATIENCE)
    await crowd.come_anew()
    await asyncio.sleep(2)
    return dataclasses.asdict(crowd.books.tally())


def sm_added(contender: Contender, scale: Scale) -> Outcome:
    """an SM is added under load"""
    with running(contender, scale.online):
        details = asyncio.run(add_one(contender, scale))
    done = f"a second SM is added, {scale.online} users online, {scale.rate:.0f} messages/s"
    figure = (
        f"it got {details['sessions']} of the sessions; of {details['after']} messages written from then on "
        f"{details['wrong']} went wrong, for {details['receivers']} of "
        f"{details['readers']} readers: {details['late']} stored though the reader was there, "
        f"{details['lost'] + details['vanished']} lost; {details['disconnected']} connections lost, {details['doubled']} doubled"
    )
    wrong = ("wrong", "disconnected", "doubled")
    return Outcome(done, figure, not any(details[key] for key in wrong), details)


async def add_one(contender: Contender, scale: Scale) -> dict:
    crowd = Crowd(contender, scale.online)
    try:
        await crowd.come()
        # The new one takes a while to start: under load until it is there, and for a while after.
        writing = asyncio.create_task(crowd.write(600, scale.rate))
        await asyncio.sleep(scale.before)
        at = time.monotonic()
        await asyncio.to_thread(contender.add_sm)
        await asyncio.sleep(scale.after)
        writing.cancel()
        await crowd.settle(PATIENCE)
        disconnected = crowd.disconnects(at)
        sessions = await asyncio.to_thread(contender.sessions_of, "sm-2")
        details = await rest(crowd)
        tally = crowd.books.tally(since=at)
        return details | {
            "sessions": sessions, "disconnected": disconnected, "after": tally.sent, "wrong": tally.wrong, "readers": len(crowd.readers),
            "receivers": len(crowd.books.receivers_of_wrong(since=at)),
        }
    finally:
        await crowd.go()


def router_killed(contender: Contender, scale: Scale) -> Outcome:
    """`kill -9` of the router, which is started again"""
    with running(contender, scale.people):
        details = asyncio.run(kill_router(contender, scale))
    done = f"`kill -9` of the router, started again; {scale.people} users, {scale.rate:.0f} messages/s"
    silence = f"not all talked again in {LONGEST_SILENCE:.0f} s"
    if details["silence"]:
        silence = f"all talked again after {details['silence']:.1f} s"
    gone = f"; ended with it: {', '.join(details['ended'])}" if details["ended"] else ""
    figure = (
        f"{silence}; {details['disconnected']} connections lost; of {details['accepted']} accepted messages "
        f"{details['lost']} lost, {details['vanished']} more gone without a word, {details['refused']} answered with an error, {details['doubled']} doubled{gone}"
    )
    wrong = ("disconnected", "lost", "vanished", "doubled", "ended")
    is_met = (details["silence"] or LONGEST_SILENCE) <= 5 and not any(details[key] for key in wrong)
    return Outcome(done, figure, is_met, details)


async def kill_router(contender: Contender, scale: Scale) -> dict:
    crowd = Crowd(contender, scale.people)
    try:
        await crowd.come()
        others = {name: pid for name, pid in contender.pids().items() if not name.startswith("router")}
        router = next(name for name in contender.pids() if name.startswith("router"))
        writing = asyncio.create_task(crowd.write(LONGEST_SILENCE + scale.before + scale.after, scale.rate))
        await asyncio.sleep(scale.before)
        at = time.monotonic()
        await asyncio.to_thread(contender.kill, router)
        await asyncio.to_thread(contender.start_again, router)
        silence = await silence_after(crowd, at)
        if silence:
            await asyncio.sleep(scale.after)
        writing.cancel()
        details = {"silence": silence, "disconnected": crowd.disconnects(at), "ended": gone(contender, others)}
        return details | await rest(crowd)
    finally:
        await crowd.go()


def gone(contender: Contender, before: dict[str, int]) -> list[str]:
    now = contender.pids()
    return [name for name, pid in before.items() if now.get(name) != pid]


async def silence_after(crowd: Crowd, at: float) -> float | None:
    """Seconds until each reader has got a message that was written after that."""
    def all_heard() -> bool:
        heard = {message.receiver for message in crowd.books.select(since=at) if message.sessions}
        return len(heard) == len(crowd.readers)

    try:
        while not await crowd.until(all_heard, 0.5):
            if time.monotonic() > at + LONGEST_SILENCE:
                return None
    except Ended:
        return None
    first: dict[str, float] = {}
    for message in crowd.books.select(since=at):
        if message.received_at:
            first[message.receiver] = min(message.received_at, first.get(message.receiver, message.received_at))
    return max(first.values()) - at
