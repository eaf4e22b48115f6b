# SPDX-License-Identifier: Apache-2.0
"""The units of systemd: it understands them, and one process is confined as the others are."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

from suite import ROOT

UNITS = ROOT / "etc" / "systemd"
COMPONENTS = ["router", "sm", "s2s", "c2s"]
# What one process needs and another does not.
OWN = ("IPAddress", "LimitNOFILE=", "ExecStart=")


def settings(component: str) -> list[str]:
    lines = (UNITS / f"jackdaw-{component}@.service").read_text(encoding="utf-8").splitlines()
    service = lines[lines.index("[Service]"):lines.index("[Install]")]
    return [line for line in service if not line.startswith(("#", *OWN))]


class UnitTests(unittest.TestCase):
    def test_all_processes_are_confined_alike(self):
        for component in COMPONENTS:
            self.assertEqual(settings(component), settings("router"), component)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze")
    def test_systemd_has_nothing_to_complain_of(self):
        with tempfile.TemporaryDirectory(prefix="jackdaw-test-") as directory:
            for unit in UNITS.iterdir():
                text = unit.read_text(encoding="utf-8")
                # The executables are not installed here.
                for component in COMPONENTS:
                    text = text.replace(f"/usr/local/bin/jackdaw-{component}", "/bin/true")
                (pathlib.Path(directory) / unit.name).write_text(text, encoding="utf-8")
            for unit in sorted(pathlib.Path(directory).iterdir()):
                result = subprocess.run(
                    ["systemd-analyze", "verify", "--man=no", unit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    encoding="utf-8", check=False,
                )
                self.assertEqual((result.returncode, result.stdout), (0, ""), unit.name)


if __name__ == "__main__":
    unittest.main()
