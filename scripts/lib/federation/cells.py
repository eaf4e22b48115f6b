# SPDX-License-Identifier: Apache-2.0
"""The cells of the matrix: each is a pair of domains of its own, so that its link is one that nothing else has opened.

How the pair talks is decided as in the world: by the certificates that both sides show, and by what DNS says of them.
"""

import dataclasses
import itertools

# DANE: the acceptor's certificate is self-signed, and DNSSEC vouches for it; dialback authenticates the opener.
AUTHENTICATIONS = ("certificate", "dialback", "dane")
TRANSPORTS = ("starttls", "direct")
DIRECTIONS = ("out", "in")
FUNCTIONS = ("message", "presence", "roster", "vcard", "disco", "ping")
OURS, SECOND = "jackdaw", "other"


@dataclasses.dataclass(frozen=True)
class Cell:
    """`near` has the first word, so its server opens the link to that of `far`."""

    near: str
    far: str
    authentication: str
    transport: str

    @property
    def direction(self) -> str:
        """As seen from us."""
        return "in" if self.far == OURS else "out"

    @property
    def peer(self) -> str:
        return self.near if self.far == OURS else self.far

    def domain(self, server: str) -> str:
        return domain(server, self.authentication, self.transport, self.direction)

    @property
    def opener(self) -> str:
        return self.domain(self.near)

    @property
    def acceptor(self) -> str:
        return self.domain(self.far)

    @property
    def name(self) -> str:
        """How the committed list calls it."""
        who = self.peer if OURS in (self.near, self.far) else f"{self.near}->{self.far}"
        return f"{who} {self.authentication} {self.transport} {self.direction}"


def domain(server: str, authentication: str, transport: str, direction: str) -> str:
    """Those with DANE are in the zone that is signed."""
    zone = "signed.example" if authentication == "dane" else "example"
    return f"{authentication}-{transport}-{direction}.{server}.{zone}"


def domains(server: str, authentication: str) -> list[str]:
    return [domain(server, authentication, *rest) for rest in itertools.product(TRANSPORTS, DIRECTIONS)]


def all_domains(server: str) -> list[str]:
    return [name for authentication in AUTHENTICATIONS for name in domains(server, authentication)]


def cells_with(peer: str) -> list[Cell]:
    """All of a peer and ours. Whether an opener believes DANE, only a Jackdaw's log says."""
    kinds = list(itertools.product(AUTHENTICATIONS, TRANSPORTS))
    return [Cell(OURS, peer, *kind) for kind in kinds] + [
        Cell(peer, OURS, *kind) for kind in kinds if kind[0] != "dane" or peer == SECOND
    ]


def cells_between(near: str, far: str) -> list[Cell]:
    """Of two peers, to prove the stage: jabberd2 knows one way only."""
    kinds = [("dialback", "starttls")]
    if "jabberd2" not in (near, far):
        kinds = list(itertools.product(AUTHENTICATIONS[:2], TRANSPORTS))
    return [Cell(near, far, *kind) for kind in kinds]


@dataclasses.dataclass(frozen=True)
class Stream:
    """What a log says of one stream: who opened it, how its opener was authenticated, and what it went through."""

    opener: str
    acceptor: str
    authentication: str
    # None: the log does not say. Without TLS it is "none".
    transport: str | None = None
    tls: str | None = None
    # How the acceptor proved itself to the opener.
    acceptor_authentication: str | None = None
