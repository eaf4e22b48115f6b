# SPDX-License-Identifier: Apache-2.0
"""Accounts at the servers of the stage."""

import asyncio

from processes import Refusal
from stanza_scanner import condition
from xmpp_client import Client, Ended

PASSWORD = "correct horse battery staple"
# Who has the first word, and who answers.
NEAR, FAR = "alice", "bob"


# Those that are made: who is registered twice may be refused for a while.
made: set[tuple[str, str, str]] = set()


async def register(server, domain: str, user: str) -> None:
    """An account, by in-band registration (XEP-0077); one that is there stays."""
    if (server.name, domain, user) in made:
        return
    made.add((server.name, domain, user))
    if not server.registers:
        await asyncio.to_thread(server.add_account, user, domain, PASSWORD)
        return
    client = Client(user, domain, PASSWORD)
    try:
        await client.connect(server.address, server.port)
        await client.secure()
        payload = f"<username>{user}</username><password>{PASSWORD}</password>"
        answer = await client.request(f"<query xmlns='jabber:iq:register'>{payload}</query>", "set")
        if answer.get("type") == "error" and condition(answer) != "conflict":
            raise Refusal(f"{server.name} makes no account {user}@{domain}: {condition(answer)}")
    except Ended as ended:
        raise Refusal(f"{server.name} makes no account {user}@{domain}: {ended}") from ended
    finally:
        client.abort()


async def register_all(server, users: tuple[str, ...] = (NEAR, FAR)) -> None:
    for domain in server.domains:
        for user in users:
            await register(server, domain, user)
