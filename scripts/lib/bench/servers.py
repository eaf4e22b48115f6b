# SPDX-License-Identifier: Apache-2.0
"""The servers that are compared: how each is configured, started and stopped, on a loopback address of its own."""

import functools
import gzip
import http.client
import pathlib
import string
import subprocess
import time
import urllib.request

from postgresql import ADDRESS as DATABASE_ADDRESS
from postgresql import PORT as DATABASE_PORT
from postgresql import PostgreSQL
from processes import Process, Refusal, answers_xmpp, call, copy, is_taken, signals, until, version_of_package

HERE = pathlib.Path(__file__).resolve().parent
# For every load but one; the other is for logins with SCRAM-SHA-1, of which ejabberd and Prosody keep one hash a host.
DOMAIN, DOMAIN_SHA1 = "bench.test", "sha1.bench.test"
PORT = 20222


class Server:
    """What all have in common. `processes` is in the order of the start."""

    name = ""
    address = ""
    # What jackdaw-load must know of it.
    peculiarities: tuple[str, ...] = ()
    # SQL that counts the messages that wait.
    stored_messages = ""
    # Where its clients connect, and at which domains.
    port = PORT
    domains: tuple[str, ...] = (DOMAIN, DOMAIN_SHA1)
    # What its configuration is made from.
    templates = HERE

    def __init__(self, directory: pathlib.Path, database: PostgreSQL, certificates: "Certificates"):
        self.directory = directory / self.name
        self.database = database
        self.certificates = certificates
        self.processes: list[Process] = []
        self.seconds_to_start = 0.0

    # What each server says for itself

    def domain(self, domain: str) -> str:
        """The host on which it plays this one."""
        return domain

    def version(self) -> str:
        return version_of_package(self.name)

    def prepare(self) -> None:
        """Makes database and configuration, once for a benchmark."""
        raise NotImplementedError

    def launch(self) -> None:
        raise NotImplementedError

    # What is the same for all

    def set_up(self) -> None:
        call(["mkdir", "-m", "700", self.directory], self.directory.parent)
        self.prepare()

    def start(self) -> None:
        if is_taken(self.address, self.port):
            raise Refusal(f"{self.address}:{self.port} is in use; another benchmark?")
        started = time.monotonic()
        self.launch()
        until(self.is_ready, f"{self.name} starts")
        self.seconds_to_start = time.monotonic() - started

    def is_ready(self) -> bool:
        for process in self.processes:
            if not process.is_running():
                raise Refusal(f"{process.name} ended:\n{process.tail()}")
        return all(answers_xmpp(self.address, self.port, domain) for domain in self.domains)

    def stop(self) -> None:
        with signals.held():
            for process in reversed(self.processes):
                process.stop()
            self.processes = []

    def run(self, name: str, *command, **variables: str) -> None:
        with signals.held():
            self.processes.append(Process(name, list(command), self.directory, **variables))

    def write(self, name: str, text: str, mode: str = "600") -> pathlib.Path:
        path = self.directory / name
        call(["tee", path], self.directory, text)
        call(["chmod", mode, path], self.directory)
        return path

    def fill(self, template: str) -> None:
        """Writes a file of ours with the names in it filled in."""
        text = (self.templates / template).read_text(encoding="utf-8")
        self.write(pathlib.Path(template).name, string.Template(text).substitute(self.names()))

    def names(self) -> dict:
        """What the templates call by name."""
        return dict(
            name=self.name, address=self.address, port=self.port, directory=self.directory, domain=DOMAIN, domain_sha1=DOMAIN_SHA1,
            certificate=self.certificates.certificate, key=self.certificates.key, pem=self.certificates.both,
            database_address=DATABASE_ADDRESS, database_port=DATABASE_PORT, password=self.database.password,
        )


class Certificates:
    """One P-256 certificate for both domains, for all servers."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory / "certificates"
        self.certificate = self.directory / "bench.pem"
        self.key = self.directory / "bench.key"
        # Certificate and key in one file, as jabberd2 wants it.
        self.both = self.directory / "both.pem"

    def make(self) -> None:
        call(["mkdir", "-m", "700", self.directory], self.directory.parent)
        call([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256",
            "-days", "30", "-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:{DOMAIN},DNS:{DOMAIN_SHA1}",
            "-keyout", self.key, "-out", self.certificate,
        ], self.directory)
        call(["tee", self.both], self.directory, call(["cat", self.certificate, self.key], self.directory))
        call(["chmod", "600", self.both, self.key], self.directory)


class Jackdaw(Server):
    name = "jackdaw"
    address = "127.0.1.1"
    stored_messages = "select count(*) from spool"
    binaries = pathlib.Path()
    # What of the executables goes where the user of the benchmark can read it.
    executables = ("jackdaw-router", "jackdaw-sm", "jackdaw-c2s")
    # Instances of C2S, which share the clients' port.
    edges = 1

    @functools.cache
    def version(self) -> str:
        """Of the tree when the benchmark began, which the executables are of."""
        described = subprocess.run(
            ["git", "-C", HERE, "describe", "--always", "--dirty", "--abbrev=10"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, encoding="utf-8", check=False,
        )
        return described.stdout.strip() or "unknown"

    def prepare(self) -> None:
        self.database.make_database(self.name, roles=("jackdaw_c2s",))
        self.write("secret", f"{self.database.password}\n")
        for name in self.executables:
            copy(self.binaries / name, self.directory / name)
        self.fill("jackdaw.yml")

    def launch(self) -> None:
        self.launch_instance("router", "router-1")
        self.launch_instance("sm", "sm-1")
        for number in range(1, self.edges + 1):
            self.launch_instance("c2s" if self.edges == 1 else f"c2s-{number}", f"c2s-{number}")

    def launch_instance(self, name: str, instance: str) -> None:
        program = self.directory / f"jackdaw-{instance.split('-', maxsplit=1)[0]}"
        self.run(name, program, "--config", self.directory / "jackdaw.yml", "--instance", instance)

    def is_ready(self) -> bool:
        # Instance n answers on the port of its kind + n - 1.
        ports = [20100, 20300, *range(20200, 20200 + self.edges)]
        return super().is_ready() and all(self.says_ready(port) for port in ports)

    def says_ready(self, port: int) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.address}:{port}/ready", timeout=2).close()
        except (OSError, http.client.HTTPException):
            return False
        return True


class Jackdaw4(Jackdaw):
    """What more processes cost."""

    name = "jackdaw4"
    address = "127.0.1.5"
    edges = 4


class Ejabberd(Server):
    name = "ejabberd"
    address = "127.0.1.2"
    stored_messages = "select count(*) from spool"

    def prepare(self) -> None:
        schema = pathlib.Path("/usr/share/ejabberd/sql/pg.new.sql").read_text(encoding="utf-8")
        self.database.make_database(self.name, schema)
        self.fill("ejabberd.yml")
        call(["mkdir", self.directory / "mnesia"], self.directory)

    def launch(self) -> None:
        # As ejabberdctl of the package starts it, but as our user and without distribution, so without epmd.
        self.run(
            "ejabberd", "/usr/bin/erl", "+K", "true", "+P", "250000", "-mnesia", "dir",
            f'"{self.directory}/mnesia"', "-s", "ejabberd", "-noinput",
            ERL_LIBS="/usr/lib/x86_64-linux-gnu", ERL_MAX_PORTS="32000", ERL_MAX_ETS_TABLES="1400",
            ERL_INETRC="/etc/ejabberd/inetrc", ERL_CRASH_DUMP=f"{self.directory}/crash.dump",
            EJABBERD_CONFIG_PATH=f"{self.directory}/ejabberd.yml", EJABBERD_LOG_PATH=f"{self.directory}/ejabberd.txt",
        )


class Prosody(Server):
    name = "prosody"
    address = "127.0.1.3"
    stored_messages = "select count(*) from prosodyarchive where store = 'offline'"

    def prepare(self) -> None:
        self.database.make_database(self.name)
        call(["mkdir", self.directory / "data"], self.directory)
        self.fill("prosody.cfg.lua")

    def launch(self) -> None:
        self.run("prosody", "/usr/bin/prosody", "-F", "--config", self.directory / "prosody.cfg.lua")


class Jabberd2(Server):
    name = "jabberd2"
    address = "127.0.1.4"
    stored_messages = "select count(*) from queue"
    peculiarities = ("--unseen-presence",)

    def domain(self, domain: str) -> str:
        """It keeps passwords, not the credentials of one hash, and registers nobody at a second host."""
        return DOMAIN

    def prepare(self) -> None:
        with gzip.open("/usr/share/doc/jabberd2/db-setup.pgsql.gz", "rt", encoding="utf-8") as schema:
            self.database.make_database(self.name, schema.read())
        for name in ("router.xml", "router-users.xml", "sm.xml", "c2s.xml"):
            self.fill(f"jabberd2/{name}")

    def launch(self) -> None:
        self.run("router", "/usr/sbin/jabberd2-router", "-c", self.directory / "router.xml")
        for name in ("sm", "c2s"):
            until(lambda: is_taken(self.address, 20347), "jabberd2's router listens")
            self.run(name, f"/usr/sbin/jabberd2-{name}", "-c", self.directory / f"{name}.xml")


SERVERS = {server.name: server for server in (Jackdaw, Ejabberd, Prosody, Jabberd2, Jackdaw4)}
# What is not run unless it is asked for.
OPTIONAL_SERVERS = {"jackdaw4"}
