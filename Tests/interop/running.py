# SPDX-License-Identifier: Apache-2.0
"""A real suite on free ports, with two users."""

import json
import pathlib
import socket
import sys
import unittest

from suite import Suite

PASSWORD = "correct horse battery staple"
USERS = ["alice", "bob"]

CONFIGURATION = """\
domains:
  - name: localhost
paths:
  run: {run}
router:
  listen: 127.0.0.1:{router}
c2s:
  listeners:
    - address: 127.0.0.1:{starttls}
      tls: starttls
    - address: 127.0.0.1:{direct}
      tls: direct
s2s:
  listeners:
    - address: 127.0.0.1:{servers}
      tls: starttls
http:
  router_port: {http_router}
  c2s_port: {http_c2s}
  sm_port: {http_sm}
  s2s_port: {http_s2s}
"""


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Below the range from which the kernel takes ports for outgoing connections; the two behind each are free too."""
    found = []
    for port in range(20000, 32000, 10):
        if all(is_free(port + offset) for offset in range(3)):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


class RunningSuite(Suite):
    """Real processes. One that is there to be restored into has no configuration, and will have the other's ports."""

    def __init__(self, binaries: pathlib.Path, restored_from: "RunningSuite | None" = None):
        super().__init__(binaries=binaries)
        if restored_from:
            self.ports = restored_from.ports
            return
        names = ["router", "starttls", "direct", "servers", "http_router", "http_c2s", "http_sm", "http_s2s"]
        self.ports = dict(zip(names, free_ports(len(names))))
        (self.state / "jackdaw.yml").write_text(CONFIGURATION.format(run=self.runtime, **self.ports), encoding="ascii")

    def begin(self) -> None:
        self.start()
        for user in USERS:
            self.add_user(user)

    def add_user(self, name: str, password: str = PASSWORD, domain: str = "localhost") -> None:
        self.call("jackdawctl", "user", "add", f"{name}@{domain}", "--password", password)

    def users(self) -> list[str]:
        return [row["user"] for row in self.ask("user", "list")]

    def instances(self) -> dict[str, str]:
        """Which C2S has which session."""
        return {row["jid"]: row["instance"] for row in self.ask("session", "list")}

    def ask(self, *command: str) -> list[dict]:
        return json.loads(self.call("jackdawctl", *command, "--json").stdout)

    def certificate(self, domain: str = "localhost") -> pathlib.Path:
        return self.state / "certificates" / f"{domain}.pem"

    def show_logs(self) -> None:
        for path in sorted((self.state / "log").glob("*.log")):
            print(f"== {path.name}", *path.read_text(encoding="utf-8").splitlines()[-40:], sep="\n", file=sys.stderr)


# Set by main.py before any test runs.
suite: RunningSuite


def run_tests(directory: pathlib.Path, names: list[str]) -> unittest.TestResult:
    """Those with these names, else all of the directory; none at all is a failure."""
    loader = unittest.defaultTestLoader
    tests = loader.loadTestsFromNames(names) if names else loader.discover(str(directory))
    if tests.countTestCases() == 0:
        sys.exit(f"there are no tests in {directory}")
    return unittest.TextTestRunner(verbosity=2).run(tests)
