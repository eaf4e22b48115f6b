# SPDX-License-Identifier: Apache-2.0
"""scripts/chaos: the order of the faults, whose fault a broken connection is, and the verdict, without any server."""

import collections
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

from suite import ROOT, until

sys.path[1:1] = [str(ROOT / "scripts" / "lib" / name) for name in ("chaos", "bench")]

import edges
import fault_table
import faults
from edges import Edges, Outage
from processes import Refusal

COUNTS = {"router": 2, "sm": 3, "c2s": 3}


class PlanTests(unittest.TestCase):
    def test_the_same_seed_makes_the_same_faults(self):
        all_sorts = faults.sorts(COUNTS)
        self.assertEqual(faults.plan(7, 50, all_sorts), faults.plan(7, 50, all_sorts))
        self.assertNotEqual(faults.plan(7, 50, all_sorts), faults.plan(8, 50, all_sorts))

    def test_every_kind_comes_equally_often_on_every_kind_of_process(self):
        all_sorts = faults.sorts(COUNTS)
        self.assertIn(("kill", "postgresql"), all_sorts)
        self.assertNotIn(("scale", "postgresql"), all_sorts)
        times = collections.Counter(fault.sort for fault in faults.plan(1, 10 * len(all_sorts) + 3, all_sorts))
        self.assertEqual(set(times), set(all_sorts))
        self.assertLessEqual(set(times.values()), {10, 11})

    def test_stops_last_for_as_long_as_they_may(self):
        planned = faults.plan(1, 200, [("stop", "sm"), ("kill", "sm")])
        lengths = [fault.seconds for fault in planned if fault.kind == "stop"]
        self.assertTrue(all(5 <= length <= 60 for length in lengths))
        self.assertGreater(max(lengths) - min(lengths), 40)
        self.assertTrue(all(fault.seconds == 0 for fault in planned if fault.kind == "kill"))

    def test_two_at_once_are_of_two_kinds_of_process(self):
        planned = faults.plan(1, 100, faults.sorts(COUNTS))
        together = faults.pairs(planned)
        self.assertGreater(len(together), 45)
        for first, second in together:
            self.assertNotEqual(first.component, second.component)
        self.assertEqual(faults.pairs(faults.plan(1, 4, [("kill", "sm")])), [])


class OutageTests(unittest.TestCase):
    """A process is 1; times are in seconds."""

    def test_a_process_that_ended_excuses_its_connections(self):
        ended = Outage(1, 100, None)
        self.assertTrue(ended.excuses(1, 100.5))
        self.assertFalse(ended.excuses(1, 90))
        self.assertFalse(ended.excuses(2, 100.5))

    def test_a_process_that_stood_still_for_less_than_its_clients_wait_excuses_nobody(self):
        self.assertFalse(Outage(1, 100, 110).excuses(1, 108))
        long = Outage(1, 100, 140)
        self.assertTrue(long.excuses(1, 120))
        # Before their patience ended it was not this.
        self.assertFalse(long.excuses(1, 105))
        self.assertFalse(long.excuses(1, 200))

    def test_a_connection_that_was_too_short_to_be_seen_may_have_been_of_a_process_that_ended_then(self):
        self.assertTrue(Outage(1, 100, None).excuses(None, 101))
        self.assertFalse(Outage(1, 100, None).excuses(None, 200))


class EdgeTests(unittest.TestCase):
    TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4E21 00000000:0000 0A 00000000:00000000 00:00000000 00000000   109        0 1111 1 0 100 0 0 10 0
   1: 0100007F:4E21 0100007F:C001 01 00000000:00000000 00:00000000 00000000   109        0 2222 1 0 100 0 0 10 0
   2: 0100007F:C001 0100007F:4E21 01 00000000:00000000 00:00000000 00000000   109        0 3333 1 0 100 0 0 10 0
   3: 0100007F:4E21 0100007F:C002 06 00000000:00000000 00:00000000 00000000   109        0 0 1 0 100 0 0 10 0
"""

    def test_only_established_connections_of_the_servers_end_count(self):
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
            file.write(self.TABLE)
            file.flush()
            self.assertEqual(edges.client_ports(0x4E21, file.name), {0xC001: "2222"})

    def test_the_process_of_a_connection_is_found(self):
        class OneEdge:
            """This very process, as if it were a C2S."""

            def __init__(self, port: int):
                self.client_port = port

            def instances(self, _component: str) -> list[str]:
                return ["c2s-1"]

            def pid(self, _name: str) -> int:
                return os.getpid()


        with socket.create_server(("127.0.0.1", 0)) as server:
            watch = Edges(OneEdge(server.getsockname()[1]), every=3600)
            try:
                with socket.create_connection(server.getsockname()) as client:
                    accepted, _ = server.accept()
                    with accepted:
                        watch.look()
                        self.assertEqual(watch.pid_of(client.getsockname()[1]), os.getpid())
                        self.assertIsNone(watch.pid_of(1))
                        # The port is another connection's by now, which nobody has accepted.
                        port = client.getsockname()[1]
                        watch.known.clear()
                        with unittest.mock.patch.object(edges, "client_ports", return_value={port: "0"}):
                            watch.look()
                        self.assertIsNone(watch.pid_of(port))
            finally:
                watch.stop()

    def test_what_the_other_suite_drops_nothing_excuses(self):
        class NoEdges:
            client_port = 1

            def instances(self, _component: str) -> list[str]:
                return []

        watch = Edges(NoEdges(), every=3600)
        try:
            watch.ended(1)
            broken = {"disconnected": 3, "pid": None, "heardAt": watch.outages[0].since}
            self.assertIsNone(watch.judge(broken))
            self.assertIsNotNone(watch.judge(broken | {"isRemote": True}))
        finally:
            watch.stop()


class StopTests(unittest.TestCase):
    def test_what_stands_still_goes_on_again(self):
        with subprocess.Popen(["sleep", "60"]) as process:
            stop = faults.Stop([process.pid], 3600, None)
            until(lambda: self.state(process.pid) == "T", "stop")
            stop.timer.cancel()
            stop.wake()
            until(lambda: self.state(process.pid) == "S", "end of the stop")
            process.send_signal(signal.SIGTERM)

    def state(self, pid: int) -> str:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def report(**more) -> dict:
    return {
        "sent": 1000, "acknowledged": 1000, "received": 1000, "errors": {}, "violations": {}, "samples": [], "measured": 900,
        "acknowledgedLate": 0, "resumptions": 3, "repeatedBySender": 0,
    } | more


def results(*, violations: dict | None = None, pairs: bool = False, **more) -> list[dict]:
    both = [{"kind": "kill", "component": "sm", "seconds": 0.0}] + [{"kind": "stop", "component": "router", "seconds": 9.0}] * pairs
    return [
        {"type": "run", "date": "2026-11-26T00:00:00+00:00", "version": "abc", "cores": 2, "seed": 1, "faults": 1, "pairs": pairs,
         "counts": {"postgresql": 1} | COUNTS, "clients": 200, "rate": 2000.0},
        {"type": "fault", "number": 1, "at": "", "inFlight": 12, "errors": 0, "recoverySeconds": 2.5, "faults": both},
        {"type": "round", "at": "", "faults": [1], "rested": True, "dropped": [], "violations": violations or {}, "report": report(**more)},
    ]


class VerdictTests(unittest.TestCase):
    def test_only_who_dies_with_all_who_know_its_sessions_may_refuse_resumptions(self):
        def fault(*kinds):
            return {"faults": [{"kind": kind, "component": component} for kind, component in kinds]}

        for kinds in ([("kill", "sm"), ("stop", "c2s")], [("restart", "sm"), ("kill", "postgresql")]):
            self.assertTrue(fault_table.leaves_nobody_who_knows(fault(*kinds)), kinds)
        for kinds in ([("kill", "sm")], [("kill", "sm"), ("kill", "router")], [("kill", "c2s"), ("kill", "postgresql")], [("scale", "sm"), ("kill", "c2s")]):
            self.assertFalse(fault_table.leaves_nobody_who_knows(fault(*kinds)), kinds)

    def test_a_faultless_run_has_no_violations(self):
        self.assertEqual(fault_table.violations(results()), [])

    def test_every_violation_is_told(self):
        sample = {"violation": "lost", "message": "3-4"}
        told = fault_table.violations(results(violations={"lost": 2}, samples=[sample]))
        self.assertEqual(told[0], "after fault 1: 2 lost")
        self.assertIn('"message": "3-4"', told[1])

    def test_one_error_in_a_thousand_may_be(self):
        self.assertEqual(fault_table.violations(results(errors={"remote-server-timeout": 1})), [])
        self.assertEqual(len(fault_table.violations(results(errors={"remote-server-timeout": 2}))), 1)

    def test_acknowledgements_may_be_late_for_one_in_a_hundred(self):
        self.assertEqual(fault_table.violations(results(acknowledgedLate=9)), [])
        late = results(acknowledgedLate=10)
        self.assertEqual(len(fault_table.violations(late)), 1)
        self.assertEqual(fault_table.violations(late, judges_time=False), [])

    def test_the_table_has_a_row_for_each_kind_and_process(self):
        self.assertIn("| `kill -9` | SM | 1 | 2.5 (2.5) | 12 | 0 | 2 |", fault_table.table(results(violations={"lost": 2})))
        self.assertIn("| `SIGSTOP` + `kill -9` | router + SM | 1 |", fault_table.table(results(pairs=True)))

    def test_the_tables_go_between_the_markers(self):
        with tempfile.TemporaryDirectory() as name:
            directory = pathlib.Path(name)
            (directory / "docs").mkdir()
            document = directory / "docs" / "reliability.md"
            document.write_text(f"before\n{fault_table.BEGIN}\nold\n{fault_table.END}\nafter\n", encoding="utf-8")
            (directory / "one.jsonl").write_text("\n".join(json.dumps(line) for line in results()), encoding="utf-8")
            fault_table.renew(document, [str(directory / "one.jsonl")])
            text = document.read_text(encoding="utf-8")
            self.assertTrue(text.startswith("before\n") and text.endswith("after\n"))
            self.assertNotIn("old", text)
            self.assertIn("2 router, 3 C2S, 3 SM", text)
            self.assertIn("`one.jsonl`", text)
            (directory / "none.jsonl").write_text("", encoding="utf-8")
            with self.assertRaises(Refusal):
                fault_table.renew(document, [str(directory / "none.jsonl")])


if __name__ == "__main__":
    unittest.main()
