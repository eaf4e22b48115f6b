# SPDX-License-Identifier: Apache-2.0
"""A run: one fault after the other, each with its recovery; after some of them rest, and a verdict."""

import collections
import datetime
import json
import sys
import time
import typing

from edges import Edges
from fault_table import leaves_nobody_who_knows
from faults import Fault, Injector
from load_process import LoadProcess
from private_suite import PrivateSuite
from processes import Refusal

# How long the suite and the clients may take to recover, and a round to come to rest.
RECOVERY_SECONDS, REST_SECONDS = 120.0, 120
# What is under way longer than this is not served yet.
RECOVERED_MILLISECONDS = 1000
# Between a recovery and the next fault: figures of a suite that nothing disturbs.
CALM_SECONDS = 3.0


def say(*words) -> None:
    print(*words, file=sys.stderr, flush=True)


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


class Campaign:
    def __init__(self, suite: PrivateSuite, load: LoadProcess, edges: Edges, output: typing.TextIO | None):
        self.suite, self.load, self.edges, self.output = suite, load, edges, output
        self.injector = Injector(suite, load, edges)
        # Connections that broke against the clients' will in this round; filled by the load's thread.
        self.disconnects: collections.deque[dict] = collections.deque()
        self.results: list[dict] = []
        self.number = 0

    def heard(self, disconnect: dict) -> None:
        # At once: the port may soon be another connection's.
        pid = None if disconnect.get("isRemote") else self.edges.pid_of(disconnect.get("port"))
        self.disconnects.append(disconnect | {"pid": pid})

    def begin(self) -> None:
        self.until_recovered("the clients log in")
        # What the start was like is none of the rounds'.
        self.load.ask("report")
        self.disconnects.clear()
        self.load.ask("go")
        time.sleep(CALM_SECONDS)

    def run(self, series: list[list[Fault]], round_length: int) -> list[dict]:
        """Each element of the series at once; returns the rounds."""
        rounds = []
        for start in range(0, len(series), round_length):
            faults = [self.strike(together) for together in series[start:start + round_length]]
            rounds.append(self.end_round(faults))
        return rounds

    # A fault

    def strike(self, together: list[Fault]) -> dict:
        self.number += 1
        before = self.load.ask("fault")
        result = {
            "type": "fault", "number": self.number, "at": now(), "inFlight": before["inFlight"],
            "faults": [{"kind": fault.kind, "component": fault.component, "seconds": fault.seconds} for fault in together],
        }
        over_at = self.inject_all(together, result)
        try:
            self.until_recovered("recovery")
            result["recoverySeconds"] = round(time.monotonic() - over_at, 2)
        except Refusal as refusal:
            result["failure"] = str(refusal)
        after = self.load.ask("calm")
        result["errors"] = after["errors"] - before["errors"]
        result["violationsSeen"] = after["violations"] - before["violations"]
        self.keep(result)
        say(f"{self.number}: {describe(result)}")
        time.sleep(CALM_SECONDS)
        return result

    def inject_all(self, together: list[Fault], result: dict) -> float:
        """When the last of them was over. A stop begins first: what else happens, happens during it."""
        over = []
        for fault, told in sorted(zip(together, result["faults"]), key=lambda pair: pair[0].kind != "stop"):
            try:
                done = self.injector.inject(fault)
                over.append(done["overAt"])
                told |= {"instance": done["instance"], "pids": done["pids"]}
            except Refusal as refusal:
                told["failure"] = str(refusal)
        return max([*over, self.injector.wait()])

    def until_recovered(self, what: str) -> None:
        """Everything is ready, and every client is where it wants to be and is served."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        while True:
            unready = self.suite.unready()
            counts = self.load.status()
            missing = self.load.clients - counts["online"] - counts["away"]
            if not unready and missing == 0 and counts["oldestMilliseconds"] < RECOVERED_MILLISECONDS:
                return
            if time.monotonic() > deadline:
                raise Refusal(
                    f"{what}: not within {RECOVERY_SECONDS:.0f} s; not ready: {', '.join(unready) or 'none'}; clients not "
                    f"connected: {missing}; oldest message under way: {counts['oldestMilliseconds'] / 1000:.1f} s"
                )
            time.sleep(0.1)

    # A round

    def end_round(self, faults: list[dict]) -> dict:
        rest = self.load.ask(f"pause {REST_SECONDS}", seconds=REST_SECONDS + 30)
        report = self.load.ask("report", seconds=60)
        report.pop("answer", None)
        violations = collections.Counter(report["violations"])
        if any(map(leaves_nobody_who_knows, faults)):
            report["refusedResumptions"] = violations.pop("failedResumption", 0)
        dropped = [judged for judged in map(self.edges.judge, list(self.disconnects)) if judged]
        self.disconnects.clear()
        violations["droppedByLivingC2S"] = len(dropped)
        violations["notRecovered"] = sum("failure" in fault or any("failure" in f for f in fault["faults"]) for fault in faults)
        result = {
            "type": "round", "at": now(), "faults": [fault["number"] for fault in faults], "rested": bool(rest["rested"]),
            "report": report, "dropped": dropped[:10], "violations": {k: v for k, v in violations.items() if v},
        }
        self.keep(result)
        say(describe_round(result))
        self.load.ask("go")
        return result

    def keep(self, result: dict) -> None:
        self.results.append(result)
        if self.output:
            self.output.write(json.dumps(result, sort_keys=True) + "\n")
            self.output.flush()


def describe(result: dict) -> str:
    words = []
    for fault in result["faults"]:
        seconds = f" for {fault['seconds']:.0f} s" if fault["seconds"] else ""
        words.append(f"{fault['kind']} {fault['component']} ({fault.get('instance', 'not done')}){seconds}")
    recovery = result.get("recoverySeconds")
    told = f"recovered in {recovery:.1f} s" if recovery is not None else f"NOT RECOVERED: {result['failure']}"
    more = "".join(f"; {fault['failure']}" for fault in result["faults"] if "failure" in fault)
    return f"{' and '.join(words)}: {told}, {result['inFlight']} in flight, {result['errors']} errors{more}"


def describe_round(result: dict) -> str:
    report = result["report"]
    late = report["acknowledgedLate"] / report["measured"] * 100 if report["measured"] else 0
    text = (
        f"   round: {report['sent']} sent, {report['acknowledged']} acknowledged, {sum(report['errors'].values())} errors, "
        f"{report['received']} received; {report['resumptions']} resumptions, {report['logins']} logins; {late:.2f} % of "
        f"{report['measured']} later than 1 s"
    )
    if result["violations"]:
        text += "; VIOLATIONS: " + ", ".join(f"{number} {name}" for name, number in sorted(result["violations"].items()))
    return text
