# SPDX-License-Identifier: Apache-2.0
"""slixmpp, as the tests use it: keeps what arrives, and waits for it."""

import asyncio
import ssl

import running
import slixmpp

SECONDS = 20


class Refused(AssertionError):
    """The server did not let somebody in."""


class Client(slixmpp.ClientXMPP):
    """Keeps what arrives in lists, and lets a test wait until something has arrived.

    With `trusted`, a certificate, the server must show that one, for the name of the domain. `endpoint` is where the
    server is, if it is not the suite. A server that does not show a client its own presence is one that `hides_self`.
    """

    def __init__(
        self, user: str, password: str = running.PASSWORD, resource: str = "test", *,
        suite: running.RunningSuite | None = None, domain: str = "localhost", trusted: str | None = None,
        endpoint: tuple[str, int] | None = None, hides_self: bool = False,
    ):
        super().__init__(f"{user}@{domain}/{resource}", password)
        self.endpoint = endpoint or ("127.0.0.1", (suite or running.suite).ports["starttls"])
        self.hides_self = hides_self
        for plugin in ("xep_0030", "xep_0054", "xep_0092", "xep_0198", "xep_0199", "xep_0203"):
            self.register_plugin(plugin)
        if trusted:
            self.ssl_context = ssl.create_default_context(cadata=trusted)
        else:
            self.ssl_context.check_hostname = False
            self.ssl_context.verify_mode = ssl.CERT_NONE
        # None: neither agree nor refuse by itself.
        self.auto_authorize = self.auto_subscribe = None
        self.changed = asyncio.Event()
        self.bodies: list[str] = []
        self.delayed: list[str] = []
        self.presences: list[tuple[str, str]] = []
        self.failed = False
        self.started = False
        self.is_cut_off = False
        self.add_event_handler("message", self.on_message)
        self.add_event_handler("presence", self.on_presence)
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("failed_auth", self.on_failed)
        self.add_event_handler("disconnected", self.on_disconnected)

    def on_message(self, message) -> None:
        self.bodies.append(message["body"])
        if message.get_plugin("delay", check=True):
            self.delayed.append(message["body"])
        self.changed.set()

    def on_presence(self, presence) -> None:
        self.presences.append((presence["from"].bare, presence["type"]))
        self.changed.set()

    def on_start(self, _) -> None:
        self.started = True
        self.changed.set()

    def on_failed(self, _) -> None:
        self.failed = True
        self.changed.set()

    def on_disconnected(self, _) -> None:
        self.is_cut_off = True
        self.changed.set()

    async def until(self, condition, what: str) -> None:
        async def wait() -> None:
            while not condition():
                self.changed.clear()
                await self.changed.wait()

        try:
            await asyncio.wait_for(wait(), SECONDS)
        except TimeoutError:
            raise AssertionError(f"{self.boundjid}: no {what} in {SECONDS} s: {self.bodies} {self.presences}") from None

    async def log_in(self) -> "Client":
        self.enable_starttls = True
        self.connect(*self.endpoint)
        await self.until(lambda: self.started or self.failed, "session")
        if not self.started:
            raise Refused(f"{self.boundjid} was refused")
        await self.get_roster()
        self.send_presence()
        # The server's answer to our presence is the presence itself, at every resource (RFC 6121, 4.2.2).
        if not self.hides_self:
            await self.until(lambda: (self.boundjid.bare, "available") in self.presences, "presence of its own")
        return self

    async def log_out(self) -> None:
        self.disconnect(wait=2)
        await self.disconnected

    async def ping(self) -> None:
        """An answered ping: the stream is up, and all that came before it was taken."""
        await self.plugin["xep_0199"].ping(self.boundjid.domain)

    async def contacts(self) -> dict[str, str]:
        """The roster: who, and in which state of subscription."""
        await self.get_roster()
        states = {jid: self.client_roster[jid]["subscription"] for jid in self.client_roster}
        # slixmpp keeps entries of its own for everybody it has heard of.
        return {jid: state for jid, state in states.items() if state != "none"}

    async def befriend(self, other: "Client") -> None:
        """Both ask, both agree."""
        for asks, answers in ((self, other), (other, self)):
            asks.send_presence_subscription(answers.boundjid.bare, ptype="subscribe")
            await answers.until(lambda: (asks.boundjid.bare, "subscribe") in answers.presences, "request")
            answers.send_presence_subscription(asks.boundjid.bare, ptype="subscribed")
            await asks.until(lambda: (answers.boundjid.bare, "subscribed") in asks.presences, "answer")
            await asks.until(lambda: (answers.boundjid.bare, "available") in asks.presences, "presence")
