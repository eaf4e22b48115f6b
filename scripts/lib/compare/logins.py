# SPDX-License-Identifier: Apache-2.0
"""Clients of the accounts that a comparison has made."""

import asyncio
from collections.abc import Callable

from contenders import Contender
from xmpp_client import Client, Ended

# jabberd2 refuses a login now and then when the account's last session has just ended.
TRIES = 4


def client(contender: Contender, number: int, acknowledges: bool = False) -> Client:
    return Client(f"chaos{number}", contender.domain, contender.password, acknowledges)


async def logged_in(
    contender: Contender, number: int, acknowledges: bool = False, on_message: Callable | None = None, **options
) -> Client:
    """Tries again where it is refused, as people do."""
    for left in range(TRIES - 1, -1, -1):
        made = client(contender, number, acknowledges)
        made.on_message = on_message or made.on_message
        try:
            return await made.log_in(contender.host, contender.client_port, **options)
        except Ended:
            if not left:
                raise
            await asyncio.sleep(0.5)
    raise Ended("never")
