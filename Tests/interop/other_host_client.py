# SPDX-License-Identifier: Apache-2.0
"""usage: other_host_client.py USER PASSWORD PORT: logs in at a port of this host, says "ready", and repeats what it is
told to whoever says it. test_routers.py starts it in a network namespace.
"""

import asyncio
import pathlib
import sys
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))

from slixmpp_client import Client, Refused


async def main(user: str, password: str, port: int) -> None:
    for _ in range(100):
        client = Client(
            user, password, resource="there", suite=types.SimpleNamespace(ports={"starttls": port})
        )
        client.add_event_handler("message", lambda message: message.reply(f"you said: {message['body']}").send())
        try:
            await client.log_in()
            break
        except (Refused, AssertionError):
            # The process that it logs in at is still starting.
            client.abort()
            await asyncio.sleep(0.2)
    print("ready", flush=True)
    await client.disconnected


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
