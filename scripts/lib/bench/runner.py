# SPDX-License-Identifier: Apache-2.0
"""Runs loads on servers in turn, one server at a time, and keeps the report of each run."""

import datetime
import json
import os
import pathlib
import platform
import resource
import shlex
import subprocess
import sys
import typing

from loads import Load
from postgresql import PostgreSQL
from processes import Refusal, busy_seconds, complete, cpu_seconds, identity
from servers import DOMAIN, DOMAIN_SHA1, PORT, Server

PASSWORD = "load-password"


def say(*words) -> None:
    print(*words, file=sys.stderr, flush=True)


def machine() -> dict:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


class Runner:
    def __init__(self, generator: pathlib.Path, database: PostgreSQL, servers: list[Server]):
        self.generator = generator
        self.database = database
        self.servers = servers
        self.results: list[dict] = []
        # Why a server has no accounts, by its name: its runs fail, those of the others are made.
        self.unprepared: dict[str, str] = {}

    def prepare(self, loads: list[Load]) -> None:
        """Accounts and subscriptions, by the servers' own protocol."""
        for server in self.servers:
            try:
                server.set_up()
                server.start()
                for domain in (DOMAIN, DOMAIN_SHA1):
                    wanted = [load for load in loads if server.domain(load.domain) == domain]
                    if wanted:
                        self.prepare_domain(server, domain, wanted)
            except Refusal as refusal:
                say(f"{server.name}: {refusal}")
                self.unprepared[server.name] = f"not prepared: {refusal}"
            finally:
                server.stop()

    def prepare_domain(self, server: Server, domain: str, loads: list[Load]) -> None:
        accounts = max(load.accounts for load in loads)
        clients, contacts = max(load.contacts for load in loads)
        arguments = ["prepare", "--clients", accounts]
        if contacts:
            arguments += ["--contact-clients", clients, "--contacts", contacts]
        say(f"{server.name}: {accounts} accounts at {domain}" + (f", {contacts} contacts of {clients}" * bool(contacts)))
        # ejabberd refuses a login now and then right after the registration; what is there already is not made again.
        for left in (2, 1, 0):
            try:
                self.generate(server, domain, loads[0].mechanism, arguments)
                return
            except Refusal as refusal:
                if left == 0:
                    raise
                say(f"{server.name}: once more: {refusal}")

    def run(self, loads: list[Load], rounds: int, output: typing.TextIO | None) -> list[dict]:
        for number in range(1, rounds + 1):
            for load in loads:
                for server in self.servers:
                    result = self.measure(server, load) | {"round": number}
                    self.results.append(result)
                    if output:
                        output.write(json.dumps(result, sort_keys=True) + "\n")
                        output.flush()
                    say(f"round {number}, {load.name}, {server.name}: {brief(result)}")
        return self.results

    def measure(self, server: Server, load: Load) -> dict:
        """One run of one load on a server that was started for it."""
        result = {
            "load": load.name, "title": load.title, "server": server.name, "version": server.version(),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "loadAverageBefore": os.getloadavg()[0], "machine": machine(), "postgresql": self.database.version,
        }
        if server.name in self.unprepared:
            return result | {"failure": self.unprepared[server.name]}
        try:
            server.start()
            result["secondsToStart"] = round(server.seconds_to_start, 3)
            before = self.foreign_seconds(server)
            result["report"] = self.generate(server, server.domain(load.domain), load.mechanism, self.arguments(server, load))
            result["foreignCPUSeconds"] = round(self.foreign_seconds(server) - before, 2)
        except Refusal as refusal:
            result["failure"] = str(refusal)
        finally:
            server.stop()
        return result

    def foreign_seconds(self, server: Server) -> float:
        """CPU time of everything but the server, the database and the generator: what disturbs."""
        ours = cpu_seconds([process.pid for process in server.processes] + [self.database.process.pid])
        generator = resource.getrusage(resource.RUSAGE_CHILDREN)
        return busy_seconds() - ours - generator.ru_utime - generator.ru_stime

    def arguments(self, server: Server, load: Load) -> list:
        arguments = list(load.arguments)
        for process in server.processes:
            arguments += ["--process", f"{process.name}={process.pid}"]
        arguments += ["--process", f"postgresql={self.database.process.pid}"]
        if load.counts_stored:
            # psql counts again and again, on one connection.
            sql = shlex.quote(f"{server.stored_messages} \\watch 0.05")
            psql = shlex.join(str(word) for word in self.database.psql(server.name))
            arguments += ["--stored-command", f"printf '%s\\n' {sql} | {psql}"]
        return arguments

    def generate(self, server: Server, domain: str, mechanism: str, arguments: list) -> dict:
        """Runs jackdaw-load and returns its report."""
        mode, rest = arguments[0], arguments[1:]
        command = [
            self.generator, mode, "--host", server.address, "--port", PORT, "--domain", domain, "--password", PASSWORD,
            "--mechanism", mechanism, *server.peculiarities, *rest,
        ]
        try:
            result = complete(
                command, seconds=1800, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                encoding="utf-8", cwd="/", env={"PATH": "/usr/bin:/bin"}, **identity(),
            )
        except subprocess.TimeoutExpired as expired:
            raise Refusal(f"jackdaw-load {mode} took more than {expired.timeout:.0f} s") from expired
        if result.stderr.strip():
            say(result.stderr.strip()[-1000:])
        if result.returncode != 0:
            raise Refusal(f"jackdaw-load ended with {result.returncode}: {result.stderr.strip()[-500:]}")
        try:
            return json.loads(result.stdout)
        except ValueError as error:
            raise Refusal(f"jackdaw-load {mode} made no report: {result.stdout[-500:]!r}") from error


def is_faultless(result: dict) -> bool:
    """A run that lost, doubled or reordered something, or broke a connection, does not count."""
    report = result.get("report")
    return report is not None and not any(
        report.get(key) for key in ("lost", "doubled", "reordered", "errors", "broken")
    )


def server_cpu(report: dict, with_database: bool) -> float:
    """Microseconds of CPU per unit, user and system, of all processes of the server."""
    return sum(
        figures.get("cpuMicrosecondsPerUnit") or 0
        for name, figures in report["processes"].items() if with_database or name != "postgresql"
    )


def server_memory(report: dict) -> float:
    """Bytes for each session, PSS, without the database."""
    return sum(
        figures.get("memoryPerSession") or 0 for name, figures in report["processes"].items() if name != "postgresql"
    )


def brief(result: dict) -> str:
    if "failure" in result:
        return f"FAILED: {result['failure'].splitlines()[0]}"
    report = result["report"]
    unit = report["unit"]
    units = "deliveries" if unit == "delivery" else f"{unit}s"
    words = []
    if report.get("unitsPerSecond"):
        words.append(f"{report['unitsPerSecond']:,.0f} {units}/s")
    words.append(f"{server_cpu(report, False):.1f} us of CPU per {unit} ({server_cpu(report, True):.1f} with PostgreSQL)")
    if report["mode"] == "idle":
        words = [f"{server_memory(report) / 1000:.1f} kB per session"]
    if report.get("latency"):
        words.append(f"p50 {report['latency']['p50']:.2f} ms, p99 {report['latency']['p99']:.2f} ms")
    if report.get("drain"):
        words.append(f"drained {report['drain']['messagesPerSecond']:,.0f}/s")
    if report.get("generatorCPUMicrosecondsPerUnit"):
        words.append(f"generator {report['generatorCPUMicrosecondsPerUnit']:.1f} us")
    if result.get("foreignCPUSeconds", 0) > 1:
        words.append(f"{result['foreignCPUSeconds']:.1f} s of CPU went elsewhere")
    if not is_faultless(result):
        faults = ", ".join(f"{report[key]} {key}" for key in ("lost", "doubled", "reordered", "errors", "broken") if report.get(key))
        words.append(f"DOES NOT COUNT: {faults}")
    return "; ".join(words)
