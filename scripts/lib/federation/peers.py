# SPDX-License-Identifier: Apache-2.0
"""The foreign servers: how each is configured for the stage, and what its log says of its streams.

Their programs are started as scripts/bench starts them; here they keep their data in files of their own.
"""

import gzip
import pathlib
import re
import sqlite3

import stage
from authority import Pair
from cells import Stream
from processes import Refusal, call, is_taken, until
from servers import Ejabberd, Jabberd2, Prosody, Server

HERE = pathlib.Path(__file__).resolve().parent
CLIENT_PORT = 5222
ROUTER_PORT = 20347


class Peer(Server):
    """A server with several domains, each of which shows one of its certificates."""

    port = CLIENT_PORT
    templates = HERE
    # A client is not shown its own presence.
    hides_self = False
    # Accounts are made by in-band registration.
    registers = True
    # Its clients have XEP-0198.
    acknowledges = False

    def __init__(self, directory: pathlib.Path, certificates: dict[str, Pair], trusted: pathlib.Path, anchor: pathlib.Path):
        """By domain, its certificate."""
        super().__init__(directory, None, None)
        self.address = stage.address(self.name)
        self.certificates = certificates
        self.domains = tuple(certificates)
        self.trusted, self.anchor = trusted, anchor

    def names(self) -> dict:
        return {
            "address": self.address, "address6": stage.address6(self.name), "port": self.port, "directory": self.directory,
            "trusted": self.trusted, "anchor": self.anchor,
        }

    def read_log(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    @property
    def log(self) -> pathlib.Path:
        raise NotImplementedError

    def streams(self) -> list[Stream]:
        """Every authenticated stream that the log tells of."""
        return self.streams_in(self.read_log())

    @staticmethod
    def streams_in(log: str) -> list[Stream]:
        raise NotImplementedError


class FederatedProsody(Peer, Prosody):
    name = "prosody"
    acknowledges = True

    def prepare(self) -> None:
        certificates = self.directory / "certs"
        call(["mkdir", self.directory / "data", certificates], self.directory)
        # By these names Prosody finds what to show for direct TLS; the hosts' own settings are for STARTTLS.
        for domain, pair in self.certificates.items():
            call(["ln", "-s", pair.certificate, certificates / f"{domain}.crt"], self.directory)
            call(["ln", "-s", pair.key, certificates / f"{domain}.key"], self.directory)
        self.fill("prosody.cfg.lua")

    def names(self) -> dict:
        hosts = "\n".join(
            f'VirtualHost "{domain}"\n\tssl = {{ certificate = "{pair.certificate}"; key = "{pair.key}"; cafile = "{self.trusted}" }}'
            for domain, pair in self.certificates.items()
        )
        first = next(iter(self.certificates.values()))
        return super().names() | {"hosts": hosts, "certificate": first.certificate, "key": first.key}

    @property
    def log(self) -> pathlib.Path:
        return self.directory / "prosody.log"

    SECURED = re.compile(r"(s2s(?:in|out)\w+)\s+info\s+Stream encrypted \((\S+) with")
    DONE = re.compile(r"(s2s(in|out)\w+)\s+info\s+(?:Incoming|Outgoing) s2s connection (\S+?)->(\S+) complete")
    EXTERNAL_IN = re.compile(r"(\S+):saslauth\s+info\s+Accepting SASL EXTERNAL identity from (\S+)")
    EXTERNAL_OUT = re.compile(r"(\S+):saslauth\s+debug\s+SASL EXTERNAL with (\S+) succeeded")
    DIALBACK = re.compile(r"(s2s(?:in|out)\w+)\s+debug\s+(?:sent dialback key on outgoing|asking \S+ if key)")
    DANE = re.compile(r"(s2sout\w+)\s+debug\s+.*(?:DANE|TLSA).*")

    @classmethod
    def streams_in(cls, log: str) -> list[Stream]:
        versions = dict(cls.SECURED.findall(log))
        external = {(host, peer) for host, peer in cls.EXTERNAL_OUT.findall(log)}
        external |= {(peer, host) for host, peer in cls.EXTERNAL_IN.findall(log)}
        dialback = set(cls.DIALBACK.findall(log))
        found = []
        for tag, _, opener, acceptor in cls.DONE.findall(log):
            method = "dialback" if tag in dialback else "certificate" if (opener, acceptor) in external else "none"
            found.append(Stream(opener, acceptor, method, tls=versions.get(tag, "none")))
        return found


class FederatedEjabberd(Peer, Ejabberd):
    name = "ejabberd"
    acknowledges = True

    def prepare(self) -> None:
        self.fill("ejabberd.yml")
        call(["mkdir", self.directory / "mnesia"], self.directory)

    def names(self) -> dict:
        pairs = dict.fromkeys(self.certificates.values())
        return super().names() | {
            "hosts": "\n".join(f"  - {domain}" for domain in self.domains),
            "certificates": "\n".join(f"  - {pair.both}" for pair in pairs),
        }

    @property
    def log(self) -> pathlib.Path:
        return self.directory / "ejabberd.txt"

    ACCEPTED = re.compile(r"\((\S+)\|[^)]*\) Accepted (inbound|outbound) s2s (\S+) authentication (\S+) -> (\S+)")

    @classmethod
    def streams_in(cls, log: str) -> list[Stream]:
        methods = {"EXTERNAL": "certificate", "dialback": "dialback"}
        # It logs that TLS is used, not which version.
        return [
            Stream(opener, acceptor, methods.get(method, method), tls=None if socket == "tls" else "none")
            for socket, _, method, opener, acceptor in cls.ACCEPTED.findall(log)
        ]


class FederatedJabberd2(Peer, Jabberd2):
    name = "jabberd2"
    hides_self = True
    registers = False

    def domain(self, domain: str) -> str:
        return domain

    def prepare(self) -> None:
        with gzip.open("/usr/share/doc/jabberd2/db-setup.sqlite.gz", "rt", encoding="utf-8") as schema:
            self.write("schema.sql", schema.read())
        call(["/usr/bin/python3", "-c", MAKE_DATABASE, self.database_file, self.directory / "schema.sql"], self.directory)
        for name in ("c2s.xml", "s2s.xml"):
            self.fill(f"jabberd2/{name}")
        self.templates = Jabberd2.templates
        for name in ("router.xml", "router-users.xml", "sm.xml"):
            self.fill(f"jabberd2/{name}")
        sm = (self.directory / "sm.xml").read_text(encoding="utf-8")
        self.write("sm.xml", with_files(sm, self.database_file, self.domains))

    @property
    def database_file(self) -> pathlib.Path:
        return self.directory / "jabberd2.sqlite"

    def names(self) -> dict:
        first = next(iter(self.certificates.values()))
        local = [f"    <id realm='{domain}' pemfile='{pair.both}'>{domain}</id>" for domain, pair in self.certificates.items()]
        clients = [
            f"    <id realm='{domain}' pemfile='{pair.both}' require-starttls='mu'>{domain}</id>"
            for domain, pair in self.certificates.items()
        ]
        return super().names() | {
            "local": "\n".join(local), "clients": "\n".join(clients), "pem": first.both, "database": self.database_file,
            # For the templates of scripts/bench.
            "password": "stage", "domain": self.domains[0], "domain_sha1": self.domains[-1], "database_address": "",
            "database_port": "",
        }

    def launch(self) -> None:
        super().launch()
        until(lambda: is_taken(self.address, ROUTER_PORT), "jabberd2's router listens")
        self.run("s2s", "/usr/sbin/jabberd2-s2s", "-c", self.directory / "s2s.xml")

    def is_ready(self) -> bool:
        sm = self.directory / "sm.txt"
        return super().is_ready() and is_taken(self.address, 5269) and "ready for sessions" in sm.read_text(errors="replace")

    def add_account(self, user: str, domain: str, password: str) -> None:
        """Into its database: it has no command for that."""
        with sqlite3.connect(self.database_file, timeout=10) as database:
            database.execute("insert into authreg (username, realm, password) values (?, ?, ?)", (user, domain, password))
        database.close()

    @property
    def log(self) -> pathlib.Path:
        return self.directory / "s2s.txt"

    VALID = re.compile(r"(incoming|outgoing) route '([^/']+)/([^']+)' is now valid ?(.*)")

    @classmethod
    def streams_in(cls, log: str) -> list[Stream]:
        found = []
        for direction, local, remote, flags in cls.VALID.findall(log):
            opener, acceptor = (remote, local) if direction == "incoming" else (local, remote)
            # It knows dialback only, and logs that TLS is used, not which version.
            found.append(Stream(opener, acceptor, "dialback", tls=None if "TLS" in flags else "none"))
        return found


# As the user of the stage: the database is that user's.
MAKE_DATABASE = """\
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.executescript(open(sys.argv[2], encoding="utf-8").read())
"""


def with_files(sm: str, database: pathlib.Path, domains: tuple[str, ...]) -> str:
    """The configuration of jabberd2's sm as scripts/bench has it, over SQLite, for our domains, whose users it makes."""
    identifiers = "".join(f"<id>{domain}</id>" for domain in domains)
    storage = f"<sqlite><dbname>{database}</dbname><transactions/><busy-timeout>2000</busy-timeout></sqlite>"
    for pattern, replacement in (
        (r"<driver>pgsql</driver>", "<driver>sqlite</driver>"), (r"<pgsql>.*?</pgsql>", storage),
        (r"(<local>).*?(</local>)", rf"\1{identifiers}\2"), (r"(<user>)(?=\s*<template>)", r"\1<auto-create/>"),
    ):
        sm, count = re.subn(pattern, replacement, sm, flags=re.DOTALL)
        if count != 1:
            raise Refusal(f"sm.xml of scripts/bench has not one {pattern} any more")
    return sm


PEERS = {peer.name: peer for peer in (FederatedProsody, FederatedEjabberd, FederatedJabberd2)}
