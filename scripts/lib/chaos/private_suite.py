# SPDX-License-Identifier: Apache-2.0
"""A suite in a directory of its own, driven by the operator's scripts, and what its processes are doing."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request

from processes import Refusal, complete, copy, family, identity, run_as, signals, until

ROOT = pathlib.Path(__file__).resolve().parents[3]
ADDRESS = "127.0.0.1"
DOMAIN, REMOTE_DOMAIN, PASSWORD = "localhost", "remote.example", "load-password"
# In the order of starting.
COMPONENTS = ("postgresql", "router", "sm", "s2s", "c2s")
# Ports for each kind of process, and in all.
LARGEST_SCALE = 12
PORTS = 5 * LARGEST_SCALE + 3
# For a process to get ready while another one stands still.
READY_SECONDS = "150"
# Without the proxies of the environment.
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# The generator is one machine with all accounts: what is counted by address is lifted. A process that is killed over
# and over is not to wait ever longer for its start.
BEGINNING = """\
domains:
{domains}
paths:
  run: {run}
sasl:
  iterations: 4096
registration:
  enabled: true
  per_address: 100000
  total: 1000000
router:
  listen: 127.0.0.1:{router}
c2s:
  listeners:
    - address: {address}:{clients}
      tls: starttls
  limits:
    connections_per_address: 50000
"""
CONFIGURATION = BEGINNING + """\
    unauthenticated_connections: 4000
    unauthenticated_per_address: 4000
    stanzas_per_second: 1000
    bytes_per_second: 10MiB
sm:
  limits:
    accounts: 1000000
    offline_messages: 100000
s2s:
  listeners:
    - address: {address}:{servers}
      tls: starttls
{neighbours}
http:
  router_port: {http_router}
  c2s_port: {http_c2s}
  sm_port: {http_sm}
  s2s_port: {http_s2s}
  connections: 64
supervisor:
  router: {routers}
  s2s: {s2s}
  restart_delay_maximum: 1s
log:
  level: {level}
"""


# Where another suite's S2S is, which no DNS names.
NEIGHBOURS = """\
  domains:
    - name: {domain}
      host: {address}:{port}
"""


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def free_block(size: int) -> int:
    """The first of so many free ports, below the range from which the kernel takes ports for outgoing connections."""
    for first in range(20000, 32000 - size, size):
        if all(is_free(first + offset) for offset in range(size)):
            return first
    raise Refusal("no free ports")


def server_port(first: int) -> int:
    """Of the S2S of a suite with these ports."""
    return first + PORTS - 2


def neighbours(neighbour: tuple[str, int] | None) -> str:
    if neighbour is None:
        return ""
    domain, first = neighbour
    return NEIGHBOURS.format(domain=domain, address=ADDRESS, port=server_port(first))


class PrivateSuite:
    """`domain` is its own, `neighbour` that of a suite next to it, with the first of its ports."""

    def __init__(
        self, binaries: pathlib.Path, counts: dict[str, int], level: str = "info", first_port: int = 0,
        domain: str = DOMAIN, neighbour: tuple[str, int] | None = None,
    ):
        # Short, for the sockets, and not below a private home.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="jackdaw-chaos-", dir="/tmp"))
        self.directory.chmod(0o755)
        self.state, self.runtime = self.directory / "state", self.directory / "run"
        self.state.mkdir(mode=0o700)
        self.binaries = binaries
        self.counts = {"postgresql": 1, "s2s": 0} | counts
        self.environment = os.environ | {"JACKDAW_STATE": str(self.state), "JACKDAW_RUN": str(self.runtime)}
        first = first_port or free_block(PORTS)
        self.router_port, self.client_port = first, first + PORTS - 1
        self.domain = domain
        self.http = {name: first + (n + 1) * LARGEST_SCALE for n, name in enumerate(("router", "sm", "c2s", "s2s"))}
        (self.state / "jackdaw.yml").write_text(CONFIGURATION.format(
            domains=f"  - name: {domain}", run=self.runtime, address=ADDRESS, router=self.router_port, clients=self.client_port, level=level,
            http_router=self.http["router"], http_c2s=self.http["c2s"], http_sm=self.http["sm"],
            http_s2s=self.http["s2s"], servers=server_port(first), neighbours=neighbours(neighbour),
            routers=counts["router"], s2s=self.counts["s2s"],
        ), encoding="ascii")
        self.generator = self.directory / "jackdaw-load"

    # By the operator's scripts

    def call(self, script: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        result = complete(
            [ROOT / "scripts" / script, *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", stdin=subprocess.DEVNULL, seconds=300,
        )
        if check and result.returncode != 0:
            raise Refusal(f"{script} {' '.join(arguments)} ended with {result.returncode}:\n{result.stdout[-3000:]}")
        return result

    def start(self, accounts: int) -> None:
        self.call("run", "--detach", "--binaries", str(self.binaries))
        for component in ("sm", "c2s"):
            if self.counts[component] > 1:
                self.scale(component, self.counts[component])
        # What the generator runs as may not reach the build.
        if os.getuid() == 0:
            owner = identity()
            os.chown(self.directory, owner["user"], owner["group"])
        copy(self.binaries / "jackdaw-load", self.generator)
        command = [
            self.generator, "prepare", "--host", ADDRESS, "--port", self.client_port, "--domain", self.domain, "--prefix", "chaos",
            "--password", PASSWORD, "--clients", accounts,
        ]
        made = complete(
            command, seconds=300, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
            cwd="/", env={"PATH": "/usr/bin:/bin"}, **identity(),
        )
        if made.returncode != 0:
            raise Refusal(f"no accounts: {made.stdout[-1000:]}")

    def scale(self, component: str, number: int) -> None:
        self.call("supervisor", "scale", component, str(number), "--timeout", READY_SECONDS)
        self.counts[component] = number

    def restart(self, name: str) -> None:
        self.call("supervisor", "restart", name, "--timeout", READY_SECONDS)

    def remove(self, keep: bool) -> None:
        """Stops it; its files stay where they may be needed."""
        with signals.held():
            with contextlib.suppress(Refusal, subprocess.TimeoutExpired):
                self.call("supervisor", "stop", check=False)
            self.end_the_rest()
            if not keep:
                shutil.rmtree(self.directory, ignore_errors=True)

    def end_the_rest(self) -> None:
        """What the supervisor could not stop: our processes are those that have our directory among their arguments."""
        ours = f"{self.directory}/".encode()
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if ours in path.read_bytes() and int(path.parent.name) != os.getpid():
                    os.kill(int(path.parent.name), signal.SIGKILL)

    # What is there

    def instances(self, component: str) -> list[str]:
        if component == "postgresql":
            return ["postgresql"]
        return [f"{component}-{number}" for number in range(1, self.counts[component] + 1)]

    def everything(self) -> list[str]:
        return [name for component in COMPONENTS for name in self.instances(component)]

    def pid(self, name: str) -> int | None:
        """Of the process itself: run-process becomes it."""
        try:
            pid = int((self.runtime / "pids" / name).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return pid if os.path.exists(f"/proc/{pid}") else None

    def family(self, name: str) -> list[int]:
        """A process and its descendants, parents first."""
        pid = self.pid(name)
        return [] if pid is None else family(pid)

    def is_ready(self, name: str) -> bool:
        if name == "postgresql":
            check = ["pg_isready", "--quiet", "--timeout=2", "--host", self.runtime, "--username", "postgres", "--dbname", "postgres"]
            return subprocess.run(check, check=False, stdin=subprocess.DEVNULL).returncode == 0
        component, _, number = name.rpartition("-")
        try:
            with LOOPBACK.open(f"http://{ADDRESS}:{self.http[component] + int(number) - 1}/ready", timeout=2):
                return True
        except OSError:
            return False

    def unready(self) -> list[str]:
        return [name for name in self.everything() if not self.is_ready(name)]

    def status(self) -> list[dict]:
        return json.loads(self.call("supervisor", "status", "--json").stdout)

    def owner(self) -> str:
        return run_as()


def wait_until_ready(suite: PrivateSuite, seconds: float = 60) -> None:
    until(lambda: not suite.unready(), "the suite is ready", seconds, every=0.1)
