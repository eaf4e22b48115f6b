# SPDX-License-Identifier: Apache-2.0
"""Where the state goes, and how it is saved, restored and given another domain."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest

from suite import DUMMIES, IS_ROOT, ROOT, Suite, free_port_range, until

# Inside a mount namespace, so that /var/lib/jackdaw and /run/jackdaw of this machine are not touched.
PRIVATE = """
set -euo pipefail
mount --make-rprivate /
mkdir -p /var/lib/jackdaw
mount -t tmpfs none /var/lib/jackdaw
mount -t tmpfs none /run
chown jackdaw: /var/lib/jackdaw
echo {port} >/var/lib/jackdaw/dummy-port
cd {clone}
trap 'scripts/supervisor stop' EXIT
scripts/run --detach --binaries {clone}/Tests/scripts/dummy
scripts/supervisor status --json >{answer}
ls -ld /var/lib/jackdaw/jackdaw.yml /run/jackdaw/.s.PGSQL.5432
! ls {clone}/var/jackdaw.yml
"""


def copy_of_checkout(place: pathlib.Path) -> pathlib.Path:
    for part in ("scripts", "Tests/scripts", "etc"):
        shutil.copytree(ROOT / part, place / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return place


class BackupTests(unittest.TestCase):
    def setUp(self):
        self.suite = Suite()
        self.addCleanup(self.suite.remove)
        self.suite.start()
        self.file = self.suite.directory / "backup.tar"

    def test_a_backup_of_a_running_suite_restores_all_of_it(self):
        self.suite.sql("create table kept as select 'für später' as word")
        secret = (self.suite.state / "secrets" / "router-c2s").read_bytes()
        self.suite.call("backup", str(self.file))
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.assertTrue(self.suite.status()["c2s-1"]["connected"])

        self.suite.sql("drop table kept")
        (self.suite.state / "secrets" / "router-c2s").write_bytes(b"another\n")
        refused = self.suite.call("restore", str(self.file), check=False)
        self.assertEqual(refused.returncode, 73)
        self.assertIn("--force", refused.stdout)
        self.assertTrue(self.suite.status()["c2s-1"]["connected"])

        self.suite.call("restore", "--force", str(self.file))
        self.suite.start()
        self.assertEqual(self.suite.sql("select word from kept"), "für später")
        self.assertEqual((self.suite.state / "secrets" / "router-c2s").read_bytes(), secret)
        kept = list(self.suite.state.glob("before-restore-*/secrets/router-c2s"))
        self.assertEqual([path.read_bytes() for path in kept], [b"another\n"])

    def test_a_backup_restores_into_another_place(self):
        self.suite.sql("create table kept as select 1 as x")
        self.suite.call("backup", str(self.file))
        self.suite.call("supervisor", "stop")
        other = Suite()
        self.addCleanup(other.remove)
        other.call("restore", str(self.file))
        other.start()
        self.assertEqual(other.sql("select x from kept"), "1")

    def test_restored_rosters_have_versions_of_their_own(self):
        # What SM's migrations make; clients may have seen later versions than the backup's.
        self.suite.sql("create table users (roster_epoch text default left(gen_random_uuid()::text, 8))")
        self.suite.sql("insert into users default values")
        before = self.suite.sql("select roster_epoch from users")
        self.suite.call("backup", str(self.file))
        self.suite.call("restore", "--force", str(self.file))
        self.suite.start()
        after = self.suite.sql("select roster_epoch from users")
        self.assertEqual(len(after), 8)
        self.assertNotEqual(after, before)

    def test_an_interrupted_command_leaves_no_cluster_behind(self):
        self.suite.call("supervisor", "stop")
        socket = self.suite.runtime / ".s.PGSQL.5432"
        script = f". {self.suite.state}/lib/database.sh; with_cluster {self.suite.state} {self.suite.runtime} sleep 600"
        as_owner = ["setpriv", "--reuid=jackdaw", "--regid=jackdaw", "--init-groups", "--"] if IS_ROOT else []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # bash ignores interrupts of a child in the background, so it is a session of its own.
            process = subprocess.Popen(
                [*as_owner, "bash", "-euc", script], cwd="/", start_new_session=True, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            until(socket.exists, "the start of the cluster")
            until(lambda: subprocess.run(["pgrep", "-s", str(process.pid), "-x", "sleep"],
                                         stdout=subprocess.DEVNULL, check=False).returncode == 0, "the command")
            os.killpg(process.pid, number)
            process.communicate(timeout=60)
            self.assertNotEqual(process.returncode, 0)
            self.assertFalse(socket.exists(), number)
        self.suite.start()
        self.assertTrue(self.suite.status()["sm-1"]["connected"])

    def test_what_is_no_backup_changes_nothing(self):
        self.file.write_text("no archive\n", encoding="ascii")
        before = (self.suite.state / "jackdaw.yml").read_bytes()
        self.assertEqual(self.suite.call("restore", "--force", str(self.file), check=False).returncode, 65)
        self.assertEqual((self.suite.state / "jackdaw.yml").read_bytes(), before)
        self.assertEqual(list(self.suite.state.glob("before-restore-*")), [])


class DomainTests(unittest.TestCase):
    def setUp(self):
        self.suite = Suite()
        self.addCleanup(self.suite.remove)
        self.suite.start()
        self.configuration = self.suite.state / "jackdaw.yml"
        self.before = self.configuration.read_text(encoding="utf-8")

    def names(self, certificate: str) -> str:
        path = self.suite.state / "certificates" / certificate
        command = ["openssl", "x509", "-in", path, "-noout", "-ext", "subjectAltName"]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout

    def test_another_domain_gets_a_certificate_and_the_rest_of_the_file_stays(self):
        words = self.suite.call("set-domain", "Chat.Example.org").stdout
        self.assertIn("The suite was restarted", words)
        self.assertEqual(
            self.configuration.read_text(encoding="utf-8"),
            self.before.replace("- name: 'localhost'", "- name: 'chat.example.org'"),
        )
        self.assertIn("DNS:chat.example.org", self.names("chat.example.org.pem"))

        # The two spellings of an internationalised name are one.
        for spelling in ("xn--mller-kva.example", "MÜLLER.example"):
            words = self.suite.call("set-domain", spelling).stdout
            self.assertIn("The domain is müller.example now", words)
            self.assertIn("- name: 'müller.example'", self.configuration.read_text(encoding="utf-8"))
            self.assertIn("DNS:xn--mller-kva.example", self.names("xn--mller-kva.example.pem"))

    def test_what_is_no_domain_or_has_no_certificate_changes_nothing(self):
        pids = self.suite.pids()
        for name in ("no domain", "my_host", "a'b", ""):
            refused = self.suite.call("set-domain", name, check=False)
            self.assertNotEqual(refused.returncode, 0, name)
            self.assertIn("nothing was changed", refused.stdout)
        half = self.suite.state / "certificates" / "half.example.pem"
        half.write_text("an authority's\n", encoding="ascii")
        refused = self.suite.call("set-domain", "half.example", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(f"{half} is there", refused.stdout)
        self.assertIn("nothing was changed", refused.stdout)
        self.assertEqual(half.read_text(encoding="ascii"), "an authority's\n")
        self.assertEqual(self.configuration.read_text(encoding="utf-8"), self.before)
        self.assertFalse((self.suite.state / "jackdaw.yml.new").exists())
        self.assertEqual(self.suite.pids(), pids)

    def test_the_files_of_the_former_domain_do_not_stay_with_the_new_one(self):
        own = "    certificate: /etc/old/chain.pem\n    registration: true\n    key: /etc/old/key.pem\n"
        second = "  - name: 'second.example'\n    certificate: /etc/second/chain.pem\n    key: /etc/second/key.pem\n"
        text = self.before.replace("  - name: 'localhost'\n", f"  - name: 'localhost'\n{own}{second}")
        self.configuration.write_text(text, encoding="utf-8")
        words = self.suite.call("set-domain", "chat.example.org").stdout
        self.assertIn("chat.example.org.pem", words)
        self.assertIn("/etc/old/chain.pem", words)
        after = self.configuration.read_text(encoding="utf-8")
        commented = "    # certificate: /etc/old/chain.pem\n    registration: true\n    # key: /etc/old/key.pem\n"
        self.assertIn(f"  - name: 'chat.example.org'\n{commented}{second}", after)


class PlaceTests(unittest.TestCase):
    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_a_clone_in_a_private_home_keeps_its_state_outside(self):
        # scripts/run makes the user; the namespace of the test needs it before.
        with tempfile.TemporaryDirectory(prefix="jackdaw-test-", dir="/root") as home:
            clone = copy_of_checkout(pathlib.Path(home) / "clone")
            answer = pathlib.Path(home) / "answer"
            if subprocess.run(["id", "jackdaw"], check=False, capture_output=True).returncode != 0:
                subprocess.run(["useradd", "--system", "--user-group", "--home-dir", "/var/lib/jackdaw", "jackdaw"])
            environment = {k: v for k, v in os.environ.items() if not k.startswith("JACKDAW_")}
            result = subprocess.run(
                ["unshare", "-m", "bash", "-c", PRIVATE.format(clone=clone, answer=answer, port=free_port_range())],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False, env=environment,
            )
            with contextlib.suppress(OSError):
                os.rmdir("/var/lib/jackdaw")
            self.assertEqual(result.returncode, 0, result.stdout)
            self.assertIn("out of reach for the user jackdaw", result.stdout)
            rows = json.loads(answer.read_text(encoding="utf-8"))
            self.assertTrue(rows and all(row["connected"] for row in rows), rows)

    @unittest.skipUnless(IS_ROOT, "needs root, to become another user")
    def test_another_user_runs_everything_as_itself(self):
        with tempfile.TemporaryDirectory(prefix="jackdaw-test-", dir="/tmp") as home:
            clone = copy_of_checkout(pathlib.Path(home) / "clone")
            (clone / "var").mkdir()
            (clone / "var" / "dummy-port").write_text(f"{free_port_range()}\n", encoding="ascii")
            subprocess.run(["chown", "-R", "nobody", home], check=True)
            as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "-i",
                         "PATH=/usr/bin:/bin", "HOME=/nonexistent"]
            steps = [["run", "--detach", "--binaries", str(DUMMIES)], ["supervisor", "status"], ["supervisor", "stop"]]
            words = ""
            for step in steps:
                result = subprocess.run(
                    as_nobody + [str(clone / "scripts" / step[0]), *step[1:]], stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, encoding="utf-8", check=False, cwd=clone,
                )
                self.assertEqual(result.returncode, 0, result.stdout)
                words += result.stdout
            self.assertIn("as the user nobody", words)
            self.assertEqual((clone / "var" / "jackdaw.yml").owner(), "nobody")

    def test_a_path_too_long_for_a_socket_is_said_so(self):
        suite = Suite()
        self.addCleanup(suite.remove)
        suite.environment["JACKDAW_RUN"] = str(suite.directory / ("x" * 90))
        answer = suite.call("run", "--detach", "--binaries", str(DUMMIES), check=False)
        self.assertEqual(answer.returncode, 78)
        self.assertIn("too long for a Unix socket", answer.stdout)


if __name__ == "__main__":
    unittest.main()
