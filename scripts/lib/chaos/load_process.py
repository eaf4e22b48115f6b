# SPDX-License-Identifier: Apache-2.0
"""`jackdaw-load chaos`: asked by lines of text, answering by lines of JSON."""

import json
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable

from private_suite import ADDRESS, PASSWORD, PrivateSuite
from processes import Refusal, end, identity, signals


class LoadProcess:
    """`remote`: a second suite, and how many of the clients are there."""

    def __init__(
        self, suite: PrivateSuite, clients: int, rate: float, seed: int, heard: Callable[[dict], None],
        remote: tuple[PrivateSuite, int] | None = None,
    ):
        """`heard` is called, by a thread, for each connection that broke against a client's will."""
        self.clients = clients
        self.heard = heard
        self.answers: queue.Queue[dict | None] = queue.Queue()
        self.log = open(suite.directory / "load.log", "wb")
        command = [
            suite.generator, "chaos", "--host", ADDRESS, "--port", suite.client_port, "--domain", suite.domain, "--prefix", "chaos",
            "--password", PASSWORD, "--clients", clients, "--rate", rate, "--seed", seed,
        ]
        if remote:
            other, number = remote
            command += ["--remote", number, "--remote-server", f"{ADDRESS}:{other.client_port}", "--remote-domain", other.domain]
        with signals.held():
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                encoding="utf-8", cwd="/", env={"PATH": "/usr/bin:/bin"}, start_new_session=True, **identity(),
            )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def read(self) -> None:
        for line in self.process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if "disconnected" in said:
                self.heard(said | {"heardAt": time.monotonic()})
            else:
                self.answers.put(said)
        self.answers.put(None)

    def ask(self, command: str, seconds: float = 30) -> dict:
        """Says a command and returns its answer."""
        try:
            self.process.stdin.write(f"{command}\n")
            self.process.stdin.flush()
            answer = self.answers.get(timeout=seconds)
        except (OSError, queue.Empty) as error:
            raise Refusal(f"jackdaw-load does not answer to {command}: {error!r}") from error
        if answer is None:
            raise Refusal(f"jackdaw-load ended with {self.process.wait()}")
        if answer.get("error"):
            raise Refusal(f"jackdaw-load: {command}: {answer['error']}")
        return answer.get("counts", answer)

    def status(self) -> dict:
        return self.ask("status")

    def stop(self) -> None:
        with signals.held():
            end(self.process, signal.SIGTERM, seconds=5)
            self.log.close()
