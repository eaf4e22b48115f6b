# SPDX-License-Identifier: Apache-2.0
"""A client that does no more than it is told, and keeps account: what it sent was taken, what came, how it ended."""

import asyncio
import base64
import collections
import contextlib
import hashlib
import socket
import ssl
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from xml.sax.saxutils import quoteattr

from stanza_scanner import CLIENT, StanzaScanner, condition, local_name, parse

SECONDS = 30.0
SM = "urn:xmpp:sm:3"
OPEN = (
    "<?xml version='1.0'?><stream:stream xmlns='{namespace}' xmlns:stream='http://etherx.jabber.org/streams' "
    "to={to} version='1.0'>"
)


class Ended(Exception):
    """The server closed the connection, refused something, or did not answer in time."""


def trusting() -> ssl.SSLContext:
    """The certificates are made by those who are tested."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Connection(asyncio.Protocol):
    """A stream of any namespace: what comes is handled at once, or waited for."""

    tls = trusting()

    def __init__(self, domain: str, namespace: str = "jabber:client"):
        self.domain, self.namespace = domain, namespace
        self.transport: asyncio.Transport | None = None
        self.scanner = StanzaScanner()
        self.closed = asyncio.Event()
        # Why, where the server said so.
        self.reason = ""
        # Who waits for something: what it is, and where it goes.
        self.waiting: list[tuple[Callable, asyncio.Future]] = []

    # Of the transport

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for stanza in self.scanner.feed(data):
            try:
                element = parse(stanza, self.scanner.header)
            except ElementTree.ParseError:
                self.reason = f"the server sent what is not well-formed: {stanza[:200]!r}"
                self.abort()
                return
            self.received(element)
        if self.scanner.is_closed:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.reason = self.reason or (str(error) if error else "end of the stream")
        self.closed.set()
        for _, future in self.waiting:
            if not future.done():
                future.set_exception(Ended(self.reason))

    def received(self, element: ElementTree.Element) -> None:
        if element.tag == "{http://etherx.jabber.org/streams}error":
            self.reason = condition(element)
        for entry in list(self.waiting):
            matches, future = entry
            if not future.done() and matches(element):
                self.waiting.remove(entry)
                future.set_result(element)
                return

    # What one does with it

    async def connect(self, host: str, port: int, source: str | None = None) -> None:
        try:
            await asyncio.wait_for(asyncio.get_running_loop().create_connection(
                lambda: self, host, port, local_addr=(source, 0) if source else None), SECONDS)
        except (OSError, TimeoutError) as error:
            raise Ended(f"no connection: {error!r}") from error

    def send(self, text: str | bytes) -> None:
        if not self.closed.is_set() and not self.transport.is_closing():
            self.transport.write(text.encode() if isinstance(text, str) else text)

    def open_stream(self) -> None:
        self.scanner = StanzaScanner()
        self.send(OPEN.format(namespace=self.namespace, to=quoteattr(self.domain)))

    def expect(self, matches: Callable[[ElementTree.Element], bool]) -> asyncio.Future:
        """The next element that matches; from now on, so that what is said next cannot be answered too early."""
        if self.closed.is_set():
            raise Ended(self.reason)
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((matches, future))
        return future

    async def wait(self, future: asyncio.Future, seconds: float) -> ElementTree.Element:
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise Ended("no answer") from None
        finally:
            self.waiting = [entry for entry in self.waiting if entry[1] is not future]

    async def first(self, matches: Callable[[ElementTree.Element], bool], seconds: float = SECONDS) -> ElementTree.Element:
        return await self.wait(self.expect(matches), seconds)

    async def first_named(self, *names: str, seconds: float = SECONDS) -> ElementTree.Element:
        return await self.first(lambda element: local_name(element) in names, seconds)

    def abort(self) -> None:
        """Resets the connection: nothing that is under way arrives any more."""
        if self.transport and not self.closed.is_set():
            with contextlib.suppress(OSError, AttributeError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    async def close(self) -> None:
        """Ends the stream, as a client does that logs out."""
        self.send("</stream:stream>")
        try:
            await asyncio.wait_for(self.closed.wait(), 5)
        except TimeoutError:
            self.abort()


class Component(Connection):
    """An external component (XEP-0114)."""

    def __init__(self, name: str):
        super().__init__(name, "jabber:component:accept")
        self.received_messages: list[ElementTree.Element] = []

    def received(self, element: ElementTree.Element) -> None:
        if local_name(element) == "message":
            self.received_messages.append(element)
        super().received(element)

    async def log_in(self, host: str, port: int, secret: str) -> None:
        await self.connect(host, port)
        self.open_stream()
        async with asyncio.timeout(SECONDS):
            while b"id=" not in self.scanner.header and not self.closed.is_set():
                await asyncio.sleep(0.01)
        if self.closed.is_set():
            raise Ended(self.reason)
        identifier = self.scanner.header.partition(b" id=")[2]
        identifier = identifier[1:].partition(identifier[:1])[0].decode()
        self.send(f"<handshake>{hashlib.sha1((identifier + secret).encode()).hexdigest()}</handshake>")
        answer = await self.first_named("handshake", "error", seconds=10)
        if local_name(answer) == "error":
            raise Ended(condition(answer))


class Client(Connection):
    """`on_message` gets each message; `on_settled` the id of each of ours that the server has said it took."""

    def __init__(self, user: str, domain: str, password: str, acknowledges: bool = False):
        super().__init__(domain)
        self.user, self.password, self.acknowledges = user, password, acknowledges
        self.jid = f"{user}@{domain}"
        self.on_message: Callable[[ElementTree.Element], None] = lambda _: None
        self.on_settled: Callable[[str], None] = lambda _: None
        self.number = 0
        # Of XEP-0198, from <enable/> and <enabled/> on: stanzas that were sent, those of them not acknowledged yet, and
        # stanzas that came.
        self.counts = False
        self.sent_stanzas = self.received_stanzas = 0
        self.unsettled: collections.deque[tuple[int, str]] = collections.deque()

    async def log_in(self, host: str, port: int, resource: str = "here", presence: bool = True) -> "Client":
        try:
            async with asyncio.timeout(SECONDS):
                await self.connect(host, port)
                await self.negotiate(resource)
                if presence:
                    await self.request("<query xmlns='jabber:iq:roster'/>")
                    self.send_stanza("<presence/>")
        except TimeoutError:
            self.abort()
            raise Ended("no login in time") from None
        except BaseException:
            self.abort()
            raise
        return self

    async def negotiate(self, resource: str) -> None:
        await self.secure()
        plain = base64.b64encode(f"\0{self.user}\0{self.password}".encode()).decode()
        self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>")
        answer = await self.first_named("success", "failure", "error")
        if local_name(answer) != "success":
            raise Ended(local_name(answer[0]) if len(answer) else "failure")
        features = await self.features()
        await self.request(f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind>", "set")
        if features.find("{urn:ietf:params:xml:ns:xmpp-session}session") is not None:
            await self.request("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>", "set")
        if self.acknowledges:
            self.send(f"<enable xmlns='{SM}'/>")
            self.counts = True
            await self.first_named("enabled")

    async def secure(self) -> None:
        """Up to the features inside TLS."""
        await self.features()
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await self.first_named("proceed")
        try:
            transport = await asyncio.get_running_loop().start_tls(self.transport, self, self.tls)
        except (OSError, ssl.SSLError) as error:
            raise Ended(f"TLS: {error!r}") from error
        if transport is None:
            raise Ended("the connection ended in STARTTLS")
        self.transport = transport
        await self.features()

    async def features(self) -> ElementTree.Element:
        self.open_stream()
        answer = await self.first_named("features", "error")
        if local_name(answer) == "error":
            raise Ended(condition(answer))
        return answer

    def received(self, element: ElementTree.Element) -> None:
        name = local_name(element)
        if name in ("message", "presence", "iq"):
            self.received_stanzas += 1
        if name == "message":
            self.on_message(element)
        elif element.tag == f"{{{SM}}}r":
            self.send(f"<a xmlns='{SM}' h='{self.received_stanzas}'/>")
        elif element.tag == f"{{{SM}}}a":
            self.settle(int(element.get("h", "0")))
        elif element.tag == f"{{{SM}}}enabled":
            self.received_stanzas = 0
        elif name == "iq" and element.get("type") in ("get", "set"):
            self.answer(element)
        super().received(element)

    def answer(self, iq: ElementTree.Element) -> None:
        """A server that wants to know whether we are there; anything else is refused."""
        is_ping = iq.get("type") == "get" and iq.find("{urn:xmpp:ping}ping") is not None or iq.get("type") == "set"
        kind, payload = ("result", "") if is_ping else (
            "error", "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
        to = f" to={quoteattr(iq.get('from'))}" if iq.get("from") else ""
        self.send_stanza(f"<iq type='{kind}' id={quoteattr(iq.get('id', ''))}{to}>{payload}</iq>")

    # What it says

    def send_stanza(self, text: str, identifier: str = "") -> None:
        """`identifier`: what `on_settled` is told."""
        self.sent_stanzas += self.counts
        if identifier:
            self.unsettled.append((self.sent_stanzas, identifier))
        self.send(text)

    def send_message(self, to: str, identifier: str, body: str = "Hello") -> None:
        self.send_stanza(f"<message type='chat' id='{identifier}' to='{to}'><body>{body}</body></message>", identifier)

    async def request(self, payload: str, kind: str = "get", to: str = "", seconds: float = SECONDS) -> ElementTree.Element:
        self.number += 1
        identifier = f"q{self.number}"
        address = f" to='{to}'" if to else ""
        answer = self.expect(lambda element: element.get("id") == identifier and local_name(element) == "iq")
        self.send_stanza(f"<iq type='{kind}' id='{identifier}'{address}>{payload}</iq>")
        return await self.wait(answer, seconds)

    async def ping(self, seconds: float = SECONDS) -> bool:
        """Whether the server answers with a result."""
        try:
            answer = await self.request("<ping xmlns='urn:xmpp:ping'/>", to=self.domain, seconds=seconds)
        except Ended:
            return False
        return answer.get("type") == "result"

    def settle(self, handled: int) -> None:
        while self.unsettled and self.unsettled[0][0] <= handled:
            self.on_settled(self.unsettled.popleft()[1])

    async def ask_what_was_taken(self, seconds: float = SECONDS) -> None:
        """By <r/>, or where there is no XEP-0198 by a ping, which comes after what was sent before it."""
        if self.acknowledges:
            self.send(f"<r xmlns='{SM}'/>")
            return
        before = len(self.unsettled)
        if before and await self.ping(seconds):
            for _ in range(min(before, len(self.unsettled))):
                self.on_settled(self.unsettled.popleft()[1])


def is_error(stanza: ElementTree.Element) -> bool:
    return stanza.get("type") == "error"


def body_of(message: ElementTree.Element) -> str:
    return message.findtext(f"{CLIENT}body", "")
