# SPDX-License-Identifier: Apache-2.0
"""SCRAM-*-PLUS by an independent client: both binding types, TLS 1.2 and 1.3, both ports; attacks are refused."""

import unittest

import running
from OpenSSL import SSL
from running import PASSWORD
from scram_client import BINDINGS, HASHES, SASL, authenticate, connected

VERSIONS = {"TLS 1.3": SSL.TLS1_3_VERSION, "TLS 1.2": SSL.TLS1_2_VERSION}


class ChannelBindingTests(unittest.TestCase):
    def stream(self, direct: bool = False, version: int | None = SSL.TLS1_3_VERSION):
        stream, self.features = connected(running.suite.ports, direct, version)
        self.addCleanup(stream.close)
        return stream

    def log_in(self, mechanism: str, header: str, binding=None, user: str = "alice", password: str = PASSWORD, **tls):
        stream = self.stream(**tls)
        return authenticate(stream, mechanism, user, password, header, binding(stream) if binding else b"")

    def test_the_features_tell_mechanisms_and_bindings(self):
        self.stream()
        offered = [element.text for element in self.features.findall(f"{SASL}mechanisms/{SASL}mechanism")]
        for name in HASHES:
            self.assertIn(name, offered)
            self.assertIn(f"{name}-PLUS", offered)
        self.assertIn("PLAIN", offered)
        types = [element.get("type") for element in self.features.findall(f".//{BINDINGS}channel-binding")]
        self.assertEqual(sorted(types), ["tls-exporter", "tls-server-end-point"])

    def test_every_hash_logs_in_with_both_bindings_on_both_ports_and_versions(self):
        for version_name, version in VERSIONS.items():
            for direct in (False, True):
                for mechanism in HASHES:
                    for kind, binding in (
                        ("tls-exporter", lambda stream: stream.exporter()),
                        ("tls-server-end-point", lambda stream: stream.server_end_point()),
                    ):
                        with self.subTest(version=version_name, direct=direct, mechanism=mechanism, kind=kind):
                            outcome = self.log_in(
                                f"{mechanism}-PLUS", f"p={kind},,", binding, direct=direct, version=version
                            )
                            self.assertEqual(outcome.condition, "success")
                            self.assertGreaterEqual(outcome.iterations, 10_000)

    def test_every_hash_logs_in_without_binding(self):
        for mechanism in HASHES:
            self.assertEqual(self.log_in(mechanism, "n,,").condition, "success")

    def test_a_wrong_binding_is_refused(self):
        for kind in ("tls-exporter", "tls-server-end-point"):
            outcome = self.log_in("SCRAM-SHA-256-PLUS", f"p={kind},,", lambda stream: bytes(32))
            self.assertEqual(outcome.condition, "not-authorized", kind)

    def test_the_data_of_the_other_binding_is_refused(self):
        outcome = self.log_in("SCRAM-SHA-256-PLUS", "p=tls-exporter,,", lambda stream: stream.server_end_point())
        self.assertEqual(outcome.condition, "not-authorized")

    def test_a_binding_of_another_connection_is_refused(self):
        other = self.stream()
        outcome = self.log_in("SCRAM-SHA-256-PLUS", "p=tls-exporter,,", lambda stream: other.exporter())
        self.assertEqual(outcome.condition, "not-authorized")

    def test_a_downgrade_is_refused(self):
        # "y": the client knows binding and believes that the server does not (RFC 5802, section 6).
        for mechanism in HASHES:
            outcome = self.log_in(mechanism, "y,,")
            self.assertNotEqual(outcome.condition, "success", mechanism)

    def test_plus_without_binding_and_binding_without_plus_are_refused(self):
        self.assertNotEqual(self.log_in("SCRAM-SHA-256-PLUS", "n,,").condition, "success")
        outcome = self.log_in("SCRAM-SHA-256", "p=tls-exporter,,", lambda stream: stream.exporter())
        self.assertNotEqual(outcome.condition, "success")

    def test_an_unknown_binding_is_refused(self):
        outcome = self.log_in("SCRAM-SHA-256-PLUS", "p=tls-unique,,", lambda stream: bytes(12))
        self.assertNotEqual(outcome.condition, "success")

    def test_an_unknown_user_looks_like_a_wrong_password(self):
        wrong = self.log_in("SCRAM-SHA-256", "n,,", password="wrong")
        first = self.log_in("SCRAM-SHA-256", "n,,", user="nobody")
        second = self.log_in("SCRAM-SHA-256", "n,,", user="nobody")
        other = self.log_in("SCRAM-SHA-256", "n,,", user="nobody2")
        self.assertEqual(wrong.condition, "not-authorized")
        self.assertEqual((first.condition, first.iterations), (wrong.condition, wrong.iterations))
        self.assertEqual(len(first.salt), len(wrong.salt))
        self.assertEqual(first.salt, second.salt)
        self.assertNotEqual(first.salt, other.salt)
