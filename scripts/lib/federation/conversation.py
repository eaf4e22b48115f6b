# SPDX-License-Identifier: Apache-2.0
"""Two people at two servers, both with slixmpp: who does what with whom, and what came of it."""

import asyncio
import secrets

import slixmpp.exceptions
from accounts import PASSWORD
from slixmpp_client import Client


async def person(server, domain: str, user: str, resource: str) -> Client:
    client = Client(
        user, PASSWORD, resource, domain=domain, endpoint=(server.address, server.port), hides_self=server.hides_self,
    )
    return await client.log_in()


class Conversation:
    """`near` has the first word; each function is what it wants of `far`, and what comes back."""

    def __init__(self, near: Client, far: Client):
        self.near, self.far = near, far

    async def run(self, functions: tuple[str, ...]) -> dict[str, str]:
        """By function: empty, or what went wrong."""
        results = {}
        for function in functions:
            try:
                async with asyncio.timeout(15):
                    await getattr(self, function)()
                results[function] = ""
            except (AssertionError, TimeoutError, slixmpp.exceptions.XMPPError, slixmpp.exceptions.IqTimeout) as error:
                results[function] = first_line(error)
            if function == FIRST and results[function]:
                # Without a link, everything else only takes time.
                return results | {other: "not tried" for other in functions if other not in results}
        return results

    async def message(self) -> None:
        body = f"{secrets.token_hex(4)} grüße <&> 😀"
        for sender, receiver in ((self.near, self.far), (self.far, self.near)):
            sender.send_message(mto=receiver.boundjid, mbody=body, mtype="chat")
            await receiver.until(lambda: body in receiver.bodies, "message")

    async def presence(self) -> None:
        """One asks, the other agrees and is seen."""
        near, far = self.near, self.far
        near.send_presence_subscription(far.boundjid.bare, ptype="subscribe")
        await far.until(lambda: (near.boundjid.bare, "subscribe") in far.presences, "request")
        far.send_presence_subscription(near.boundjid.bare, ptype="subscribed")
        await near.until(lambda: (far.boundjid.bare, "subscribed") in near.presences, "answer")
        await near.until(lambda: (far.boundjid.bare, "available") in near.presences, "presence")

    async def roster(self) -> None:
        """Both servers have noted the subscription, each its half."""
        for client, other, wanted in ((self.near, self.far, "to"), (self.far, self.near, "from")):
            async with asyncio.timeout(10):
                while (await client.contacts()).get(other.boundjid.bare) not in (wanted, "both"):
                    await asyncio.sleep(0.2)

    async def vcard(self) -> None:
        name = f"Bob {secrets.token_hex(4)}"
        card = self.far.plugin["xep_0054"].make_vcard()
        card["FN"] = name
        await self.far.plugin["xep_0054"].publish_vcard(card)
        read = await self.near.plugin["xep_0054"].get_vcard(self.far.boundjid.bare)
        assert read["vcard_temp"]["FN"] == name, f"the vCard is {read}"

    async def disco(self) -> None:
        information = await self.near.plugin["xep_0030"].get_info(self.far.boundjid.domain)
        identities = {(category, kind) for category, kind, _, _ in information["disco_info"]["identities"]}
        assert ("server", "im") in identities, f"identities are {identities}"

    async def ping(self) -> None:
        """The other server, and the other person's client."""
        for target in (self.far.boundjid.domain, self.far.boundjid.full):
            await self.near.plugin["xep_0199"].send_ping(target, timeout=10)


FIRST = "message"


def first_line(error: BaseException) -> str:
    if isinstance(error, slixmpp.exceptions.IqError):
        text = error.iq["error"]["text"]
        return f"{error.condition}" + (f" ({text})" if text else "")
    words = str(error).strip().splitlines()
    return words[0] if words else type(error).__name__
