# SPDX-License-Identifier: Apache-2.0
"""What scripts/supervisor makes of the configuration."""

import json
import pathlib
import sys
import tempfile
import unittest

from suite import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "lib" / "supervisor"))
from layout import Instance, Refusal, Suite  # noqa: E402


class LayoutTests(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="jackdaw-test-")
        self.addCleanup(directory.cleanup)
        self.state = pathlib.Path(directory.name)
        self.run_path = self.state / "run"
        self.run_path.mkdir()
        self.says = {
            "private_database": True, "paths": {"run": str(self.run_path), "logs": str(self.state / "log")},
            "http": {"address": "127.0.0.1", "router": 15100, "c2s": 15200, "sm": 15300, "s2s": 15400},
            "supervisor": {"router": 1, "c2s": 2, "sm": 1, "s2s": 0},
        }

    def suite(self) -> Suite:
        program = self.state / "bin" / "jackdawctl"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(self.says)}\nEND\n", encoding="ascii")
        program.chmod(0o755)
        return Suite(str(self.state), str(self.run_path))

    def refusal(self) -> Refusal:
        with self.assertRaises(Refusal) as caught:
            self.suite().instances()
        return caught.exception

    def test_instances_count_up_from_the_base_port(self):
        suite = self.suite()
        self.assertEqual([i.name for i in suite.instances()], ["router-1", "sm-1", "c2s-1", "c2s-2"])
        self.assertEqual(suite.http_port(Instance("c2s", 2)), 15201)

    def test_a_port_that_nobody_knows_is_refused(self):
        self.says["http"]["sm"] = 0
        refusal = self.refusal()
        self.assertEqual(refusal.code, 78)
        self.assertIn("http.sm_port", str(refusal))

    def test_sockets_in_another_place_than_the_processes_look_are_refused(self):
        self.says["paths"]["run"] = "/somewhere/else"
        refusal = self.refusal()
        self.assertEqual(refusal.code, 78)
        self.assertIn("paths.run is /somewhere/else", str(refusal))
        self.assertIn(str(self.run_path), str(refusal))

    def test_the_same_place_by_another_path_is_the_same(self):
        link = self.state / "link"
        link.symlink_to(self.run_path)
        self.says["paths"]["run"] = str(link)
        self.suite().instances()

    def test_without_a_private_database_nobody_looks_for_its_socket(self):
        self.says["private_database"] = False
        self.says["paths"]["run"] = "/somewhere/else"
        self.suite().instances()


if __name__ == "__main__":
    unittest.main()
