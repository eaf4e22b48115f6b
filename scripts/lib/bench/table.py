# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/benchmarks.md, made from the reports of all rounds, as medians.

How Jackdaw stands to the best peer; and, of Jackdaw alone, how its costs grow with the work.
"""

import collections
import dataclasses
import json
import pathlib
import statistics
from collections.abc import Callable

from runner import is_faultless, server_cpu, server_memory

OURS = "jackdaw"
BEGIN, END = "<!-- made by scripts/bench --table: begin -->", "<!-- made by scripts/bench --table: end -->"
# The columns.
SHOWN = {"jackdaw": "Jackdaw", "ejabberd": "ejabberd", "prosody": "Prosody", "jabberd2": "jabberd2"}
# What is us again, and is compared with us only.
VARIANTS = {"jackdaw4": "Jackdaw with 4 C2S"}


@dataclasses.dataclass(frozen=True)
class Goal:
    """What the figure should be, as a ratio to the best peer's, at a distance from it, or at most."""

    ratio: float | None = None
    beyond: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    def text(self, measure: "Measure") -> str:
        if self.ratio is not None:
            return f"{'≥' if measure.more_is_better else '≤'} {self.ratio:.2f}"
        if self.beyond is not None:
            return f"≤ best + {self.beyond:g} {measure.unit}"
        if self.at_least is not None:
            return f"≥ {self.at_least:,.0f}"
        return f"≤ {self.at_most:g} {measure.unit}"

    def is_met(self, measure: "Measure", ours: float, best: float | None) -> bool | None:
        if self.at_most is not None:
            return ours <= self.at_most
        if self.at_least is not None:
            return ours >= self.at_least
        if best is None:
            return None
        if self.beyond is not None:
            return ours <= best + self.beyond
        return ours / best >= self.ratio if measure.more_is_better else ours / best <= self.ratio


@dataclasses.dataclass(frozen=True)
class Measure:
    title: str
    unit: str
    # The figure of a run that has a report.
    of: Callable[[dict], float | None]
    goal: Goal | None = None
    more_is_better: bool = False

    def best(self, figures: list[float]) -> float | None:
        return (max if self.more_is_better else min)(figures) if figures else None

    def shown(self, figure: float) -> str:
        return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"


def rate(unit: str, goal: float | None = None) -> Measure:
    return Measure(f"{unit}/s", "", lambda run: run["report"].get("unitsPerSecond"), goal and Goal(ratio=goal), True)


def cpu(unit: str, with_database: bool, goal: float | None = None) -> Measure:
    title = f"CPU per {unit}" + (" with PostgreSQL" if with_database else "")
    return Measure(
        f"{title}, µs", "µs", lambda run: server_cpu(run["report"], with_database) or None, goal and Goal(ratio=goal)
    )


def latency(name: str, goal: Goal | None = None) -> Measure:
    return Measure(f"{name}, ms", "ms", lambda run: (run["report"].get("latency") or {}).get(name), goal)


def drained(run: dict) -> float | None:
    return (run["report"].get("drain") or {}).get("messagesPerSecond")


def login() -> list[Measure]:
    return [rate("logins", 1.5), cpu("login", True, 1 / 3), cpu("login", False)]


def memory(goal: Goal | None = None) -> Measure:
    return Measure("memory per session (PSS), kB", "kB", lambda run: server_memory(run["report"]) / 1000 or None, goal)


def idle() -> list[Measure]:
    return [memory(Goal(at_most=24))]


def flat() -> list[Measure]:
    return [cpu("message", False), latency("p50"), latency("p99")]


def offline(stored: Goal | None, fetched: Goal | None) -> list[Measure]:
    return [
        Measure("stored/s", "", lambda run: run["report"].get("unitsPerSecond"), stored, True),
        Measure("drained/s", "", drained, fetched, True),
        cpu("stored message", True),
    ]


# By load, in the order of the table.
MEASURES = {
    "chat": [rate("messages", 1.8), cpu("message", False, 1 / 3), latency("p50"), latency("p99")],
    "chat-counted": [rate("messages"), cpu("message", False), latency("p50"), latency("p99")],
    "rate-1000": [latency("p50", Goal(beyond=0.15)), latency("p99", Goal(ratio=1)), cpu("message", False)],
    "rate-5000": [latency("p50", Goal(ratio=1)), latency("p99", Goal(ratio=1)), cpu("message", False, 1)],
    "flat-100": flat(),
    "flat-10000": flat(),
    "login-sha1": login(),
    "login-sha256": login(),
    "idle-2000": idle(),
    "idle-10000": idle(),
    "presence": [rate("deliveries", 2), cpu("delivery", False, 1 / 3)],
    "offline": offline(Goal(ratio=3), Goal(ratio=2)),
    "offline-counted": offline(Goal(at_least=10_000), None),
}
# Of the runs of all loads: each starts its server anew.
START = Measure("all processes ready, s", "s", lambda run: run.get("secondsToStart"), Goal(at_most=1))


@dataclasses.dataclass(frozen=True)
class Growth:
    """The same figure with little to do and with much: load, server, and what is more."""

    title: str
    measure: Measure
    little: tuple[str, str, str]
    much: tuple[str, str, str]
    # How much larger it may be.
    within: float | None = None


IDLE_SESSIONS = ("idle-2000", OURS, "2,000 sessions"), ("idle-10000", OURS, "10,000 sessions")
EDGES = ("chat", OURS, "1 C2S"), ("chat", "jackdaw4", "4 C2S")
GROWTH = [
    Growth(
        "chat, open loop, 5,000 messages/s", cpu("message", False), ("flat-100", OURS, "100 sessions"),
        ("flat-10000", OURS, "10,000 sessions"), within=0.15,
    ),
    Growth("idle sessions", memory(), *IDLE_SESSIONS, within=0.15),
    Growth("chat, 100 pairs, window 10", cpu("message", False), *EDGES, within=0.15),
    Growth("", rate("messages"), *EDGES),
]


def median(results: list[dict], load: str | None, server: str, measure: Measure) -> float | None:
    """The median of the runs that count, of one load or of all."""
    figures = [
        measure.of(result) for result in results
        if load in (None, result["load"]) and result["server"] == server and is_faultless(result)
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


def row(results: list[dict], load: str | None, servers: list[str], measure: Measure, title: str) -> str:
    figures = {server: median(results, load, server, measure) for server in servers}
    best = measure.best([figure for server, figure in figures.items() if server != OURS and figure is not None])
    cells = ["–" if figures[server] is None else measure.shown(figures[server]) for server in servers]
    return "| " + " | ".join([title, measure.title, *cells, *standing(measure, figures.get(OURS), best)]) + " |"


def table(results: list[dict]) -> str:
    results = [result for result in results if not result.get("beside")] or results
    servers = [server for server in SHOWN if any(result["server"] == server for result in results)]
    lines = head("load", "figure", *(SHOWN[server] for server in servers), "to the best peer", "goal")
    for load, measures in MEASURES.items():
        runs = [result for result in results if result["load"] == load]
        if runs:
            titles = [runs[0]["title"]] + [""] * (len(measures) - 1)
            lines += [row(results, load, servers, measure, title) for measure, title in zip(measures, titles)]
    if servers:
        lines.append(row(results, None, servers, START, "start of the whole suite, for any of these loads"))
    return "\n".join(lines)


def head(*titles: str) -> list[str]:
    return ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]


def growth_table(results: list[dict]) -> str:
    """Empty where nothing was run with little and with much."""
    lines = []
    for growth in GROWTH:
        runs = [result for result in results if result.get("beside", False) == (growth.much[1] in VARIANTS)] or results
        little, much = (median(runs, load, server, growth.measure) for load, server, _ in (growth.little, growth.much))
        if little is None or much is None:
            continue
        goal = ""
        if growth.within is not None:
            met = much / little <= 1 + growth.within
            goal = f"within {growth.within * 100:.0f} %: " + ("met" if met else "**not met**")
        figures = [
            f"{name}: {growth.measure.shown(figure)}" for figure, (*_, name) in ((little, growth.little), (much, growth.much))
        ]
        lines.append("| " + " | ".join([growth.title, growth.measure.title, *figures, f"{much / little:.2f}", goal]) + " |")
    return "\n".join(head("load", "figure", "little", "much", "ratio", "goal") + lines) if lines else ""


def period(results: list[dict]) -> str:
    dates = sorted(result["date"][:10] for result in results)
    return dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"


def medians(results: list[dict]) -> str:
    """Of how many runs of each load and server."""
    runs = collections.Counter((result["load"], result["server"]) for result in results).values()
    few, many = min(runs), max(runs)
    return f"Medians of {many} rounds" if few == many > 1 else "One round" if many == 1 else f"Medians of {few} to {many} rounds"


def remarks(results: list[dict], sources: list[str]) -> str:
    """What was measured, where, and what does not count."""
    versions: dict[str, dict[str, None]] = {}
    for result in results:
        versions.setdefault(SHOWN.get(result["server"], SHOWN[OURS]), {})[result["version"]] = None
    named = [f"{name} {' and '.join(versions[name])}" for name in SHOWN.values() if name in versions]
    machine = results[-1]["machine"]
    lines = [
        f"{period(results)}; {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; PostgreSQL "
        f"{results[-1]['postgresql']}; {', '.join(named)}. {medians(results)}; the reports are in "
        + " and ".join(f"`{source}`" for source in sources) + ".",
    ]
    out = [result for result in results if not is_faultless(result)]
    if out:
        lines += ["", "Runs that do not count:", ""]
        lines += [
            f"- {result['load']}, {(SHOWN | VARIANTS)[result['server']]}, round {result['round']}: {why_not(result)}" for result in out
        ]
    return "\n".join(lines)


def why_not(result: dict) -> str:
    if "failure" in result:
        return result["failure"].splitlines()[0]
    keys = ("lost", "doubled", "reordered", "errors", "broken")
    return ", ".join(f"{result['report'][key]} {key}" for key in keys if result["report"].get(key))


def read(path: pathlib.Path) -> list[dict]:
    """The runs of a benchmark. Those of one with a variant of ours were beside that one, not beside the others."""
    results = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    beside = any(result["server"] in VARIANTS for result in results)
    return [result | {"beside": beside} for result in results]


def renew(document: pathlib.Path, results: list[dict], sources: list[str]) -> None:
    """Puts the tables between the markers of a document."""
    before, rest = document.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    parts = [f"{before}{BEGIN}", remarks(results, sources), table(results)]
    if growth := growth_table(results):
        parts += ["Cost as work grows, of Jackdaw alone:", growth]
    document.write_text("\n\n".join([*parts, f"{END}{after}"]), encoding="utf-8")
