# SPDX-License-Identifier: Apache-2.0
"""scripts/bench: the table that is made from the reports, and the configurations, without any server."""

import pathlib
import string
import sys
import tempfile
import unittest
import xml.dom.minidom

from suite import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "lib" / "bench"))

import servers
import table
from loads import LOADS
from processes import cpu_seconds
from runner import is_faultless


def result(server: str, load: str = "chat", round_number: int = 1, **report) -> dict:
    return {
        "server": server, "load": load, "title": LOADS[load].title, "round": round_number, "version": "1",
        "date": "2026-11-25T12:00:00+00:00", "postgresql": "15", "machine": {"cpu": "a CPU", "cores": 2, "kernel": "6"},
        "report": {"mode": "chat", "unit": "message", "lost": 0, "processes": {}} | report,
    }


def cpu(**microseconds) -> dict:
    return {name: {"cpuMicrosecondsPerUnit": value} for name, value in microseconds.items()}


def cells(text: str, load: str, figure: str) -> list[str]:
    """The cells of one row, found by the title of its load and its figure."""
    current = ""
    for line in text.splitlines():
        row = [cell.strip() for cell in line.strip("|").split("|")]
        current = row[0] or current
        if current == LOADS[load].title and row[1] == figure:
            return row[2:]
    raise AssertionError(f"no row {load}, {figure} in\n{text}")


class TableTests(unittest.TestCase):
    def test_a_figure_is_the_median_and_its_ratio_is_to_the_best_peer(self):
        results = [result("jackdaw", round_number=n, unitsPerSecond=rate) for n, rate in enumerate((900, 1000, 5000), 1)]
        results += [result("ejabberd", unitsPerSecond=500), result("prosody", unitsPerSecond=250)]
        self.assertEqual(
            cells(table.table(results), "chat", "messages/s"), ["1,000", "500", "250", "2.00", "≥ 1.80: met"]
        )

    def test_less_is_better_for_cpu_and_all_processes_of_a_server_count(self):
        results = [
            result("jackdaw", processes=cpu(router=4, sm=6, postgresql=90)), result("ejabberd", processes=cpu(ejabberd=20)),
            result("prosody", processes=cpu(prosody=25)),
        ]
        self.assertEqual(
            cells(table.table(results), "chat", "CPU per message, µs"),
            ["10.0", "20.0", "25.0", "0.50", "≤ 0.33: **not met**"],
        )

    def test_with_the_database_where_data_is_stored(self):
        results = [result("jackdaw", "login-sha1", processes=cpu(c2s=1000, postgresql=500))]
        self.assertEqual(
            cells(table.table(results), "login-sha1", "CPU per login with PostgreSQL, µs")[0], "1,500"
        )

    def test_a_run_with_a_fault_does_not_count(self):
        for fault in ("lost", "doubled", "reordered", "errors", "broken"):
            faulty = result("jackdaw", unitsPerSecond=9000, **{fault: 1})
            self.assertFalse(is_faultless(faulty))
            results = [faulty, result("jackdaw", round_number=2, unitsPerSecond=1000), result("ejabberd", unitsPerSecond=500)]
            self.assertEqual(cells(table.table(results), "chat", "messages/s")[0], "1,000")
            self.assertIn(f"- chat, Jackdaw, round 1: 1 {fault}", table.remarks(results, "file"))

    def test_a_run_that_failed_leaves_a_gap_and_is_named(self):
        failed = result("prosody")
        del failed["report"]
        failed["failure"] = "no login within 60 s\nmore"
        results = [result("jackdaw", unitsPerSecond=1000), failed]
        self.assertEqual(cells(table.table(results), "chat", "messages/s"), ["1,000", "–", "–", "≥ 1.80"])
        self.assertIn("- chat, Prosody, round 1: no login within 60 s\n", table.remarks(results, "file") + "\n")

    def test_goals_at_a_distance_and_absolute_ones(self):
        results = [
            result("jackdaw", "rate-1000", latency={"p50": 0.5}), result("ejabberd", "rate-1000", latency={"p50": 0.4}),
            result("jackdaw", "idle-2000", processes={"c2s": {"memoryPerSession": 25_000}}),
        ]
        made = table.table(results)
        self.assertEqual(cells(made, "rate-1000", "p50, ms")[-1], "≤ best + 0.15 ms: met")
        self.assertEqual(cells(made, "idle-2000", "memory per session (PSS), kB")[-1], "≤ 24 kB: **not met**")

    def test_the_table_replaces_the_one_before_and_nothing_else(self):
        with tempfile.TemporaryDirectory(prefix="jackdaw-test-") as directory:
            document = pathlib.Path(directory) / "document.md"
            document.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", encoding="utf-8")
            for _ in range(2):
                table.renew(document, [result("jackdaw", unitsPerSecond=1000)], "file")
            text = document.read_text(encoding="utf-8")
        self.assertTrue(text.startswith("before\n") and text.endswith("\nafter\n"))
        self.assertNotIn("old", text)
        self.assertEqual(text.count("| load |"), 1)

    def test_the_document_has_the_markers(self):
        text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
        self.assertEqual((text.count(table.BEGIN), text.count(table.END)), (1, 1))

    def test_every_load_is_in_the_table(self):
        self.assertEqual(set(table.MEASURES), set(LOADS))


class ConfigurationTests(unittest.TestCase):
    NAMES = dict.fromkeys((
        "address", "port", "directory", "domain", "domain_sha1", "certificate", "key", "pem", "database_address",
        "database_port", "password",
    ), "x")

    def test_all_names_in_the_templates_are_filled_in(self):
        templates = [path for path in servers.HERE.rglob("*") if path.suffix in (".yml", ".lua", ".xml")]
        self.assertGreaterEqual(len(templates), 7)
        for path in templates:
            filled = string.Template(path.read_text(encoding="utf-8")).substitute(self.NAMES)
            self.assertNotIn("$", filled, path.name)
            if path.suffix == ".xml":
                xml.dom.minidom.parseString(filled)

    def test_each_server_has_an_address_of_its_own(self):
        addresses = [server.address for server in servers.SERVERS.values()]
        self.assertEqual(len(set(addresses)), len(addresses))


class AccountingTests(unittest.TestCase):
    def test_a_process_that_is_not_there_used_nothing(self):
        self.assertEqual(cpu_seconds([2**22 + 1]), 0)


if __name__ == "__main__":
    unittest.main()
