# SPDX-License-Identifier: Apache-2.0
"""A Jackdaw of the stage: a suite of its own, driven by the operator's scripts, with domains that others find by DNS."""

import json
import os
import pathlib
import shutil

import stage
from authority import Pair
from cells import Stream
from private_suite import BEGINNING, PrivateSuite, wait_until_ready
from processes import identity, run_as

CLIENT_PORT = 5222
# The stage's clients come from one address, as those of scripts/chaos do.
CONFIGURATION = BEGINNING + """\
    unauthenticated_connections: 4000
    unauthenticated_per_address: 4000
    stanzas_per_second: 10000
    bytes_per_second: 100MiB
sm:
  limits:
    accounts: 1000000
    offline_messages: 100000
s2s:
  listeners:
    - address: {address}:5269
      tls: starttls
    - address: {address}:5270
      tls: direct
    - address: "[{address6}]:5269"
      tls: starttls
    - address: "[{address6}]:5270"
      tls: direct
  dane: use
  authorities: {trusted}
  dns:
    trust_anchors: [{anchor}]
  limits:
    connections_per_address: 5000
    unauthenticated_connections: 5000
{limits}
{policy}
http:
  router_port: {http_router}
  c2s_port: {http_c2s}
  sm_port: {http_sm}
  s2s_port: {http_s2s}
  connections: 64
supervisor:
  s2s: {instances}
  restart_delay_maximum: 1s
log:
  level: {level}
  format: json
"""


class FederatedJackdaw(PrivateSuite):
    """`policy` is the rest of the section s2s as text, `limits` that of its limits."""

    port = CLIENT_PORT
    hides_self = False
    registers = acknowledges = True

    def __init__(
        self, name: str, binaries: pathlib.Path, certificates: dict[str, Pair], trusted: pathlib.Path, anchor: pathlib.Path,
        policy: str = "", limits: str = "", instances: int = 1, level: str = "debug",
    ):
        # Those who are on the stage together do not know of each other's ports yet.
        first_port = 20000 + 100 * stage.ADDRESSES[name]
        super().__init__(binaries, {"router": 1, "sm": 1, "c2s": 1, "s2s": instances}, level, first_port)
        self.name = name
        self.address = stage.address(name)
        self.domains = tuple(certificates)
        (self.state / "jackdaw.yml").write_text(CONFIGURATION.format(
            domains="\n".join(
                f"  - name: {domain}\n    certificate: {pair.certificate}\n    key: {pair.key}" for domain, pair in certificates.items()
            ),
            run=self.runtime, router=self.router_port, address=self.address, address6=stage.address6(name), clients=CLIENT_PORT,
            trusted=trusted, anchor=anchor, policy=policy, limits=limits, http_router=self.http["router"], http_c2s=self.http["c2s"],
            http_sm=self.http["sm"], http_s2s=self.http["s2s"], instances=instances, level=level,
        ), encoding="ascii")
        if os.getuid() == 0:
            shutil.chown(self.directory, run_as(), identity()["group"])

    def begin(self) -> None:
        self.call("run", "--detach", "--binaries", str(self.binaries))
        wait_until_ready(self)

    def stop(self) -> None:
        self.remove(keep=True)

    # What the log says

    def read_log(self) -> str:
        paths = sorted((self.state / "log").glob("s2s-*.log"))
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)

    def streams(self) -> list[Stream]:
        return streams_in(self.read_log())


def lines_in(log: str) -> list[dict]:
    found = []
    for line in log.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            found.append(said)
    return found


def streams_in(log: str) -> list[Stream]:
    """Every domain pair that was authenticated."""
    found = []
    for said in lines_in(log):
        if said.get("authentication") and said.get("direction") in ("in", "out"):
            ends = said.get("local", ""), said.get("remote", "")
            opener, acceptor = ends if said["direction"] == "out" else ends[::-1]
            found.append(Stream(
                opener, acceptor, said["authentication"], said.get("transport"), said.get("tls"), said.get("peer-authentication"),
            ))
    return found
