# SPDX-License-Identifier: Apache-2.0
"""Those who are compared: each is started, broken and looked at in the same words.

Ours is a suite of its own, driven by the operator's scripts, so what is killed is started again by its supervisor. What
is killed of jabberd2 is started again at once, as systemd does it in Debian (its own supervisor would end the rest). Both
use PostgreSQL, each a private one.
"""

import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import tempfile

import private_suite
from postgresql import PostgreSQL
from private_suite import BEGINNING, PrivateSuite, wait_until_ready
from processes import Process, Refusal, complete, copy, family, identity, is_taken, run_as, signals, stopped, until
from servers import DOMAIN, PORT, Certificates, Jabberd2

# Names of external components: one that tries what it may not, one that is there, and one for odd input.
COMPONENTS = ("alpha", "beta", "gamma")
# What is as it is shipped, but for what a generator on one machine and with new accounts needs.
CONFIGURATION = BEGINNING + """\
    stanzas_per_second: {stanzas_per_second}
components:
{components}
http:
  router_port: {http_router}
  c2s_port: {http_c2s}
  sm_port: {http_sm}
  connections: 64
supervisor:
  s2s: 0
  restart_delay_maximum: 1s
"""


class Contender:
    name = title = ""
    # Whether clients see by XEP-0198 what was taken.
    acknowledges = False
    domain = host = password = ""
    client_port = router_port = 0
    directory: pathlib.Path | None = None

    def begin(self, accounts: int, sms: int = 1, stanzas_per_second: int | None = None) -> None:
        """Starts everything and makes accounts `chaos1` and so on. With a limit, if there is one."""
        raise NotImplementedError

    def end(self) -> None:
        """Stops everything; the directory with its logs stays."""
        raise NotImplementedError

    def clean(self) -> None:
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def secret(self, component: str) -> str:
        raise NotImplementedError

    def pids(self) -> dict[str, int]:
        """Of the processes that live, without the database."""
        raise NotImplementedError

    def database_pids(self) -> list[int]:
        raise NotImplementedError

    def add_sm(self) -> None:
        raise NotImplementedError

    def start_again(self, name: str) -> None:
        """After its end, where its supervisor does not."""

    def sessions_of(self, sm: str) -> int:
        """How many sessions an SM has."""
        raise NotImplementedError

    def kill(self, name: str) -> None:
        pid = self.pids().get(name)
        if pid is None:
            raise Refusal(f"{self.title} has no {name} that could be killed")
        os.kill(pid, signal.SIGKILL)

    def stopped_database(self):
        """Every process of PostgreSQL stands still meanwhile."""
        return stopped(self.database_pids())

    def make_accounts(self, generator: pathlib.Path, accounts: int, peculiarities: tuple[str, ...] = ()) -> None:
        command = [
            generator, "prepare", "--host", self.host, "--port", self.client_port, "--domain", self.domain, "--prefix", "chaos",
            "--password", self.password, "--clients", accounts, *peculiarities,
        ]
        made = complete(
            command, seconds=300, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
            cwd="/", env={"PATH": "/usr/bin:/bin"}, **identity(),
        )
        if made.returncode != 0:
            raise Refusal(f"no accounts: {made.stdout[-1000:]}")


class OurSuite(PrivateSuite):
    """With the limits as shipped, and components."""

    def __init__(self, binaries: pathlib.Path, stanzas_per_second: int | None):
        super().__init__(binaries, {"router": 1, "sm": 1, "c2s": 1})
        place = self.directory / "secrets"
        place.mkdir(mode=0o700)
        self.secrets = {name: secrets.token_hex(16) for name in COMPONENTS}
        lines = []
        for name, secret in self.secrets.items():
            path = place / name
            path.write_text(f"{secret}\n", encoding="ascii")
            path.chmod(0o600)
            lines += [f"  - names: [{name}.{private_suite.DOMAIN}]", f"    secret_file: {path}"]
        (self.state / "jackdaw.yml").write_text(CONFIGURATION.format(
            domains=f"  - name: {private_suite.DOMAIN}", run=self.runtime, address=private_suite.ADDRESS, router=self.router_port,
            clients=self.client_port, stanzas_per_second=stanzas_per_second or 100, components="\n".join(lines),
            http_router=self.http["router"], http_c2s=self.http["c2s"], http_sm=self.http["sm"],
        ), encoding="ascii")
        if os.getuid() == 0:
            for path in (place, *place.iterdir()):
                shutil.chown(path, run_as(), identity()["group"])


class Jackdaw(Contender):
    name, title = "jackdaw", "Jackdaw"
    acknowledges = True
    domain, password, host = private_suite.DOMAIN, private_suite.PASSWORD, private_suite.ADDRESS

    def __init__(self, binaries: pathlib.Path):
        self.binaries = binaries
        self.suite: OurSuite | None = None

    def begin(self, accounts: int, sms: int = 1, stanzas_per_second: int | None = None) -> None:
        self.suite = OurSuite(self.binaries, stanzas_per_second)
        self.directory = self.suite.directory
        self.client_port, self.router_port = self.suite.client_port, self.suite.router_port
        self.suite.start(accounts)
        if sms > 1:
            self.suite.scale("sm", sms)
        wait_until_ready(self.suite)

    def end(self) -> None:
        if self.suite:
            self.suite.remove(keep=True)

    def secret(self, component: str) -> str:
        return self.suite.secrets[component]

    def pids(self) -> dict[str, int]:
        names = [name for name in self.suite.everything() if name != "postgresql"]
        return {name: pid for name in names if (pid := self.suite.pid(name))}

    def database_pids(self) -> list[int]:
        return self.suite.family("postgresql")

    def add_sm(self) -> None:
        self.suite.scale("sm", self.suite.counts["sm"] + 1)

    def sessions_of(self, sm: str) -> int:
        port = self.suite.http["sm"] + int(sm.rpartition("-")[2]) - 1
        with private_suite.LOOPBACK.open(f"http://{self.host}:{port}/metrics", timeout=5) as answer:
            return sessions_in(answer.read().decode())


def sessions_in(metrics: str) -> int:
    """The gauge in the text of /metrics."""
    line = next((line for line in metrics.splitlines() if line.startswith("jackdaw_sm_sessions ")), "0")
    return int(float(line.split()[-1]))


class PlainJabberd2(Jabberd2):
    """As scripts/bench has it, with a secret for XEP-0114, and a second SM for the same domain."""

    def __init__(self, directory: pathlib.Path, database: PostgreSQL, certificates: Certificates, stanzas: int | None):
        super().__init__(directory, database, certificates)
        self.stanzas = stanzas

    def prepare(self) -> None:
        super().prepare()
        self.change("router.xml", "router.xml", "</users>", f"</users>\n    <secret>{self.database.password}</secret>")
        if self.stanzas:
            limit = f"<stanzas seconds='1' throttle='5'>{self.stanzas}</stanzas>"
            self.change("c2s.xml", "c2s.xml", "<stanzas>0</stanzas>", limit)
        for number in (1, 2):
            self.change("sm.xml", f"sm-{number}.xml", "<id>sm</id>", f"<id>sm-{number}</id>", "/sm.", f"/sm-{number}.")

    def change(self, source: str, target: str, *replaced: str) -> None:
        text = (self.directory / source).read_text(encoding="utf-8")
        for old, new in zip(replaced[::2], replaced[1::2]):
            if old not in text:
                raise Refusal(f"{source} of scripts/bench has no {old} any more")
            text = text.replace(old, new)
        self.write(target, text)

    def launch(self) -> None:
        self.launch_router()
        self.launch_one("sm", "sm-1")
        self.launch_one("c2s", "c2s")

    def launch_router(self) -> None:
        self.run("router", "/usr/sbin/jabberd2-router", "-c", self.directory / "router.xml")
        until(lambda: is_taken(self.address, 20347), "jabberd2's router listens")

    def launch_one(self, program: str, name: str) -> None:
        self.run(name, f"/usr/sbin/jabberd2-{program}", "-c", self.directory / f"{name}.xml")

    def instance(self, name: str) -> Process | None:
        """The newest of that name."""
        return next((process for process in reversed(self.processes) if process.name == name), None)


class Jabberd2Contender(Contender):
    name, title = "jabberd2", "jabberd2"
    domain, host, password = DOMAIN, Jabberd2.address, "load-password"
    client_port, router_port = PORT, 20347

    def __init__(self, binaries: pathlib.Path):
        self.binaries = binaries
        self.database: PostgreSQL | None = None
        self.server: PlainJabberd2 | None = None

    def begin(self, accounts: int, sms: int = 1, stanzas_per_second: int | None = None) -> None:
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="jackdaw-compare-", dir="/tmp"))
        if os.getuid() == 0:
            shutil.chown(self.directory, run_as(), identity()["group"])
        certificates = Certificates(self.directory)
        certificates.make()
        self.database = PostgreSQL(self.directory)
        self.database.start()
        self.server = PlainJabberd2(self.directory, self.database, certificates, stanzas_per_second)
        self.server.set_up()
        self.server.start()
        generator = self.directory / "jackdaw-load"
        copy(self.binaries / "jackdaw-load", generator)
        self.make_accounts(generator, accounts, self.server.peculiarities)
        for _ in range(1, sms):
            self.add_sm()

    def end(self) -> None:
        with signals.held():
            if self.server:
                self.server.stop()
            if self.database:
                self.database.stop()

    def secret(self, component: str) -> str:
        """One for all."""
        return self.database.password

    def pids(self) -> dict[str, int]:
        return {process.name: process.pid for process in self.server.processes if process.is_running()}

    def database_pids(self) -> list[int]:
        return family(self.database.process.pid)

    def add_sm(self) -> None:
        self.server.launch_one("sm", "sm-2")
        # It says nothing when it is ready: its name is bound a moment later.
        log = self.server.directory / "sm-2.txt"
        until(lambda: log.exists() and "ready for sessions" in log.read_text(errors="replace"), "jabberd2's second sm is ready")

    def sessions_of(self, sm: str) -> int:
        """By its log; it tells nobody otherwise."""
        text = (self.server.directory / f"{sm}.txt").read_text(errors="replace")
        return text.count("session started:") - text.count("session ended:")

    def start_again(self, name: str) -> None:
        if name == "router":
            until(lambda: not is_taken(self.host, self.router_port), "the router's port is free", seconds=10)
            self.server.launch_router()
        else:
            self.server.launch_one("sm", name)

    def kill(self, name: str) -> None:
        process = self.server.instance(name)
        if not process:
            raise Refusal(f"{self.title} has no {name} that could be killed")
        process.stop(signal.SIGKILL)


CONTENDERS = {contender.name: contender for contender in (Jackdaw, Jabberd2Contender)}
