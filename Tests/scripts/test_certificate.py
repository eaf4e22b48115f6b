# SPDX-License-Identifier: Apache-2.0
"""The self-signed certificates that the scripts make."""

import pathlib
import subprocess
import tempfile
import unittest

from suite import ROOT

MAKE = ROOT / "scripts" / "lib" / "make-certificate"


class CertificateTests(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="jackdaw-test-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.certificate = self.directory / "certificates" / "one.pem"
        self.key = self.directory / "certificates" / "one.key"

    def make(self, domain: str, **environment) -> subprocess.CompletedProcess:
        return subprocess.run(
            [MAKE, self.certificate, self.key, domain], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", check=False, env={"PATH": "/usr/bin:/bin"} | environment,
        )

    def text(self) -> str:
        command = ["openssl", "x509", "-in", self.certificate, "-noout", "-subject", "-ext", "subjectAltName"]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout

    def test_it_is_for_the_domain_and_stays_when_it_is_there(self):
        first = self.make("chat.example.org")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertRegex(first.stdout, r"^([0-9A-F]{2}:){31}[0-9A-F]{2}\n$")
        self.assertIn("CN = chat.example.org", self.text())
        self.assertIn("DNS:chat.example.org", self.text())
        self.assertEqual(self.key.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.make("other.example").stdout, first.stdout)

    def test_half_of_a_pair_is_left_alone_and_told(self):
        for present, absent in ((self.certificate, self.key), (self.key, self.certificate)):
            present.parent.mkdir(exist_ok=True)
            present.write_text("an authority's\n", encoding="ascii")
            result = self.make("chat.example.org")
            self.assertEqual(result.returncode, 78)
            self.assertIn(f"{present} is there", result.stderr)
            self.assertIn(str(absent), result.stderr)
            self.assertEqual(present.read_text(encoding="ascii"), "an authority's\n")
            self.assertFalse(absent.exists())
            present.unlink()

    def test_a_name_that_is_too_long_for_a_common_name_is_an_alternative_name(self):
        name = ".".join(["a" * 30, "b" * 30, "example"])
        result = self.make(name)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"DNS:{name}", self.text())
        self.assertNotIn("CN", self.text())

    def test_an_address_is_an_address(self):
        self.assertEqual(self.make("[2001:db8::1]").returncode, 0)
        self.assertIn("IP Address:2001:DB8:0:0:0:0:0:1", self.text())

    def test_what_openssl_has_against_it_is_told_and_nothing_is_left(self):
        programs = self.directory / "bin"
        programs.mkdir()
        program = programs / "openssl"
        program.write_text("#!/bin/sh\necho 'no entropy' >&2\nexit 1\n", encoding="ascii")
        program.chmod(0o755)
        result = self.make("chat.example.org", PATH=f"{programs}:/usr/bin:/bin")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("no entropy", result.stderr)
        self.assertEqual(list(self.certificate.parent.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
