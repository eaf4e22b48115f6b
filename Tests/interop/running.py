# SPDX-License-Identifier: Apache-2.0
"""A real suite on free ports, with two users."""

import pathlib
import socket
import sys

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
http:
  router_port: {http_router}
  c2s_port: {http_c2s}
  sm_port: {http_sm}
"""


def free_ports(count: int) -> list[int]:
    """Below the range from which the kernel takes ports for outgoing connections."""
    found = []
    for port in range(20000, 32000, 10):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


class RunningSuite(Suite):
    def __init__(self, binaries: pathlib.Path):
        super().__init__(binaries=binaries)
        names = ["router", "starttls", "direct", "http_router", "http_c2s", "http_sm"]
        self.ports = dict(zip(names, free_ports(len(names))))
        (self.state / "jackdaw.yml").write_text(CONFIGURATION.format(run=self.runtime, **self.ports), encoding="ascii")

    def begin(self) -> None:
        self.start()
        for user in USERS:
            self.add_user(user)

    def add_user(self, name: str, password: str = PASSWORD) -> None:
        self.call("jackdawctl", "user", "add", f"{name}@localhost", "--password", password)

    def certificate(self) -> pathlib.Path:
        return self.state / "certificates" / "localhost.pem"

    def show_logs(self) -> None:
        for path in sorted((self.state / "log").glob("*.log")):
            print(f"== {path.name}", *path.read_text(encoding="utf-8").splitlines()[-40:], sep="\n", file=sys.stderr)


# Set by main.py before any test runs.
suite: RunningSuite
