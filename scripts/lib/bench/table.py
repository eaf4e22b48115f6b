# SPDX-License-Identifier: Apache-2.0
"""The table of docs/benchmarks.md, made from the reports of all rounds: medians, and how Jackdaw stands to the best peer."""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Callable

from runner import is_faultless, server_cpu, server_memory

OURS = "jackdaw"
BEGIN, END = "<!-- made by scripts/bench --table: begin -->", "<!-- made by scripts/bench --table: end -->"
SHOWN = {"jackdaw": "Jackdaw", "ejabberd": "ejabberd", "prosody": "Prosody", "jabberd2": "jabberd2"}


@dataclasses.dataclass(frozen=True)
class Goal:
    """What the figure should be, as a ratio to the best peer's, at a distance from it, or at most."""

    ratio: float | None = None
    beyond: float | None = None
    at_most: float | None = None

    def text(self, measure: "Measure") -> str:
        if self.ratio is not None:
            return f"{'≥' if measure.more_is_better else '≤'} {self.ratio:.2f}"
        if self.beyond is not None:
            return f"≤ best + {self.beyond:g} {measure.unit}"
        return f"≤ {self.at_most:g} {measure.unit}"

    def is_met(self, measure: "Measure", ours: float, best: float | None) -> bool | None:
        if self.at_most is not None:
            return ours <= self.at_most
        if best is None:
            return None
        if self.beyond is not None:
            return ours <= best + self.beyond
        return ours / best >= self.ratio if measure.more_is_better else ours / best <= self.ratio


@dataclasses.dataclass(frozen=True)
class Measure:
    title: str
    unit: str
    # The figure of a report.
    of: Callable[[dict], float | None]
    goal: Goal | None = None
    more_is_better: bool = False

    def best(self, figures: list[float]) -> float | None:
        return (max if self.more_is_better else min)(figures) if figures else None

    def shown(self, figure: float) -> str:
        return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"


def rate(unit: str, goal: float | None = None) -> Measure:
    return Measure(f"{unit}/s", "", lambda report: report.get("unitsPerSecond"), goal and Goal(ratio=goal), True)


def cpu(unit: str, with_database: bool, goal: float | None = None) -> Measure:
    title = f"CPU per {unit}" + (" with PostgreSQL" if with_database else "")
    return Measure(f"{title}, µs", "µs", lambda report: server_cpu(report, with_database) or None, goal and Goal(ratio=goal))


def latency(name: str, goal: Goal | None = None) -> Measure:
    return Measure(f"{name}, ms", "ms", lambda report: (report.get("latency") or {}).get(name), goal)


def drained(report: dict) -> float | None:
    return (report.get("drain") or {}).get("messagesPerSecond")


def login() -> list[Measure]:
    return [rate("logins", 1.5), cpu("login", True, 1 / 3), cpu("login", False)]


def idle() -> list[Measure]:
    return [Measure(
        "memory per session (PSS), kB", "kB", lambda report: server_memory(report) / 1000 or None, Goal(at_most=24)
    )]


# By load, in the order of the table.
MEASURES = {
    "chat": [rate("messages", 1.8), cpu("message", False, 1 / 3), latency("p50"), latency("p99")],
    "rate-1000": [latency("p50", Goal(beyond=0.15)), latency("p99", Goal(ratio=1)), cpu("message", False)],
    "rate-5000": [latency("p50", Goal(ratio=1)), latency("p99", Goal(ratio=1)), cpu("message", False, 1)],
    "login-sha1": login(),
    "login-sha256": login(),
    "idle-2000": idle(),
    "idle-10000": idle(),
    "presence": [rate("deliveries", 2), cpu("delivery", False, 1 / 3)],
    "offline": [
        Measure("stored/s", "", lambda report: report.get("unitsPerSecond"), Goal(ratio=3), True),
        Measure("drained/s", "", drained, Goal(ratio=2), True),
        cpu("stored message", True),
    ],
}


def median(results: list[dict], load: str, server: str, measure: Measure) -> float | None:
    """The median of the rounds that count."""
    figures = [
        measure.of(result["report"]) for result in results
        if result["load"] == load and result["server"] == server and is_faultless(result)
    ]
    known = [figure for figure in figures if figure is not None]
    return statistics.median(known) if known else None


def standing(measure: Measure, ours: float | None, best: float | None) -> tuple[str, str]:
    """How our figure stands to the best peer's, and to the goal."""
    ratio = f"{ours / best:.2f}" if ours is not None and best else "–"
    if measure.goal is None or ours is None:
        return ratio, ""
    met = measure.goal.is_met(measure, ours, best)
    return ratio, measure.goal.text(measure) + {True: ": met", False: ": **not met**", None: ""}[met]


def row(results: list[dict], load: str, servers: list[str], measure: Measure, title: str) -> str:
    figures = {server: median(results, load, server, measure) for server in servers}
    best = measure.best([figure for server, figure in figures.items() if server != OURS and figure is not None])
    cells = ["–" if figures[server] is None else measure.shown(figures[server]) for server in servers]
    return "| " + " | ".join([title, measure.title, *cells, *standing(measure, figures.get(OURS), best)]) + " |"


def table(results: list[dict]) -> str:
    servers = [server for server in SHOWN if any(result["server"] == server for result in results)]
    heads = ["load", "figure", *(SHOWN[server] for server in servers), "to the best peer", "goal"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for load, measures in MEASURES.items():
        runs = [result for result in results if result["load"] == load]
        if runs:
            titles = [runs[0]["title"]] + [""] * (len(measures) - 1)
            lines += [row(results, load, servers, measure, title) for measure, title in zip(measures, titles)]
    return "\n".join(lines)


def remarks(results: list[dict], source: str) -> str:
    """What was measured, where, and what does not count."""
    rounds = max(result["round"] for result in results)
    machine = results[-1]["machine"]
    versions = {SHOWN[result["server"]]: result["version"] for result in results}
    dates = sorted(result["date"][:10] for result in results)
    lines = [
        f"{dates[0]}; {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; PostgreSQL "
        f"{results[-1]['postgresql']}; " + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        + f". Medians of {rounds} rounds; the reports are in `{source}`.",
    ]
    out = [result for result in results if not is_faultless(result)]
    if out:
        lines += ["", "Runs that do not count:", ""]
        lines += [
            f"- {result['load']}, {SHOWN[result['server']]}, round {result['round']}: {why_not(result)}" for result in out
        ]
    return "\n".join(lines)


def why_not(result: dict) -> str:
    if "failure" in result:
        return result["failure"].splitlines()[0]
    keys = ("lost", "doubled", "reordered", "errors", "broken")
    return ", ".join(f"{result['report'][key]} {key}" for key in keys if result["report"].get(key))


def read(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def renew(document: pathlib.Path, results: list[dict], source: str) -> None:
    """Puts the table between the markers of a document."""
    before, rest = document.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    text = f"{before}{BEGIN}\n\n{remarks(results, source)}\n\n{table(results)}\n\n{END}{after}"
    document.write_text(text, encoding="utf-8")
