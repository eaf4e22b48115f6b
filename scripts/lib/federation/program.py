# SPDX-License-Identifier: Apache-2.0
"""What a run does, part after part."""

import argparse
import asyncio
import datetime
import json
import pathlib
import subprocess
import sys

import breakages
import crowd_of_domains
import diagnoses
import renewals
import matrix
import negatives
import stub_stage
import verdicts
import ways
from breakages import BREAKAGES
from cells import OURS, SECOND, Cell, cells_between, cells_with
from peers import PEERS
from processes import Refusal, version_of_package
from runner import machine
from troupe import Troupe
from wire import Wire

HERE = pathlib.Path(__file__).resolve().parent
ROOT, CANNOT = HERE.parents[2], HERE / "cannot.md"
ALL_PEERS = "prosody,ejabberd,jabberd2,other"
QUICK_PEERS = ["prosody", "other"]
# Who proves the stage, without any server of ours.
PROOF = [("prosody", "ejabberd"), ("ejabberd", "prosody"), ("prosody", "jabberd2"), ("jabberd2", "ejabberd")]

# What waits for a peer that is away for a minute, at 1,000 stanzas a second.
LOAD_LIMITS = "    queue_bytes: 128MiB\n    queue_bytes_total: 256MiB"


def say(*words) -> None:
    print(*words, file=sys.stderr, flush=True)


class Report:
    """Lines of JSON for a file, and what is wrong."""

    def __init__(self, path: pathlib.Path | None):
        self.path = path
        self.wrong: list[str] = []

    def begin(self) -> None:
        """What all that follows was seen with."""
        described = subprocess.run(
            ["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=10"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            encoding="utf-8", check=False,
        )
        packages = {name: version_of_package(name) for name in (*PEERS, "unbound")}
        self.keep({"type": "run", "version": described.stdout.strip() or "unknown", "machine": machine(), "packages": packages})

    def keep(self, result: dict) -> None:
        if self.path:
            now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            with open(self.path, "a", encoding="utf-8") as output:
                output.write(json.dumps({"at": now} | result, sort_keys=True) + "\n")


def ignore_slixmpp(loop: asyncio.AbstractEventLoop, context: dict) -> None:
    """Its queue's task outlives a connection that is cut, and is swept up with it."""
    if "run_filters" not in repr(context.get("task")):
        loop.default_exception_handler(context)


async def run(options: argparse.Namespace) -> int:
    asyncio.get_running_loop().set_exception_handler(ignore_slixmpp)
    parts = options.only.split(",")
    report = Report(options.output)
    report.begin()
    troupe = Troupe(options.binaries.resolve())
    try:
        await play(options, parts, troupe, report)
    except BaseException:
        report.wrong.append("it was not played to its end")
        raise
    finally:
        await asyncio.to_thread(troupe.end, options.keep or bool(report.wrong))
    for line in report.wrong:
        print(f"WRONG {line}")
    print("federation: everything is as it should be" if not report.wrong else f"federation: {len(report.wrong)} wrong")
    return 1 if report.wrong else 0


async def break_links(options: argparse.Namespace, troupe: Troupe, report: Report) -> None:
    """Faults under load, each with what it does to every message."""
    peer = options.peers.split(",")[0] if options.peers != ALL_PEERS else SECOND
    possible = [name for name in BREAKAGES if peer == SECOND or name not in breakages.OF_A_SUITE]
    names = possible if options.load == "all" else options.load.split(",")
    unknown = [name for name in names if name not in possible]
    if unknown:
        raise Refusal(f"there is no fault {unknown[0]} with {peer}; there are {', '.join(possible)}")
    await raise_curtain(troupe, [peer, options.near], {}, level="info", limits=LOAD_LIMITS)
    for name in names:
        result = await breakages.run(troupe, BREAKAGES[name], options.near, peer, options.rate)
        print(breakages.described(result), flush=True)
        report.keep(result)
        report.wrong += [f"{name}: {wrong}" for wrong in result["wrong"]]


async def open_many(options: argparse.Namespace, troupe: Troupe, report: Report) -> None:
    crowd_of_domains.announce(troupe, options.many)
    await raise_curtain(troupe, [OURS], {}, level="info")
    result = await crowd_of_domains.run(troupe, options.many)
    print(crowd_of_domains.described(result), flush=True)
    report.keep(result)


async def play(options: argparse.Namespace, parts: list[str], troupe: Troupe, report: Report) -> None:
    troupe.prepare()
    if options.load:
        await break_links(options, troupe, report)
        return
    if options.many:
        await open_many(options, troupe, report)
        return
    peers = QUICK_PEERS if options.quick else [name for name in options.peers.split(",") if name]
    foreign = [name for name in peers if name in PEERS]
    names = foreign + ([OURS, SECOND] if {"matrix", "negative"} & set(parts) else [])
    policies = {OURS: stub_stage.policy(), SECOND: stub_stage.second_policy()}
    await raise_curtain(troupe, names, policies)
    wire = Wire()
    for name in options.probe.split(",") if options.probe else []:
        print(f"== {name}", troupe.servers[OURS].call("jackdawctl", "s2s", "test", name, check=False).stdout, sep="\n", flush=True)
    if "stage" in parts and not options.quick:
        proof = [cell for pair in PROOF if set(pair) <= set(foreign) for cell in cells_between(*pair)]
        await show(troupe, wire, proof, report)
    if "matrix" in parts:
        await show(troupe, wire, [cell for name in peers for cell in cells_with(name)], report)
    if "rehearsal" in parts:
        # For who works on the stub: other servers have other policies, so most cases come out otherwise.
        print(stub_stage.table(await stub_stage.run(troupe, ways.CASES + negatives.CASES, "prosody")), flush=True)
    if "negative" in parts:
        outcomes = await stub_stage.run(troupe, ways.CASES + negatives.CASES + diagnoses.CASES + renewals.CASES)
        print(stub_stage.table(outcomes), flush=True)
        for outcome in outcomes:
            report.keep(outcome.result())
        report.wrong += [f"{outcome.name}: {outcome.said}" for outcome in outcomes if not outcome.is_met]


async def raise_curtain(troupe: Troupe, names: list[str], policies: dict[str, str], **options) -> None:
    """Names first, then the servers; `options` are those of ours."""
    for name in names:
        troupe.engage(name, **({} if name in PEERS else {"policy": policies.get(name, "")} | options))
    await asyncio.to_thread(stub_stage.prepare, troupe)
    await asyncio.to_thread(troupe.names.start, troupe.zones)
    for name in names:
        say(f"{name} starts")
        await troupe.start(name)


async def show(troupe: Troupe, wire: Wire, cells: list[Cell], report: Report) -> None:
    cannot = verdicts.read_list(CANNOT)
    judgements = await matrix.run(troupe, wire, cells)
    print(verdicts.table(judgements, cannot), flush=True)
    for judgement in judgements:
        report.keep(judgement.result())
    report.wrong += verdicts.unexpected(judgements, cannot)
