# SPDX-License-Identifier: Apache-2.0
"""Which C2S each client is connected to, though all C2S share one port, and whether it has lived since.

The kernel knows: the C2S's end of a connection has the client's port as its remote port (/proc/net/tcp), and the
descriptor of one process refers to its inode.
"""

import dataclasses
import os
import threading
import time

from private_suite import PrivateSuite
from processes import Refusal

# How long a client waits for an answer to <r/> (ChaosClient.patience), and how late it may notice.
PATIENCE, LATENESS = 15.0, 5.0


def client_ports(server_port: int, table: str = "/proc/net/tcp") -> dict[int, str]:
    """Of each established connection to this port: the client's port, and the inode of the server's end."""
    found = {}
    with open(table, encoding="ascii") as file:
        next(file)
        for line in file:
            fields = line.split()
            local, remote, state, inode = fields[1], fields[2], fields[3], fields[9]
            if state == "01" and int(local.rpartition(":")[2], 16) == server_port:
                found[int(remote.rpartition(":")[2], 16)] = inode
    return found


def sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


@dataclasses.dataclass(frozen=True)
class Outage:
    """When a C2S could not serve its clients, by our doing; `until` is none for one that ended."""

    pid: int
    since: float
    until: float | None

    def excuses(self, pid: int | None, at: float) -> bool:
        """Whether a connection that broke then was this process's, or for all we know may have been."""
        if pid not in (None, self.pid):
            return False
        if self.until is None:
            # Of an unknown process: of one that ended about then.
            return at >= self.since - 0.2 and (pid is not None or at <= self.since + PATIENCE + LATENESS)
        # Stopped for longer than its clients wait, it counts as killed.
        return self.until - self.since >= PATIENCE - 0.5 and self.since + PATIENCE - 0.5 <= at <= self.until + LATENESS


class Edges:
    """Looks again and again, in a thread of its own."""

    def __init__(self, suite: PrivateSuite, every: float = 0.5):
        self.suite = suite
        self.every = every
        # The C2S of a client's port, as it was last seen.
        self.pids: dict[int, int | None] = {}
        self.known: dict[str, int] = {}
        self.outages: list[Outage] = []
        self.lock = threading.Lock()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self) -> None:
        while not self.is_over.wait(self.every):
            self.look()

    def stop(self) -> None:
        self.is_over.set()
        self.thread.join()

    def look(self) -> None:
        with self.lock:
            ports = client_ports(self.suite.client_port)
            new = set(ports.values()) - self.known.keys()
            if new:
                for name in self.suite.instances("c2s"):
                    pid = self.suite.pid(name)
                    if pid is not None:
                        self.known |= dict.fromkeys(sockets(pid) & new, pid)
            # A port that was another connection's before, of which no process has the descriptor yet, is nobody's.
            self.pids |= {port: self.known.get(inode) for port, inode in ports.items()}
            here = set(ports.values())
            self.known = {inode: pid for inode, pid in self.known.items() if inode in here}

    def ended(self, pid: int) -> None:
        self.outages.append(Outage(pid, time.monotonic(), None))

    def stood_still(self, pid: int, since: float, until: float) -> None:
        self.outages.append(Outage(pid, since, until))

    def pid_of(self, port: int | None) -> int | None:
        return self.pids.get(port) if port is not None else None

    def judge(self, disconnect: dict) -> dict | None:
        """The facts of a disconnect if the C2S lived, `pid` or one that is not known; else none."""
        # Nothing is done to the other suite's.
        if not disconnect.get("isRemote") and any(outage.excuses(disconnect["pid"], disconnect["heardAt"]) for outage in self.outages):
            return None
        return {key: disconnect.get(key) for key in ("disconnected", "time", "port", "pid", "reason")}


def pid_of(suite: PrivateSuite, name: str) -> int:
    pid = suite.pid(name)
    if pid is None:
        raise Refusal(f"{name} does not run")
    return pid
