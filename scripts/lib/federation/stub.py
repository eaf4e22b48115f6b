# SPDX-License-Identifier: Apache-2.0
"""A peer of our own that does what it is told, right or wrong: both ends of server-to-server streams, on raw sockets."""

import asyncio
import base64
import dataclasses
import pathlib
import secrets
import ssl
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from xml.sax.saxutils import quoteattr

from authority import Pair
from stanza_scanner import StanzaScanner, condition, local_name
from xmpp_client import Connection, Ended

STREAMS = "http://etherx.jabber.org/streams"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
DIALBACK = "jabber:server:dialback"
SECONDS = 10.0


def client_context(pair: Pair | None) -> ssl.SSLContext:
    """Whatever the other shows is good."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


def server_context(pair: Pair, trusted: pathlib.Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(trusted)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


class StubStream(Connection):
    """A stream between servers, from either end; elements come out of `next` in order."""

    def __init__(self, local: str, remote: str = ""):
        super().__init__(remote, "jabber:server")
        self.local = local
        self.elements: asyncio.Queue[ElementTree.Element | None] = asyncio.Queue()
        self.opened = asyncio.Event()
        # What the acceptor offered last, and how the opener was authenticated.
        self.features: ElementTree.Element | None = None
        self.methods: list[str] = []

    # What comes

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.scanner.header:
            self.opened.set()

    def received(self, element: ElementTree.Element) -> None:
        self.elements.put_nowait(element)
        super().received(element)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.opened.set()
        self.elements.put_nowait(None)

    async def header(self) -> dict[str, str]:
        """The attributes of the other's stream header."""
        await asyncio.wait_for(self.opened.wait(), SECONDS)
        if not self.scanner.header:
            raise Ended(self.reason)
        name = self.scanner.header[1:].split(None, 1)[0]
        return dict(ElementTree.fromstring(self.scanner.header + b"</" + name + b">").attrib)

    async def next(self, seconds: float = SECONDS) -> ElementTree.Element:
        try:
            element = await asyncio.wait_for(self.elements.get(), seconds)
        except TimeoutError:
            raise Ended("nothing came") from None
        if element is None:
            raise Ended(self.reason)
        return element

    async def next_named(self, *names: str, seconds: float = SECONDS) -> ElementTree.Element:
        """Skips what else comes, but not the stream's error."""
        async with asyncio.timeout(seconds):
            while local_name(element := await self.next(seconds)) not in names:
                if element.tag == f"{{{STREAMS}}}error":
                    raise Ended(described(element))
        return element

    # What it says

    def open(self, identifier: str = "") -> None:
        """Its own stream header; as the acceptor's, with an id."""
        told = f" id='{identifier}'" if identifier else ""
        self.send(
            f"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='{DIALBACK}' xmlns:stream='{STREAMS}'"
            f" from={quoteattr(self.local)} to={quoteattr(self.domain)}{told} version='1.0'>"
        )

    def restart(self) -> None:
        self.scanner = StanzaScanner()
        self.opened = asyncio.Event()

    async def start_tls(self, context: ssl.SSLContext, is_server: bool) -> None:
        self.restart()
        name = None if is_server else self.domain
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self.transport, self, context, server_side=is_server, server_hostname=name, ssl_handshake_timeout=SECONDS)
        except (OSError, ssl.SSLError) as error:
            raise Ended(f"TLS: {error!r}") from error
        if transport is None:
            raise Ended("the connection ended in STARTTLS")
        self.transport = transport

    # As the opener

    async def dial(self, address: str, port: int = 5269) -> None:
        await self.connect(address, port)

    async def begin(self) -> ElementTree.Element:
        """Opens the stream; its features."""
        self.restart()
        self.open()
        self.features = await self.next_named("features")
        return self.features

    async def secure(self, context: ssl.SSLContext) -> ElementTree.Element:
        """STARTTLS; the features behind it."""
        await self.begin()
        self.send(f"<starttls xmlns='{TLS}'/>")
        await self.next_named("proceed")
        await self.start_tls(context, is_server=False)
        return await self.begin()

    async def authenticate(self) -> None:
        """SASL EXTERNAL (XEP-0178)."""
        self.say_external()
        answer = await self.next_named("success", "failure")
        if local_name(answer) == "failure":
            raise Ended(f"SASL failure {local_name(answer[0]) if len(answer) else ''}")
        await self.begin()

    def say_external(self) -> None:
        name = base64.b64encode(self.local.encode()).decode()
        self.send(f"<auth xmlns='{SASL}' mechanism='EXTERNAL'>{name}</auth>")

    def say_result(self, key: str, sender: str | None = None, to: str | None = None, kind: str = "") -> None:
        self.send(
            f"<db:result from={quoteattr(sender or self.local)} to={quoteattr(to or self.domain)}{typed(kind)}>{key}</db:result>"
        )

    def say_verify(self, identifier: str, key: str, sender: str | None = None, to: str | None = None, kind: str = "") -> None:
        self.send(
            f"<db:verify from={quoteattr(sender or self.local)} to={quoteattr(to or self.domain)} id='{identifier}'{typed(kind)}>"
            f"{key}</db:verify>"
        )


def typed(kind: str) -> str:
    return f" type='{kind}'" if kind else ""


def offers(features: ElementTree.Element, mechanism: str = "EXTERNAL") -> bool:
    return any(word.text == mechanism for word in features.iter(f"{{{SASL}}}mechanism"))


def described(error: ElementTree.Element) -> str:
    """Condition and text of a stream's or stanza's error."""
    holder = error if local_name(error) == "error" else error.find("{*}error")
    text = holder.findtext("{*}text", "") if holder is not None else ""
    return f"{condition(error)}: {text}" if text else condition(error)


@dataclasses.dataclass
class Behaviour:
    """How a stub takes what connects to it."""

    # Whether it answers a stream header.
    greets: bool = True
    offers_tls: bool = True
    # EXTERNAL is offered to whom shows a certificate of the authority.
    offers_external: bool = True
    # What it answers when it is asked to accept, and when it is asked to vouch: valid or invalid; empty: nothing.
    accepts: str = "valid"
    vouches: str = "valid"
    # Called with each element that comes, before it is answered; true: this was all.
    meets: Callable[[StubStream, ElementTree.Element], bool] | None = None


class StubServer:
    """Listens for one domain; keeps the stanzas and the stream errors that came."""

    def __init__(self, domain: str, address: str, pair: Pair | None, trusted: pathlib.Path, behaviour: Behaviour):
        self.domain, self.address, self.behaviour = domain, address, behaviour
        self.context = server_context(pair, trusted) if pair else None
        self.stanzas: list[ElementTree.Element] = []
        self.errors: list[str] = []
        self.streams: list[StubStream] = []
        self.tasks: set[asyncio.Task] = set()
        self.methods: list[str] = []
        # It is whatever domain it is taken for, and not only its own.
        self.takes_every_name = False

    async def start(self, port: int = 5269) -> "StubServer":
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self.accept, self.address, port, reuse_address=True)
        return self

    async def stop(self) -> None:
        self.server.close()
        for stream in self.streams:
            stream.abort()
        for task in self.tasks:
            task.cancel()

    def accept(self) -> StubStream:
        stream = StubStream(self.domain)
        self.streams.append(stream)
        task = asyncio.get_running_loop().create_task(self.serve(stream))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return stream

    async def serve(self, stream: StubStream) -> None:
        try:
            while True:
                header = await stream.header()
                if not self.behaviour.greets:
                    await stream.next(seconds=600)
                stream.domain = header.get("from", stream.domain)
                if self.takes_every_name:
                    stream.local = header.get("to", stream.local)
                stream.open(secrets.token_hex(8))
                stream.send(self.features(stream))
                while not await self.answer(stream, await stream.next(seconds=600)):
                    pass
        except (Ended, TimeoutError, ElementTree.ParseError) as error:
            self.errors.append(str(error))
            stream.abort()

    def features(self, stream: StubStream) -> str:
        channel = stream.transport.get_extra_info("ssl_object")
        inside = []
        if not channel and self.behaviour.offers_tls:
            inside.append(f"<starttls xmlns='{TLS}'><required/></starttls>")
        if channel and channel.getpeercert() and self.behaviour.offers_external and not stream.methods:
            inside.append(f"<mechanisms xmlns='{SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>")
        if channel or not self.behaviour.offers_tls:
            inside.append("<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>")
        return f"<stream:features>{''.join(inside)}</stream:features>"

    async def answer(self, stream: StubStream, element: ElementTree.Element) -> bool:
        """Whether the stream starts anew."""
        name, behaviour = local_name(element), self.behaviour
        if behaviour.meets and behaviour.meets(stream, element):
            return False
        if element.tag == f"{{{STREAMS}}}error":
            self.errors.append(described(element))
        elif name == "starttls":
            stream.send(f"<proceed xmlns='{TLS}'/>")
            await stream.start_tls(self.context, is_server=True)
            return True
        elif name == "auth":
            stream.send(f"<success xmlns='{SASL}'/>")
            stream.methods = ["EXTERNAL"]
            self.methods.append("EXTERNAL")
            stream.restart()
            return True
        elif name == "result" and element.get("type") is None and behaviour.accepts:
            self.methods.append("dialback")
            stream.say_result("", element.get("to"), element.get("from"), behaviour.accepts)
        elif name == "verify" and element.get("type") is None and behaviour.vouches:
            stream.say_verify(element.get("id", ""), "", element.get("to"), element.get("from"), behaviour.vouches)
        elif name in ("message", "presence", "iq"):
            self.stanzas.append(element)
        return False
