# SPDX-License-Identifier: Apache-2.0
"""What each process is doing: supervisord knows its id and age, its loopback HTTP port the rest.

`connected`: the link to the router is up (the router: it listens; PostgreSQL: it accepts connections).
`sessions`: of clients; for the router, the components that are bound.
"""

import json
import subprocess
import time
import urllib.error
import urllib.request

from layout import Instance, Suite

# Without the proxies of the environment: none of them knows our loopback ports.
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))

COLUMNS = ["process", "instance", "pid", "uptime", "connected", "sessions"]


def fetch(suite: Suite, instance: Instance, path: str) -> tuple[int, str] | None:
    """Status and text of a page of an instance, or None when it does not answer."""
    port = suite.http_port(instance)
    if port is None:
        return None
    address = suite.configuration["http"]["address"]
    host = f"[{address}]" if ":" in address else address
    try:
        with LOOPBACK.open(f"http://{host}:{port}{path}", timeout=2) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError:
        return None


def is_ready(suite: Suite, instance: Instance) -> bool:
    if instance.component == "postgresql":
        return accepts_connections(suite)
    answer = fetch(suite, instance, "/ready")
    return answer is not None and answer[0] == 200


def accepts_connections(suite: Suite) -> bool:
    check = ["pg_isready", "--quiet", "--host", suite.run, "--username", "postgres", "--dbname", "postgres"]
    return subprocess.run(check, check=False).returncode == 0


def details(suite: Suite, instance: Instance) -> dict:
    """What the process says about itself on /status; empty when it does not answer."""
    answer = fetch(suite, instance, "/status")
    if answer is None or answer[0] != 200:
        return {}
    try:
        fields = json.loads(answer[1])
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def number(value) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def rows(suite: Suite, supervisor) -> list[dict]:
    """One dictionary with the keys of COLUMNS, and `http`, for each process."""
    known = {}
    if supervisor is not None:
        known = {info["name"]: info for info in supervisor.getAllProcessInfo()}
    result = []
    for instance in suite.instances():
        info = known.get(instance.name)
        is_running = info is not None and info["statename"] in ("RUNNING", "STOPPING")
        row = {
            "process": instance.component,
            "instance": instance.name,
            "pid": info["pid"] if is_running else None,
            "uptime": max(0, int(time.time()) - info["start"]) if is_running else None,
            "connected": False,
            "sessions": None,
            "http": suite.http_port(instance),
        }
        if is_running and instance.component == "postgresql":
            row["connected"] = accepts_connections(suite)
        elif is_running:
            said = details(suite, instance)
            row["connected"] = str(said.get("connected")).lower() == "true"
            row["sessions"] = number(said.get("sessions"))
        result.append(row)
    return result


def as_json(table: list[dict]) -> str:
    return json.dumps([{key: row[key] for key in COLUMNS} for row in table], indent=2)


def duration(seconds: int) -> str:
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3_600)
    minutes, seconds = divmod(seconds, 60)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{seconds:02}s"


def as_table(table: list[dict]) -> str:
    """For people; the last column is the loopback HTTP port of /live, /ready and /metrics."""
    columns = COLUMNS + ["http"]
    lines = [columns]
    for row in table:
        shown = dict(row)
        shown["uptime"] = duration(row["uptime"]) if row["uptime"] is not None else None
        shown["connected"] = "yes" if row["connected"] else "no"
        lines.append(["-" if shown[key] is None else str(shown[key]) for key in columns])
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)
