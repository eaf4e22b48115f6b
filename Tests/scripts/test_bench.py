# SPDX-License-Identifier: Apache-2.0
"""scripts/bench: the tables that are made from the reports, the configurations, and what ends, without any server."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import signal
import string
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import xml.dom.minidom

from suite import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "lib" / "bench"))

import processes
import runner
import servers
import table
from loads import LOADS
from processes import Refusal, cpu_seconds
from runner import is_faultless

LOADER = importlib.machinery.SourceFileLoader("bench", str(ROOT / "scripts" / "bench"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", LOADER))
LOADER.exec_module(bench)


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
            self.assertIn(f"- chat, Jackdaw, round 1: 1 {fault}", table.remarks(results, ["file"]))

    def test_a_run_that_failed_leaves_a_gap_and_is_named(self):
        failed = result("prosody")
        del failed["report"]
        failed["failure"] = "no login within 60 s\nmore"
        results = [result("jackdaw", unitsPerSecond=1000), failed]
        self.assertEqual(cells(table.table(results), "chat", "messages/s"), ["1,000", "–", "–", "≥ 1.80"])
        self.assertIn("- chat, Prosody, round 1: no login within 60 s\n", table.remarks(results, ["file"]) + "\n")

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
                table.renew(document, [result("jackdaw", unitsPerSecond=1000)], ["file"])
            text = document.read_text(encoding="utf-8")
        self.assertTrue(text.startswith("before\n") and text.endswith("\nafter\n"))
        self.assertNotIn("old", text)
        self.assertEqual(text.count("| load |"), 1)

    def test_the_goals(self):
        goals = {
            (load, measure.title): measure.goal.text(measure)
            for load, measures in table.MEASURES.items() for measure in measures if measure.goal
        }
        login = {"logins/s": "≥ 1.50", "CPU per login with PostgreSQL, µs": "≤ 0.33"}
        memory = {"memory per session (PSS), kB": "≤ 24 kB"}
        self.assertEqual(goals, {
            (load, title): text for load, goals in {
                "chat": {"messages/s": "≥ 1.80", "CPU per message, µs": "≤ 0.33"},
                "rate-1000": {"p50, ms": "≤ best + 0.15 ms", "p99, ms": "≤ 1.00"},
                "rate-5000": {"p50, ms": "≤ 1.00", "p99, ms": "≤ 1.00", "CPU per message, µs": "≤ 1.00"},
                "login-sha1": login, "login-sha256": login, "idle-2000": memory, "idle-10000": memory,
                "presence": {"deliveries/s": "≥ 2.00", "CPU per delivery, µs": "≤ 0.33"},
                "offline": {"stored/s": "≥ 3.00", "drained/s": "≥ 2.00"},
                "offline-counted": {"stored/s": "≥ 10,000"},
            }.items() for title, text in goals.items()
        })

    def test_the_start_is_the_median_of_all_loads(self):
        results = [
            result("jackdaw", load) | {"secondsToStart": seconds}
            for load, seconds in (("chat", 0.4), ("offline", 0.6), ("presence", 9.0))
        ]
        results.append(result("ejabberd") | {"secondsToStart": 1.2})
        last = table.table(results).splitlines()[-1]
        self.assertTrue(last.startswith("| start of the whole suite"), last)
        self.assertTrue(last.endswith("| all processes ready, s | 0.60 | 1.20 | 0.50 | ≤ 1 s: met |"), last)

    def test_a_variant_of_jackdaw_is_no_peer(self):
        results = [result("jackdaw", unitsPerSecond=1000), result("jackdaw4", unitsPerSecond=900)]
        made = table.table(results)
        self.assertEqual(cells(made, "chat", "messages/s"), ["1,000", "–", "≥ 1.80"])
        self.assertIn("Jackdaw 1. One round;", table.remarks(results, ["a", "b"]))
        self.assertIn("`a` and `b`.", table.remarks(results, ["a", "b"]))

    def test_cost_as_work_grows(self):
        results = [
            result("jackdaw", "flat-100", processes=cpu(c2s=100, postgresql=7)),
            result("jackdaw", "flat-10000", processes=cpu(c2s=116)),
            result("jackdaw", processes=cpu(c2s=10), unitsPerSecond=1000),
            result("jackdaw4", processes=cpu(**{"c2s-1": 4, "c2s-2": 8}), unitsPerSecond=900),
            result("jackdaw", "idle-2000", processes={"c2s": {"memoryPerSession": 20_000}}),
        ]
        self.assertEqual(table.growth_table(results).splitlines()[2:], [
            "| chat, open loop, 5,000 messages/s | CPU per message, µs | 100 sessions: 100 | 10,000 sessions: 116 | 1.16 "
            "| within 15 %: **not met** |",
            "| chat, 100 pairs, window 10 | CPU per message, µs | 1 C2S: 10.0 | 4 C2S: 12.0 | 1.20 | within 15 %: **not met** |",
            "|  | messages/s | 1 C2S: 1,000 | 4 C2S: 900 | 0.90 |  |",
        ])
        results[1]["report"]["processes"] = cpu(c2s=115)
        self.assertIn("| 1.15 | within 15 %: met |", table.growth_table(results))
        self.assertEqual(table.growth_table(results[2:3]), "")

    def test_the_document_has_the_markers(self):
        text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
        self.assertEqual((text.count(table.BEGIN), text.count(table.END)), (1, 1))

    def test_every_load_is_in_the_table(self):
        self.assertEqual(set(table.MEASURES), set(LOADS))


class ConfigurationTests(unittest.TestCase):
    NAMES = dict.fromkeys((
        "name", "address", "port", "directory", "domain", "domain_sha1", "certificate", "key", "pem",
        "database_address", "database_port", "password",
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


class ResultsTests(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="jackdaw-test-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        patch = unittest.mock.patch.object(bench, "RESULTS", self.directory)
        patch.start()
        self.addCleanup(patch.stop)

    def test_each_invocation_has_a_file_of_its_own_and_the_newest_is_the_last(self):
        names = []
        for _ in range(11):
            with bench.new_results(None) as output:
                names.append(pathlib.Path(output.name).name)
        day = names[0].removesuffix(".jsonl")
        self.assertEqual(names, [f"{day}.jsonl"] + [f"{day}-{number}.jsonl" for number in range(2, 12)])
        self.assertEqual(bench.newest_results().name, names[-1])

    def test_a_file_that_is_there_is_not_written_to(self):
        with bench.new_results(self.directory / "mine.jsonl"):
            pass
        with self.assertRaises(Refusal):
            bench.new_results(self.directory / "mine.jsonl")

    def test_a_table_from_several_files(self):
        for name, server in (("a", "jackdaw"), ("b", "ejabberd")):
            text = json.dumps(result(server, unitsPerSecond=1000)) + "\n"
            (self.directory / f"{name}.jsonl").write_text(text, encoding="utf-8")
        with unittest.mock.patch.object(table, "renew") as renew:
            bench.make_table(f"{self.directory}/a.jsonl,{self.directory}/b.jsonl")
            _, results, sources = renew.call_args.args
            self.assertEqual([each["server"] for each in results], ["jackdaw", "ejabberd"])
            self.assertEqual(len(sources), 2)
            with self.assertRaises(Refusal):
                bench.make_table(f"{self.directory}/a.jsonl,{self.directory}/c.jsonl")


class LimitTests(unittest.TestCase):
    def test_a_load_that_needs_more_open_files_than_there_can_be_is_refused(self):
        with unittest.mock.patch.object(bench, "raise_descriptors", return_value=4096):
            bench.check_descriptors([LOADS["chat"], LOADS["idle-2000"]])
            with self.assertRaisesRegex(Refusal, "idle-10000 needs 10,256 open files, and 4,096 are all"):
                bench.check_descriptors([LOADS["chat"], LOADS["idle-10000"]])

    def test_the_soft_limit_is_raised_as_far_as_the_hard_one_allows_and_for_children(self):
        program = (
            "import resource, subprocess, processes; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512)); "
            "processes.os.getuid = lambda: 1000; print(processes.raise_descriptors(), flush=True); "
            "subprocess.run(['sh', '-c', 'ulimit -n'])"
        )
        output = subprocess.run(
            [sys.executable, "-B", "-c", program], cwd=servers.HERE, stdout=subprocess.PIPE, encoding="utf-8", check=True
        ).stdout
        self.assertEqual(output.split(), ["512", "512"])


class Silent(servers.Server):
    """Starts two processes, one with a child, that never answer."""

    name = "silent"
    address = "127.0.1.250"

    def version(self) -> str:
        return "1"

    def prepare(self) -> None:
        pass

    def launch(self) -> None:
        self.run("one", "sh", "-c", "sleep 60 & sleep 60; true")
        self.run("two", "sh", "-c", "echo no luck; exit 3")


def sessions(pids: list[int]) -> list[int]:
    """The processes that are left of the sessions of these."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) in pids and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


class EndTests(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="jackdaw-test-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        for patch in (
            unittest.mock.patch.object(processes, "identity", dict),
            unittest.mock.patch.object(runner, "say"),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def test_a_server_that_does_not_start_is_stopped_and_its_run_is_a_failure(self):
        server = Silent(self.directory, unittest.mock.Mock(), unittest.mock.Mock())
        pids: list[int] = []
        stop = server.stop
        server.stop = lambda: (pids.extend(process.pid for process in server.processes), stop())
        load = LOADS["chat"]
        measuring = runner.Runner(self.directory / "none", unittest.mock.Mock(version="15"), [server])
        server.directory.mkdir()
        result = measuring.measure(server, load)
        self.assertIn("two ended:\nno luck", result["failure"])
        self.assertEqual(len(pids), 2)
        self.wait_for_the_end(pids)
        server.directory.joinpath("one.log").unlink()
        server.directory.joinpath("two.log").unlink()
        server.directory.rmdir()
        # Nor where it fails before, while the accounts are made: then its runs are failures, those of others are made.
        measuring.prepare([load])
        output = io.StringIO()
        measuring.run([load], 2, output)
        self.assertEqual(len(pids), 4)
        self.wait_for_the_end(pids)
        lines = [json.loads(line) for line in output.getvalue().splitlines()]
        self.assertEqual([line["failure"].splitlines()[0] for line in lines], ["not prepared: two ended:"] * 2)

    def test_a_signal_ends_what_was_started(self):
        program = """
import pathlib, sys
import processes
processes.identity = dict
processes.signals.watch()
process = processes.Process("one", ["sleep", "60"], pathlib.Path(sys.argv[1]))
print(process.pid, flush=True)
try:
    processes.complete(["sh", "-c", "echo $$; sleep 60 & sleep 60; true"])
finally:
    with processes.signals.held():
        process.stop()
    print("stopped", flush=True)
"""
        for number in (signal.SIGINT, signal.SIGTERM):
            with subprocess.Popen(
                [sys.executable, "-B", "-c", program, self.directory], cwd=servers.HERE, stdout=subprocess.PIPE, encoding="utf-8"
            ) as process:
                self.addCleanup(process.terminate)
                pids = [int(process.stdout.readline()), int(process.stdout.readline())]
                processes.until(lambda pids=pids: len(sessions(pids)) == 4, "both sleep", seconds=20)
                process.send_signal(number)
                self.assertEqual(process.stdout.read(), "stopped\n")
            self.assertEqual(process.returncode, 128 + number)
            self.wait_for_the_end(pids)

    def wait_for_the_end(self, pids: list[int]) -> None:
        processes.until(lambda: not sessions(pids), "all that was started is gone", seconds=20)

    def test_a_signal_waits_while_it_is_held_and_the_second_does_nothing(self):
        signals = processes.Signals()
        done = []
        with self.assertRaises(SystemExit):
            with signals.held():
                with signals.held():
                    signals.receive(signal.SIGTERM, None)
                done.append("inner")
        signals.receive(signal.SIGTERM, None)
        with signals.held():
            done.append("after")
        self.assertEqual(done, ["inner", "after"])


class AccountingTests(unittest.TestCase):
    def test_a_process_that_is_not_there_used_nothing(self):
        self.assertEqual(cpu_seconds([2**22 + 1]), 0)


if __name__ == "__main__":
    unittest.main()
