# SPDX-License-Identifier: Apache-2.0
"""scripts/run and scripts/supervisor over stand-ins for the executables, with a real PostgreSQL."""

import os
import signal
import stat
import subprocess
import unittest

from suite import DUMMIES, Suite, until

KEYS = ["process", "instance", "pid", "uptime", "connected", "sessions"]


class SupervisorTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.suite = Suite()
        cls.first_words = cls.suite.start()

    @classmethod
    def tearDownClass(cls):
        cls.suite.remove()

    def setUp(self):
        self.suite.call("supervisor", "start")
        self.suite.call("supervisor", "scale", "c2s", "1")

    def test_the_first_words_say_how_to_go_on(self):
        self.assertIn("scripts/jackdawctl user add alice@localhost", self.first_words)
        self.assertRegex(self.first_words, r"([0-9A-F]{2}:){31}[0-9A-F]{2}")

    def test_the_fingerprint_is_that_of_the_certificate(self):
        certificate = self.suite.state / "certificates" / "localhost.pem"
        text = subprocess.run(
            ["openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256", "-ext", "subjectAltName"],
            check=True, stdout=subprocess.PIPE, encoding="utf-8",
        ).stdout
        self.assertIn(text.split("\n", maxsplit=1)[0].split("=")[1], self.first_words)
        self.assertIn("DNS:localhost", text)

    def test_status_has_exactly_the_documented_keys(self):
        rows = list(self.suite.status().values())
        self.assertEqual([row["instance"] for row in rows], ["postgresql", "router-1", "sm-1", "c2s-1"])
        for row in rows:
            self.assertEqual(list(row), KEYS)
            self.assertIs(row["connected"], True)
            self.assertIsInstance(row["uptime"], int)
        self.assertEqual(rows[3]["sessions"], 7)

    def test_the_process_id_is_that_of_the_process_itself(self):
        pid = self.suite.pids()["c2s-1"]
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
            self.assertIn(str(self.suite.state / "bin" / "jackdaw-c2s"), file.read().split("\0"))

    def test_a_killed_process_is_restarted_alone(self):
        before = self.suite.pids()
        for victim in ("c2s-1", "sm-1", "router-1"):
            os.kill(before[victim], signal.SIGKILL)
            until(lambda: self.suite.status()[victim]["connected"], f"the return of {victim}")
            after = self.suite.pids()
            self.assertNotEqual(after.pop(victim), before.pop(victim))
            self.assertEqual(after, {name: after[name] for name in after} | before)
            before = self.suite.pids()

    def test_the_pause_before_a_restart_grows(self):
        broken = self.suite.state / "fail-c2s-1"
        broken.touch()
        known = len(self.suite.log("c2s-1"))
        os.kill(self.suite.pids()["c2s-1"], signal.SIGKILL)
        for pause in (2, 4):
            until(lambda: f"starts again in {pause} s" in self.suite.log("c2s-1")[known:], f"a pause of {pause} s")
        broken.unlink()
        # A restart that was asked for does not wait.
        self.suite.call("supervisor", "restart", "c2s")
        self.assertTrue(self.suite.status()["c2s-1"]["connected"])

    def test_the_pause_never_exceeds_its_bound(self):
        program = [str(self.suite.root / "scripts" / "lib" / "run-process"), str(self.suite.directory)]
        for name in ("pids", "restarts"):
            (self.suite.directory / name).mkdir(exist_ok=True)
        with open("/proc/uptime", encoding="ascii") as file:
            now = int(float(file.read().split()[0]))
        (self.suite.directory / "restarts" / "x-1").write_text(f"{now} 30\n", encoding="ascii")
        process = subprocess.Popen(program + ["x-1", "30", "", "true"], stdout=subprocess.PIPE, encoding="utf-8")
        self.assertIn("starts again in 30 s", process.stdout.readline())
        process.kill()
        process.communicate()

    def test_scaling_leaves_the_survivors_alone(self):
        first = self.suite.pids()
        self.suite.call("supervisor", "scale", "c2s", "3")
        three = self.suite.pids()
        self.assertEqual(three | first, three)
        self.assertEqual(sorted(three.keys() - first.keys()), ["c2s-2", "c2s-3"])
        self.suite.call("supervisor", "scale", "c2s", "1")
        self.assertEqual(self.suite.pids(), first)
        self.suite.call("supervisor", "scale", "c2s", "2")
        self.assertEqual(self.suite.pids() | first, self.suite.pids())
        self.suite.call("supervisor", "restart")
        self.assertIn("c2s-2", self.suite.pids())

    def test_what_cannot_be_scaled_is_refused_with_the_reason(self):
        before = self.suite.pids()
        for component, reason in (("sm", "own a user"), ("router", "routers do not")):
            answer = self.suite.call("supervisor", "scale", component, "2", check=False)
            self.assertEqual(answer.returncode, 64)
            self.assertIn(reason, answer.stdout)
        self.assertEqual(self.suite.call("supervisor", "scale", "c2s", "0", check=False).returncode, 64)
        self.assertEqual(self.suite.call("supervisor", "scale", "x", "1", check=False).returncode, 64)
        self.assertEqual(self.suite.pids(), before)

    def test_a_stopped_component_stays_stopped_until_it_is_started(self):
        before = self.suite.pids()
        self.suite.call("supervisor", "stop", "c2s")
        self.assertIsNone(self.suite.pids()["c2s-1"])
        self.suite.call("supervisor", "start", "c2s")
        after = self.suite.pids()
        self.assertNotEqual(after.pop("c2s-1"), before.pop("c2s-1"))
        self.assertEqual(after, before)

    def test_stop_ends_everything_and_status_says_so(self):
        pids = self.suite.pids()
        self.suite.call("supervisor", "stop")
        for pid in pids.values():
            self.assertFalse(os.path.exists(f"/proc/{pid}"))
        answer = self.suite.call("supervisor", "status", check=False)
        self.assertEqual(answer.returncode, 3)

    def test_processes_that_outlived_their_supervisor_are_replaced(self):
        orphans = self.suite.pids()
        pid = int((self.suite.runtime / "supervisord.pid").read_text(encoding="ascii"))
        os.kill(pid, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{pid}"), "the end of supervisord")
        self.suite.call("supervisor", "start")
        self.assertTrue(all(row["connected"] for row in self.suite.status().values()))
        for pid in orphans.values():
            self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_running_again_keeps_all_data(self):
        self.suite.sql("create table kept as select 1 as x")
        secret = (self.suite.state / "secrets" / "router-sm").read_bytes()
        certificate = (self.suite.state / "certificates" / "localhost.pem").read_bytes()
        self.suite.start()
        self.assertEqual(self.suite.sql("select x from kept"), "1")
        self.assertEqual((self.suite.state / "secrets" / "router-sm").read_bytes(), secret)
        self.assertEqual((self.suite.state / "certificates" / "localhost.pem").read_bytes(), certificate)
        self.suite.sql("drop table kept")

    def test_nobody_else_can_read_the_state(self):
        for path in [self.suite.state, self.suite.runtime, self.suite.state / "postgresql"]:
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o700, path)
        for path in (self.suite.state / "secrets").iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)
        self.assertEqual(stat.S_IMODE((self.suite.state / "certificates" / "localhost.key").stat().st_mode), 0o600)

    def test_in_the_foreground_an_interrupt_stops_the_suite(self):
        process = subprocess.Popen(
            [self.suite.root / "scripts" / "run", "--binaries", DUMMIES], env=self.suite.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", start_new_session=True,
        )
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, rest)
        self.assertEqual(self.suite.call("supervisor", "status", check=False).returncode, 3)


if __name__ == "__main__":
    unittest.main()
