# SPDX-License-Identifier: Apache-2.0
"""A suite of stand-ins in a directory of its own, driven by the real scripts."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DUMMIES = ROOT / "Tests" / "scripts" / "dummy"
IS_ROOT = os.getuid() == 0


def free_port_range(size: int = 30) -> int:
    """The first of `size` ports of which the first and those that the tests use are free."""
    for first in range(26000, 32000, size):
        try:
            for offset in (0, 1, 10, 11, 12, 20):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", first + offset))
            return first
        except OSError:
            continue
    raise RuntimeError("no free ports")


def until(condition, what: str, seconds: float = 30):
    """The first true value of a condition; the time is a bound for a hang, not a part of the verdict."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen in {seconds} s")
        time.sleep(0.05)


class Suite:
    def __init__(self, root: pathlib.Path = ROOT, binaries: pathlib.Path = DUMMIES):
        self.root = root
        self.binaries = binaries
        # Short, for the sockets, and not below a private home.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="jackdaw-test-", dir="/tmp"))
        self.directory.chmod(0o755)
        self.state = self.directory / "state"
        self.runtime = self.directory / "run"
        self.state.mkdir(mode=0o700)
        (self.state / "dummy-port").write_text(f"{free_port_range()}\n", encoding="ascii")
        self.environment = os.environ | {"JACKDAW_STATE": str(self.state), "JACKDAW_RUN": str(self.runtime)}

    def call(self, script: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        result = subprocess.run(
            [self.root / "scripts" / script, *arguments], env=self.environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", check=False, stdin=subprocess.DEVNULL,
        )
        if check and result.returncode != 0:
            raise AssertionError(f"{script} {' '.join(arguments)}: {result.returncode}\n{result.stdout}")
        return result

    def start(self) -> str:
        return self.call("run", "--detach", "--binaries", str(self.binaries)).stdout

    def status(self) -> dict[str, dict]:
        return {row["instance"]: row for row in json.loads(self.call("supervisor", "status", "--json").stdout)}

    def pids(self) -> dict[str, int]:
        return {name: row["pid"] for name, row in self.status().items()}

    def log(self, instance: str) -> str:
        path = self.state / "log" / f"{instance}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def sql(self, command: str) -> str:
        psql = ["psql", "-X", "-A", "-t", "-h", str(self.runtime), "-U", "jackdaw_sm", "-d", "jackdaw", "-c", command]
        if IS_ROOT:
            psql = ["runuser", "-u", "jackdaw", "--"] + psql
        return subprocess.run(psql, check=True, stdout=subprocess.PIPE, encoding="utf-8", cwd="/").stdout.strip()

    def remove(self) -> None:
        self.call("supervisor", "stop", check=False)
        shutil.rmtree(self.directory, ignore_errors=True)
