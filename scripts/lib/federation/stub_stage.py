# SPDX-License-Identifier: Apache-2.0
"""The stub's part of the stage: its domains with what DNS and our configuration say of them, and who is there for a case."""

import asyncio
import dataclasses
import time
import traceback
from collections.abc import Awaitable, Callable

import stage
import stub
from accounts import NEAR, PASSWORD
from authority import Authority, Pair
from cells import OURS, domain
from names import SIGNED, Zones
from stanza_scanner import local_name
from stub import Behaviour, StubServer, StubStream, client_context, described
from troupe import Troupe, key_digest
from xmpp_client import Client, Ended, body_of, is_error

WITHIN = 1.0


@dataclasses.dataclass(frozen=True)
class StubDomain:
    """One domain of the stub: its certificate, what our configuration says of it, and how DNS has it."""

    label: str
    certificate: str = "good"
    policy: str = ""
    found: str = "service"

    @property
    def zone(self) -> str:
        return SIGNED if self.found in ("tlsa", "other-tlsa", "bogus") else "example"

    @property
    def name(self) -> str:
        """As users write it."""
        return f"{self.label}.stub.{self.zone}"

    @property
    def dns_name(self) -> str:
        return self.name.encode("idna").decode()

    @property
    def host(self) -> str:
        return f"host.{self.dns_name}"


STRICT = "authentication: certificate"
DANE = "dane: required"
DOMAINS = [StubDomain(*row) for row in (
    ("good",), ("evil",), ("victim",), ("strict-good", "good", STRICT), ("no-tls",),
    ("wrong-name", "wrong-name", STRICT), ("expired", "expired", STRICT),
    ("self-signed", "self-signed", "self_signed: refuse"), ("unknown-ca", "unknown-ca", STRICT), ("denied",),
    ("client-only", "client-only", STRICT), ("server-only", "server-only", STRICT), ("wrong-key", "self-signed"),
    ("refusing", "self-signed"), ("plain", "good", "", "address"), ("second", "good", "", "second"), ("dead6", "good", "", "dead6"),
    ("bücher",), ("dane", "self-signed", DANE, "tlsa"), ("other-tlsa", "good", "", "other-tlsa"), ("bogus", "good", "", "bogus"),
    ("unsigned", "good", DANE), ("closed", "good", "", "closed"), ("not-offered", "good", "", "not-offered"),
    ("both-ways", "good", "", "nothing"), ("dials-back", "self-signed"), ("silent",),
    ("raced", "good", "", "raced"),
)]
LABELS = {each.label: each for each in DOMAINS}
ADDRESSES = {each.label: f"127.0.0.{number}" for each, number in zip(DOMAINS, stage.STUBS)}
NOT_ALLOWED = StubDomain("unlisted")
# Nobody answers there, and nothing says so.
DEAD_ADDRESS = "fd00:fe::dead"


def policy() -> str:
    """Of our configuration, as text of its section s2s."""
    entries = [f"    - name: {each.name}\n      {each.policy}" for each in DOMAINS if each.policy]
    return "  deny: [denied.stub.example]\n  domains:\n" + "\n".join(entries)


def second_policy() -> str:
    """Of the second Jackdaw's: an allowed list."""
    return "  allow: [jackdaw.example, jackdaw.signed.example, good.stub.example]"


def make_certificates(authority: Authority) -> dict[str, Pair]:
    """By label."""
    pairs = {}
    for each in [*DOMAINS, NOT_ALLOWED]:
        names, file = [each.dns_name], f"stub-{each.dns_name}"
        pairs[each.label] = {
            "good": lambda: authority.issue(file, names), "wrong-name": lambda: authority.issue(file, ["other.stub.example"]),
            "expired": lambda: authority.expired(file, names), "self-signed": lambda: authority.self_signed(file, names),
            "unknown-ca": lambda: authority.issue(file, names, authority=authority.unknown),
            "client-only": lambda: authority.issue(file, names, "clientAuth"),
            "server-only": lambda: authority.issue(file, names, "serverAuth"),
        }[each.certificate]()
    return pairs


def announce(zones: Zones, digests: dict[str, str]) -> None:
    """The digests are those of the certificates' keys, by label."""
    for each in DOMAINS:
        address, name, host = ADDRESSES[each.label], each.dns_name, each.host
        if each.found == "address":
            zones.host(name, address)
            continue
        if each.found == "nothing":
            continue
        zones.host(host, *([DEAD_ADDRESS, address] if each.found == "dead6" else [address]))
        if each.found == "not-offered":
            zones.lines.append(f"_xmpp-server._tcp.{name}. IN SRV 0 0 0 .")
        elif each.found == "raced":
            zones.host(f"dead.{name}", DEAD_ADDRESS)
            zones.lines.append(f"_xmpp-server._tcp.{name}. IN SRV 0 65535 5269 dead.{name}.")
            zones.lines.append(f"_xmpp-server._tcp.{name}. IN SRV 0 0 5269 {host}.")
        elif each.found == "second":
            zones.lines.append(f"_xmpp-server._tcp.{name}. IN SRV 0 5 5999 {host}.")
            zones.lines.append(f"_xmpp-server._tcp.{name}. IN SRV 10 5 5269 {host}.")
        else:
            zones.service(name, host, 5998 if each.found == "closed" else 5269)
        if each.found == "tlsa":
            zones.certificate(host, 5269, digests[each.label])
        elif each.found == "other-tlsa":
            zones.certificate(host, 5269, "0" * 64)
        elif each.found == "bogus":
            zones.tampered.append((f"host.{name}.", address))


def prepare(troupe: Troupe) -> None:
    """Before the names are served."""
    troupe.stub_pairs = make_certificates(troupe.authority)
    announce(troupe.zones, {label: key_digest(pair) for label, pair in troupe.stub_pairs.items()})
    stage.lead_nowhere(DEAD_ADDRESS)


@dataclasses.dataclass
class Outcome:
    name: str
    is_met: bool
    seconds: float | None
    said: str

    def result(self) -> dict:
        return {"type": "negative", "case": self.name, "met": self.is_met, "seconds": self.seconds, "said": self.said}


class StubStage:
    """Our user, and the stub's servers, for all cases."""

    def __init__(self, troupe: Troupe, target: str = OURS):
        """The target is who refuses: another server shows that the stub is as good a peer as it means to be."""
        self.troupe = troupe
        self.target = troupe.servers[target]
        self.us = domain(target, "certificate", "starttls", "out")
        self.pairs: dict[str, Pair] = troupe.stub_pairs
        self.servers: dict[str, StubServer] = {}
        self.client: Client | None = None
        self.received: list[str] = []
        self.errors: asyncio.Queue = asyncio.Queue()
        self.home = stage.address(target)

    @property
    def alice(self) -> str:
        return f"{NEAR}@{self.us}"

    @staticmethod
    def bob(label: str) -> str:
        """Somebody at the stub; a label that it has not is that of a domain that nobody has."""
        return f"bob@{LABELS[label].name if label in LABELS else f'{label}.stub.example'}"

    # Around a case

    async def begin(self) -> None:
        behaviours = {
            "no-tls": Behaviour(offers_tls=False), "wrong-key": Behaviour(vouches="invalid"),
            "refusing": Behaviour(offers_external=False, accepts="invalid"), "victim": Behaviour(vouches=""),
            "dials-back": Behaviour(offers_external=False), "silent": Behaviour(greets=False),
        }
        for each in DOMAINS:
            behaviour = behaviours.get(each.label, Behaviour())
            server = StubServer(each.name, ADDRESSES[each.label], self.pairs[each.label], self.troupe.authority.trusted, behaviour)
            self.servers[each.label] = await server.start()
        self.client = Client(NEAR, self.us, PASSWORD, acknowledges=True)
        self.client.on_message = self.hear
        await self.client.log_in(self.home, self.target.port, "negative")

    async def end(self) -> None:
        if self.client:
            await self.client.close()
        for server in self.servers.values():
            await server.stop()

    def hear(self, message) -> None:
        if is_error(message):
            self.errors.put_nowait(message)
        else:
            self.received.append(body_of(message))

    async def write_to(self, label: str) -> tuple[str | None, float]:
        """Our user writes to somebody there: the error that comes back, if one does, and when."""
        while not self.errors.empty():
            self.errors.get_nowait()
        started = time.monotonic()
        self.client.send_message(self.bob(label), f"to-{label}", f"to {label}")
        try:
            async with asyncio.timeout(5):
                while (error := await self.errors.get()).get("id") != f"to-{label}":
                    pass
            return described(error), time.monotonic() - started
        except TimeoutError:
            return None, time.monotonic() - started

    async def opener(self, label: str, secured: bool = True, to: str = "", address: str | None = None) -> StubStream:
        """A stream to us, up to the features inside TLS."""
        stream = StubStream(LABELS.get(label, NOT_ALLOWED).name, to or self.us)
        await stream.dial(address or self.home)
        if secured:
            await stream.secure(client_context(self.pairs[label]))
        return stream

    async def authenticated(self, label: str) -> StubStream:
        """By its certificate."""
        stream = await self.opener(label)
        await stream.authenticate()
        return stream


async def ending(stream: StubStream) -> str:
    """The error with which the other ends the stream; whatever else comes is skipped."""
    try:
        async with asyncio.timeout(5):
            while True:
                element = await stream.next()
                if element.tag == f"{{{stub.STREAMS}}}error":
                    return described(element)
                if local_name(element) == "failure":
                    return f"SASL failure {described(element)}"
                if local_name(element) in ("result", "verify") and element.get("type") in ("invalid", "error"):
                    inner = described(element) if element.get("type") == "error" else ""
                    return f"dialback {element.get('type')} {inner}".strip()
    except Ended as ended:
        return f"closed: {ended}"
    except TimeoutError:
        return ""


Case = tuple[str, Callable[[StubStage], Awaitable[tuple[bool, float | None, str]]]]


def stanza(sender_domain: str, body: str, to: str) -> str:
    return f"<message from='mallory@{sender_domain}' to='{to}' type='chat'><body>{body}</body></message>"


async def run(troupe: Troupe, cases: list[Case], target: str = OURS) -> list[Outcome]:
    on = StubStage(troupe, target)
    outcomes = []
    try:
        await on.begin()
        for name, case in cases:
            try:
                async with asyncio.timeout(60):
                    outcomes.append(Outcome(name, *await case(on)))
            except (Ended, TimeoutError, OSError) as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                outcomes.append(Outcome(name, False, None, f"{error or 'too long'} ({where.name}:{where.lineno})"))
    finally:
        await on.end()
    return outcomes


def table(outcomes: list[Outcome]) -> str:
    width = max(len(outcome.name) for outcome in outcomes)
    return "\n".join(
        f"{outcome.name.ljust(width)}  {'ok   ' if outcome.is_met else 'FAILS'}  "
        f"{'-' if outcome.seconds is None else f'{outcome.seconds * 1000:.0f} ms':>8}  {outcome.said}" for outcome in outcomes
    )
