# SPDX-License-Identifier: Apache-2.0
"""The faults: which there are, in what order they come, and how each is done.

The order is made from a seed alone: every kind on every kind of process comes equally often.
"""

import contextlib
import dataclasses
import os
import random
import signal
import threading
import time

from edges import Edges, pid_of
from load_process import LoadProcess
from private_suite import COMPONENTS, PrivateSuite
from processes import signals

# What may be scaled, unless the supervisor refuses it.
SCALABLE = ("c2s", "sm", "s2s", "router")
SHORTEST_STOP, LONGEST_STOP = 5.0, 60.0
MEANINGS = {
    "kill": "`kill -9`", "stop": "`SIGSTOP`", "restart": "restart", "scale": "scaled", "drop": "connections dropped",
}


@dataclasses.dataclass(frozen=True)
class Fault:
    kind: str
    component: str
    # Which of the instances, as a fraction of their number.
    choice: float = 0.0
    # How long a stop lasts.
    seconds: float = 0.0
    # Of the clients whose connections are dropped.
    share: float = 0.0

    @property
    def sort(self) -> tuple[str, str]:
        return self.kind, self.component

    def __str__(self) -> str:
        detail = f" for {self.seconds:.0f} s" if self.kind == "stop" else f" of {self.share * 100:.0f} %" if self.kind == "drop" else ""
        return f"{self.kind} {self.component}{detail}"


def sorts(counts: dict[str, int], scalable: tuple[str, ...] = SCALABLE) -> list[tuple[str, str]]:
    """Every kind of fault with every kind of process that it can happen to."""
    there = [component for component in COMPONENTS if component == "postgresql" or counts.get(component)]
    found = [(kind, component) for component in there for kind in ("kill", "stop", "restart")]
    found += [("scale", component) for component in scalable if component in counts]
    return found + [("drop", "clients")]


def plan(seed: int, number: int, all_sorts: list[tuple[str, str]], longest_stop: float = LONGEST_STOP) -> list[Fault]:
    """So many faults: all sorts in random order, again and again."""
    generator = random.Random(seed)
    faults: list[Fault] = []
    while len(faults) < number:
        order = list(all_sorts)
        generator.shuffle(order)
        faults += [make(generator, *sort, longest_stop) for sort in order]
    return faults[:number]


def make(generator: random.Random, kind: str, component: str, longest_stop: float) -> Fault:
    # Always the same numbers of the generator, so that a fault less changes nothing else.
    choice, length, share = generator.random(), generator.random(), generator.random()
    seconds = SHORTEST_STOP + length * (longest_stop - SHORTEST_STOP) if kind == "stop" else 0.0
    return Fault(kind, component, choice, round(seconds, 1), round(0.05 + share * 0.45, 2) if kind == "drop" else 0.0)


def pairs(faults: list[Fault]) -> list[list[Fault]]:
    """Two at a time, each on another kind of process, as far as they go."""
    left, found = list(faults), []
    while left:
        first = left.pop(0)
        second = next((fault for fault in left if fault.component != first.component), None)
        if second is None:
            break
        left.remove(second)
        found.append([first, second])
    return found


class Stop:
    """Processes that stand still for a time."""

    def __init__(self, pids: list[int], seconds: float, edges: Edges | None):
        self.pids, self.edges = pids, edges
        self.since = self.until = time.monotonic()
        # The first one first, so that it starts no further ones.
        self.send(signal.SIGSTOP)
        self.timer = threading.Timer(seconds, self.wake)
        self.timer.daemon = True
        self.timer.start()

    def wake(self) -> None:
        self.send(signal.SIGCONT)
        self.until = time.monotonic()
        if self.edges and self.pids:
            self.edges.stood_still(self.pids[0], self.since, self.until)

    def send(self, number: int) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


class Injector:
    """Does the faults; each tells what it was done to, and when it began to be over. A stop goes on until `wait`."""

    def __init__(self, suite: PrivateSuite, load: LoadProcess, edges: Edges):
        self.suite, self.load, self.edges = suite, load, edges
        self.base = dict(suite.counts)
        self.stops: list[Stop] = []

    def inject(self, fault: Fault) -> dict:
        self.edges.look()
        return getattr(self, fault.kind)(fault)

    def wait(self) -> float:
        """Until all stops are over; when the last one was."""
        for stop in self.stops:
            stop.timer.join()
        over = [stop.until for stop in self.stops]
        self.stops = []
        return max(over, default=0.0)

    def wake(self) -> None:
        """After an interruption: nobody else would."""
        with signals.held():
            for stop in self.stops:
                stop.timer.cancel()
                stop.wake()

    def instance(self, fault: Fault) -> str:
        names = self.suite.instances(fault.component)
        return names[int(fault.choice * len(names))]

    def kill(self, fault: Fault) -> dict:
        """Of PostgreSQL only the first process: the others follow it."""
        name = self.instance(fault)
        pid = pid_of(self.suite, name)
        if fault.component == "c2s":
            self.edges.ended(pid)
        os.kill(pid, signal.SIGKILL)
        return {"instance": name, "pids": [pid], "overAt": time.monotonic()}

    def stop(self, fault: Fault) -> dict:
        name = self.instance(fault)
        with signals.held():
            stop = Stop(self.suite.family(name), fault.seconds, self.edges if fault.component == "c2s" else None)
            self.stops.append(stop)
        return {"instance": name, "pids": stop.pids, "overAt": stop.since}

    def restart(self, fault: Fault) -> dict:
        name = self.instance(fault)
        pid = pid_of(self.suite, name)
        if fault.component == "c2s":
            self.edges.ended(pid)
        began = time.monotonic()
        self.suite.restart(name)
        return {"instance": name, "pids": [pid], "overAt": began}

    def scale(self, fault: Fault) -> dict:
        """One more, and the next time back; the last instance goes."""
        component = fault.component
        now, base = self.suite.counts[component], self.base[component]
        wanted = base + 1 if now == base else base
        gone = [pid_of(self.suite, name) for name in self.suite.instances(component)[wanted:]]
        if component == "c2s":
            for pid in gone:
                self.edges.ended(pid)
        began = time.monotonic()
        self.suite.scale(component, wanted)
        return {"instance": f"{now} to {wanted}", "pids": gone, "overAt": began}

    def drop(self, fault: Fault) -> dict:
        began = time.monotonic()
        dropped = self.load.ask(f"drop {max(1, int(fault.share * self.load.clients))}")["dropped"]
        return {"instance": f"{dropped} clients", "pids": [], "overAt": began}
