# SPDX-License-Identifier: Apache-2.0
"""The table of docs/reliability.md, from the results of runs."""

import json
import pathlib

from processes import Refusal

BEGIN, END = "<!-- made by scripts/compare --table: begin -->", "<!-- made by scripts/compare --table: end -->"
OURS = "jackdaw"
TITLES = {"jackdaw": "Jackdaw", "jabberd2": "jabberd2"}


def read(path: pathlib.Path) -> list[dict]:
    try:
        results = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise Refusal(f"{path}: {error}") from error
    if not results:
        raise Refusal(f"{path} holds no results of scripts/compare")
    return results


def newest(results: list[dict]) -> dict[tuple[str, str], dict]:
    """By row and server; a later one replaces an earlier one."""
    return {(result["row"], result["server"]): result for result in results}


def row_order(row: str) -> tuple[int, str]:
    """10a comes after 6."""
    number = "".join(letter for letter in row if letter.isdecimal())
    return int(number), row


def missed(results: list[dict]) -> list[str]:
    """The rows in which we are not what is demanded."""
    rows = [row for (row, server), result in newest(results).items() if server == OURS and not result["isMet"]]
    return sorted(rows, key=row_order)


def table(results: list[dict]) -> str:
    found = newest(results)
    servers = [name for name in TITLES if any(server == name for _, server in found)]
    lines = ["| row | what was done | " + " | ".join(TITLES[name] for name in servers) + " |", "|" + " --- |" * (2 + len(servers))]
    for row in sorted({row for row, _ in found}, key=row_order):
        mine = {server: found[row, server] for server in servers if (row, server) in found}
        done = (mine.get(OURS) or next(iter(mine.values())))["done"]
        cells = [shown(mine.get(server)) for server in servers]
        lines.append("| " + " | ".join([row, done, *cells]) + " |")
    return "\n".join(lines)


def shown(result: dict | None) -> str:
    if not result:
        return "–"
    figure = result["figure"].replace("|", "\\|")
    return f"{figure} **(missed)**" if result["server"] == OURS and not result["isMet"] else figure


def remarks(results: list[dict], sources: list[str]) -> str:
    """When, where, and of what."""
    found = newest(results).values()
    dates = sorted({result["date"][:10] for result in found})
    period = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    machine = next(iter(found))["machine"]
    versions = {TITLES[result["server"]]: result["version"] for result in found}
    loads = [result["loadAverageBefore"] for result in found]
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    commands = sorted({f"`{result['command']}`" for result in found})
    return (
        f"{period}; {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, load average {min(loads):.1f} to {max(loads):.1f} "
        f"before a row; {named}. By {' and '.join(commands)}; the results are in " + " and ".join(f"`{name}`" for name in sources) + "."
    )


def renew(document: pathlib.Path, files: list[str]) -> None:
    """Puts the table between the markers of a document, made from all these files together."""
    root = document.resolve().parents[1]
    results, sources = [], []
    for name in files:
        path = pathlib.Path(name).resolve()
        results += read(path)
        sources.append(str(path.relative_to(root) if path.is_relative_to(root) else path))
    before, rest = document.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    parts = [f"{before}{BEGIN}", remarks(results, sources), table(results), f"{END}{after}"]
    document.write_text("\n\n".join(parts), encoding="utf-8")
