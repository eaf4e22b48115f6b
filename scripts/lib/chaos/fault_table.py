# SPDX-License-Identifier: Apache-2.0
"""The table of docs/reliability.md, and the list of broken promises, from the results of runs."""

import collections
import json
import pathlib
import statistics

from faults import MEANINGS
from private_suite import COMPONENTS
from processes import Refusal

BEGIN, END = "<!-- made by scripts/chaos --table: begin -->", "<!-- made by scripts/chaos --table: end -->"
NAMES = {"postgresql": "PostgreSQL", "router": "router", "sm": "SM", "c2s": "C2S", "s2s": "S2S", "clients": "clients"}
ORDER = [*COMPONENTS, "clients"]
# Of all messages.
MOST_ERRORS = 0.001
# Of the messages outside faults that are acknowledged within a second.
LEAST_IN_TIME = 0.99


def of_type(results: list[dict], name: str) -> list[dict]:
    return [result for result in results if result["type"] == name]


def leaves_nobody_who_knows(fault: dict) -> bool:
    """Whether a session may be lost with all who know what its client was told: its owner together with its C2S, or
    with the table of the sessions that no C2S has, which a crash of PostgreSQL empties."""
    gone = {one["component"] for one in fault["faults"] if one["kind"] in ("kill", "stop", "restart")}
    return "sm" in gone and bool(gone & {"c2s", "postgresql"})


def violations(results: list[dict], judges_time: bool = True) -> list[str]:
    """What was broken, with examples; empty for a faultless run."""
    lines = []
    for result in of_type(results, "round"):
        numbers = ", ".join(str(number) for number in result["faults"])
        lines += [
            f"after fault {numbers}: {number} {name}" for name, number in sorted(result["violations"].items())
            if judges_time or name != "failedResumption"
        ]
        if lines:
            lines += [f"  {json.dumps(example, sort_keys=True)}" for example in result["report"]["samples"] + result["dropped"]]
    totals = total(results)
    if totals["errors"] > totals["sent"] * MOST_ERRORS:
        lines.append(f"{totals['errors']} errors of {totals['sent']} messages are more than {MOST_ERRORS * 100:g} %")
    if judges_time and totals["late"] > totals["measured"] * (1 - LEAST_IN_TIME):
        lines.append(f"{totals['late']} of {totals['measured']} messages outside faults were not acknowledged within a second")
    return lines


def total(results: list[dict]) -> dict[str, int]:
    reports = [result["report"] for result in of_type(results, "round")]
    return {
        "sent": sum(report["sent"] for report in reports),
        "acknowledged": sum(report["acknowledged"] for report in reports),
        "received": sum(report["received"] for report in reports),
        "errors": sum(sum(report["errors"].values()) for report in reports),
        "measured": sum(report["measured"] for report in reports),
        "late": sum(report["acknowledgedLate"] for report in reports),
        "resumptions": sum(report["resumptions"] for report in reports),
        "repeatedBySender": sum(report["repeatedBySender"] for report in reports),
    }


def sort_of(fault: dict) -> tuple[str, str]:
    """Kind and process, of two at once both."""
    both = sorted(fault["faults"], key=lambda one: ORDER.index(one["component"]))
    return " + ".join(one["kind"] for one in both), " + ".join(one["component"] for one in both)


def shown(sort: tuple[str, str]) -> tuple[str, str]:
    kinds = " + ".join(MEANINGS[kind] for kind in sort[0].split(" + "))
    return kinds, " + ".join(NAMES[name] for name in sort[1].split(" + "))


def table(results: list[dict]) -> str:
    broken: dict[int, int] = {}
    for result in of_type(results, "round"):
        for number in result["faults"]:
            broken[number] = sum(result["violations"].values())
    rows: dict[tuple[str, str], list[dict]] = collections.defaultdict(list)
    for fault in of_type(results, "fault"):
        rows[sort_of(fault)].append(fault)
    lines = [
        "| fault | of | times | recovered in, median (longest), s | messages in flight, median | errors | violations |",
        "|" + " --- |" * 7,
    ]
    for sort in sorted(rows, key=lambda sort: ([ORDER.index(name) for name in sort[1].split(" + ")], sort[0])):
        faults = rows[sort]
        times = [fault["recoverySeconds"] for fault in faults if "recoverySeconds" in fault]
        recovery = f"{statistics.median(times):.1f} ({max(times):.1f})" if times else "never"
        lines.append("| " + " | ".join([
            *shown(sort), str(len(faults)), recovery, f"{statistics.median(fault['inFlight'] for fault in faults):.0f}",
            str(sum(fault["errors"] for fault in faults)), str(sum(broken.get(fault["number"], 0) for fault in faults)),
        ]) + " |")
    return "\n".join(lines)


def summary(results: list[dict], source: str) -> str:
    run, totals = of_type(results, "run")[0], total(results)
    counts = run["counts"]
    in_time = 100 * (1 - totals["late"] / totals["measured"]) if totals["measured"] else 0
    how = "two at once" if run["pairs"] else "one at a time"
    return (
        f"{run['date'][:10]}, version {run['version']}, {run['cores']} cores, seed {run['seed']}: {len(of_type(results, 'fault'))} times a fault, {how}; "
        f"{counts['router']} router, {counts['c2s']} C2S, {counts['sm']} SM, {counts.get('s2s', 0)} S2S, 1 PostgreSQL; {run['clients']} clients, "
        f"{run['rate']:,.0f} messages/s. {totals['sent']:,} messages were sent, {totals['acknowledged']:,} acknowledged, "
        f"{totals['received']:,} received, {totals['errors']:,} answered with an error; {in_time:.2f} % of those outside faults "
        f"were acknowledged within 1 s. Violations: {sum(sum(r['violations'].values()) for r in of_type(results, 'round'))}. "
        f"The results are in `{source}`."
    )


def read(path: pathlib.Path) -> list[dict]:
    results = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    if not of_type(results, "run"):
        raise Refusal(f"{path} holds no results of scripts/chaos")
    return results


def renew(document: pathlib.Path, files: list[str]) -> None:
    """Puts the tables between the markers of a document, one for each file."""
    before, rest = document.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    root = document.resolve().parents[1]
    parts = [f"{before}{BEGIN}"]
    for name in files:
        path = pathlib.Path(name).resolve()
        source = path.relative_to(root) if path.is_relative_to(root) else path
        results = read(path)
        parts += [summary(results, str(source)), table(results)]
    document.write_text("\n\n".join([*parts, f"{END}{after}"]), encoding="utf-8")
