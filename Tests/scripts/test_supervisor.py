# SPDX-License-Identifier: Apache-2.0
"""scripts/run and scripts/supervisor over stand-ins for the executables, with a real PostgreSQL."""

import os
import pathlib
import signal
import socket
import stat
import subprocess
import threading
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
        for component in ("c2s", "sm"):
            self.suite.call("supervisor", "scale", component, "1")

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
        self.assertEqual([row["instance"] for row in rows], ["postgresql", "router-1", "sm-1", "s2s-1", "c2s-1"])
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

    def test_session_managers_can_be_scaled(self):
        first = self.suite.pids()
        self.suite.call("supervisor", "scale", "sm", "3")
        self.assertEqual(self.suite.pids() | first, self.suite.pids())
        self.assertIn("sm-3", self.suite.pids())
        self.suite.call("supervisor", "scale", "sm", "1")
        self.assertEqual(self.suite.pids(), first)

    def test_the_instances_of_a_component_restart_one_after_the_other(self):
        self.suite.call("supervisor", "scale", "c2s", "3")
        before = self.suite.pids()
        with Watch(self.suite, "c2s", 3) as watch:
            self.suite.call("supervisor", "restart", "c2s")
        self.assertEqual(watch.fewest, 2)
        after = self.suite.pids()
        for name, pid in before.items():
            self.assertEqual(after[name] == pid, not name.startswith("c2s"), name)

    def test_a_rolling_restart_ends_with_the_first_that_does_not_get_ready(self):
        self.suite.call("supervisor", "scale", "c2s", "3")
        before = self.suite.pids()
        broken = self.suite.state / "fail-c2s-2"
        broken.touch()
        answer = self.suite.call("supervisor", "restart", "c2s", "--timeout", "2", check=False)
        broken.unlink()
        self.assertEqual(answer.returncode, 69)
        self.assertIn("not ready after 2 s: c2s-2", answer.stdout)
        self.assertEqual(self.suite.pids()["c2s-3"], before["c2s-3"])

    def test_all_processes_are_told_of_another_router(self):
        first = self.suite.pids()
        for number in (2, 1):
            known = {name: self.suite.log(name).count("reloads") for name in first if name != "postgresql"}
            self.suite.call("supervisor", "scale", "router", str(number))
            self.assertEqual((self.suite.state / "supervisor" / "scale-router").read_text(), f"{number}\n")
            for name, count in known.items():
                until(lambda: self.suite.log(name).count("reloads") > count, f"the reload of {name}")
            self.assertEqual(first | self.suite.pids(), self.suite.pids())
        self.assertNotIn("router-2", self.suite.pids())

    def test_what_cannot_be_scaled_is_refused_with_the_reason(self):
        before = self.suite.pids()
        answer = self.suite.call("supervisor", "scale", "postgresql", "2", check=False)
        self.assertEqual(answer.returncode, 64)
        self.assertIn("one server", answer.stdout)
        self.assertEqual(self.suite.call("supervisor", "scale", "router", "9", check=False).returncode, 64)
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


class Watch:
    """How many processes of a component answer, at the worst moment."""

    def __init__(self, suite: Suite, component: str, number: int):
        first = int((suite.state / "dummy-port").read_text(encoding="ascii")) + {"router": 0, "c2s": 10, "sm": 20}[component]
        self.ports = range(first, first + number)
        self.fewest = number
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()

    def watch(self) -> None:
        while not self.is_over.wait(0.01):
            self.fewest = min(self.fewest, sum(self.answers(port) for port in self.ports))

    def answers(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


class UpgradeTests(unittest.TestCase):
    """A build is a directory of stand-ins; which one runs is in the text of its files."""

    @classmethod
    def setUpClass(cls):
        cls.suite = Suite()
        cls.suite.start()
        cls.suite.call("supervisor", "scale", "c2s", "2")

    @classmethod
    def tearDownClass(cls):
        cls.suite.remove()

    def setUp(self):
        self.before = self.suite.pids()

    def build(self, mark: str, *broken: str) -> pathlib.Path:
        """Another build; those of its executables that are broken end at once."""
        directory = self.suite.directory / f"build-{mark}"
        directory.mkdir()
        for path in DUMMIES.iterdir():
            text = path.read_text(encoding="utf-8") + f"# {mark}\n"
            if path.name in broken:
                text = f"#!/bin/sh\n# {mark}\nexit 78\n"
            (directory / path.name).write_text(text, encoding="utf-8")
            (directory / path.name).chmod(0o755)
        return directory

    def upgrade(self, directory: pathlib.Path):
        return self.suite.call("supervisor", "upgrade", "--binaries", str(directory), "--timeout", "3", check=False)

    def marks(self) -> set[str]:
        """What runs is what is there."""
        names = ("jackdaw-router", "jackdaw-sm", "jackdaw-c2s", "jackdawctl")
        return {(self.suite.state / "bin" / name).read_text(encoding="utf-8").splitlines()[-1] for name in names}

    def test_every_process_but_the_database_is_replaced_one_after_the_other(self):
        with Watch(self.suite, "c2s", 2) as watch:
            answer = self.upgrade(self.build("second"))
        self.assertEqual(answer.returncode, 0, answer.stdout)
        self.assertEqual(watch.fewest, 1)
        self.assertEqual(self.marks(), {"# second"})
        after = self.suite.pids()
        self.assertEqual({name for name in after if after[name] == self.before[name]}, {"postgresql"})

    def test_a_build_that_finds_fault_with_the_configuration_is_not_put_in(self):
        mark = self.marks()
        (self.suite.state / "fail-check").write_text("error: the schema is newer", encoding="utf-8")
        answer = self.upgrade(self.build("third"))
        (self.suite.state / "fail-check").unlink()
        self.assertEqual(answer.returncode, 78)
        self.assertIn("the schema is newer", answer.stdout)
        self.assertEqual(self.marks(), mark)
        self.assertEqual(self.suite.pids(), self.before)

    def test_where_a_process_does_not_get_ready_the_former_build_comes_back(self):
        mark = self.marks()
        answer = self.upgrade(self.build("fourth", "jackdaw-sm"))
        self.assertEqual(answer.returncode, 70)
        self.assertIn("the former one runs again", answer.stdout)
        self.assertEqual(self.marks(), mark)
        after = self.suite.status()
        self.assertTrue(all(row["connected"] for row in after.values()), after)
        # C2S was never touched.
        self.assertEqual({name for name in after if after[name]["pid"] == self.before[name]}, {"postgresql", "s2s-1", "c2s-1", "c2s-2"})


if __name__ == "__main__":
    unittest.main()
