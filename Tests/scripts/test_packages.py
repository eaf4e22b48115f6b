# SPDX-License-Identifier: Apache-2.0
"""scripts/install-packages with stand-ins for apt and dpkg, in a root directory of its own."""

import pathlib
import subprocess
import tempfile
import unittest

from suite import IS_ROOT, ROOT


@unittest.skipUnless(IS_ROOT, "needs root")
class InstallPackagesTests(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="jackdaw-test-")
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        (self.root / "bin").mkdir()
        (self.root / "usr/sbin").mkdir(parents=True)
        self.policy = self.root / "usr/sbin/policy-rc.d"
        self.drop_in = self.root / "etc/postgresql-common/createcluster.d/jackdaw.conf"
        # Nothing is installed; an installation asks the guard, as invoke-rc.d does, and shows what it says.
        self.program("dpkg-query", "exit 1")
        self.program("systemctl", 'echo "systemctl $*"')
        self.apt_ends_with(0)

    def program(self, name: str, body: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="ascii")
        path.chmod(0o755)

    def apt_ends_with(self, code: int) -> None:
        self.program(
            "apt-get",
            f'[ "$1" = update ] && exit 0\n{self.policy}; echo "guard says $?"\ncat {self.drop_in}\n'
            f'echo "$@"\nexit {code}',
        )

    def install(self, *prefix: str) -> subprocess.CompletedProcess:
        environment = {"PATH": f"{self.root}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "JACKDAW_SYSTEM_ROOT": str(self.root)}
        return subprocess.run(
            [*prefix, str(ROOT / "scripts/install-packages")], env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", check=False,
        )

    def test_services_are_kept_from_starting_for_the_time_of_the_installation(self):
        result = self.install()
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("guard says 101", result.stdout)
        self.assertIn("create_main_cluster = false", result.stdout)
        self.assertIn("systemctl disable --quiet supervisor", result.stdout)
        self.assertFalse(self.policy.exists())
        self.assertFalse(self.drop_in.exists())

    def test_the_guard_goes_also_when_the_installation_fails(self):
        self.apt_ends_with(100)
        self.assertEqual(self.install().returncode, 100)
        self.assertFalse(self.policy.exists())
        self.assertFalse(self.drop_in.exists())

    def test_a_policy_of_the_machine_comes_back(self):
        for code in (0, 100):
            self.policy.write_text("#!/bin/sh\n# the machine's own\nexit 0\n", encoding="ascii")
            self.policy.chmod(0o755)
            self.apt_ends_with(code)
            result = self.install()
            self.assertIn("guard says 101", result.stdout)
            self.assertIn("the machine's own", self.policy.read_text(encoding="ascii"))

    def test_what_a_killed_installation_left_behind_is_cleared(self):
        self.policy.write_text("#!/bin/sh\n# the machine's own\nexit 0\n", encoding="ascii")
        self.policy.chmod(0o755)
        apt = self.root / "bin/apt-get"
        apt.write_text(apt.read_text(encoding="ascii") + "\n", encoding="ascii")
        self.program("apt-get", '[ "$1" = update ] && exit 0\nkill -9 $PPID')
        self.assertEqual(self.install().returncode, -9)
        self.assertIn("put here by jackdaw", self.policy.read_text(encoding="ascii"))
        self.apt_ends_with(0)
        self.assertEqual(self.install().returncode, 0)
        self.assertIn("the machine's own", self.policy.read_text(encoding="ascii"))

    def test_what_is_too_old_to_build_with_is_renewed(self):
        for version, installs in (("2.5.0-1+deb12u1", True), ("2.5.0-1+deb12u2", False), ("2.6.4-1", False)):
            self.program("dpkg-query", f'case $* in *Status*) printf installed ;; *) printf "{version}" ;; esac')
            result = self.install()
            self.assertEqual(result.returncode, 0, result.stdout)
            self.assertEqual("install -q -y --no-install-recommends libexpat1-dev" in result.stdout, installs, version)

    def test_another_user_is_told_what_is_missing(self):
        self.root.chmod(0o755)
        result = self.install("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
        self.assertEqual(result.returncode, 69)
        self.assertIn("libssl-dev", result.stdout)
        self.assertIn("sudo apt-get install --no-install-recommends", result.stdout)


if __name__ == "__main__":
    unittest.main()
