# SPDX-License-Identifier: Apache-2.0
"""scripts/interop-federation: names, what logs and the wire are read for, and the verdicts, without any server."""

import pathlib
import ssl
import string
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom
import xml.etree.ElementTree as ElementTree

from suite import ROOT

LIBRARY = ROOT / "scripts" / "lib" / "federation"
sys.path[1:1] = [str(ROOT / "scripts" / "lib" / name) for name in ("federation", "compare", "chaos", "bench")]

import breakages
import cells
import diagnoses
import names
import negatives
import ours
import peers
import renewals
import stage
import stub_stage
import verdicts
import ways
import wire
from cells import Cell, Stream
from processes import Refusal
from traffic import Account, Traffic


class NameTests(unittest.TestCase):
    def setUp(self):
        self.zones = names.Zones()
        self.zones.host("host.prosody.example", "127.0.0.3", "fd00:fe::3")
        self.zones.service("a.prosody.example", "host.prosody.example")
        self.zones.service("b.prosody.signed.example", "host.prosody.signed.example", None, 5270)
        self.zones.certificate("host.prosody.signed.example", 5270, "ab" * 32)

    def test_each_zone_has_its_own_names(self):
        plain, signed = self.zones.text("example"), self.zones.text(names.SIGNED)
        self.assertIn("_xmpp-server._tcp.a.prosody.example. IN SRV 0 5 5269 host.prosody.example.", plain)
        self.assertIn("host.prosody.example. IN AAAA fd00:fe::3", plain)
        self.assertNotIn("signed", plain)
        self.assertIn("_xmpps-server._tcp.b.prosody.signed.example. IN SRV 0 5 5270", signed)
        self.assertIn(f"_5270._tcp.host.prosody.signed.example. IN TLSA 3 1 1 {'ab' * 32}", signed)
        self.assertNotIn("_xmpp-server", signed)

    def test_no_name_of_the_signed_zone_is_empty(self):
        lines = self.zones.text(names.SIGNED).splitlines()
        owners = {line.split()[0] for line in lines if " TXT " in line}
        self.assertEqual(owners, {
            "_tcp.b.prosody.signed.example.", "b.prosody.signed.example.", "prosody.signed.example.",
            "_tcp.host.prosody.signed.example.", "host.prosody.signed.example.",
        })

    def test_a_domain_has_one_way_in_only(self):
        self.assertEqual(sum("SRV" in line for line in self.zones.lines), 2)


class CellTests(unittest.TestCase):
    def test_every_cell_has_a_pair_of_domains_of_its_own(self):
        for peer in peers.PEERS:
            pairs = [(cell.opener, cell.acceptor) for cell in cells.cells_with(peer)]
            self.assertEqual(len(pairs), len(set(pairs)))
            for opener, acceptor in pairs:
                self.assertNotIn((acceptor, opener), pairs)

    def test_every_domain_of_a_cell_is_one_that_its_server_has(self):
        for cell in cells.cells_with("other"):
            for server in (cell.near, cell.far):
                self.assertIn(cell.domain(server), cells.all_domains(server))


class WireTests(unittest.TestCase):
    """With a real handshake in memory."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="jackdaw-test-")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.pem = pathlib.Path(cls.directory.name) / "both.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a.example",
             "-keyout", cls.pem, "-out", cls.pem.with_suffix(".crt")], check=True, stderr=subprocess.DEVNULL,
        )
        cls.pem.write_text(cls.pem.read_text() + cls.pem.with_suffix(".crt").read_text())

    def handshake(self, version: ssl.TLSVersion) -> tuple[bytes, bytes]:
        client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        client.set_alpn_protocols(["xmpp-server"])
        server.maximum_version = version
        server.load_cert_chain(self.pem)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        near = client.wrap_bio(to_client, to_server, server_hostname="a.example")
        far = server.wrap_bio(to_server, to_client, server_side=True)
        for side in (near, far):
            with self.assertRaises(ssl.SSLWantReadError):
                side.do_handshake()
            if side is near:
                said = to_server.read()
                to_server.write(said)
        return said, to_client.read()

    def test_direct_tls_is_known_by_its_client_hello(self):
        said, answer = self.handshake(ssl.TLSVersion.TLSv1_3)
        seen = wire.judge("127.0.0.3", 5270, said, answer)
        self.assertEqual(
            (seen.is_direct, seen.server_name, seen.alpn, seen.tls), (True, "a.example", ("xmpp-server",), "TLSv1.3"))

    def test_starttls_is_known_by_the_header_in_clear(self):
        said, answer = self.handshake(ssl.TLSVersion.TLSv1_2)
        header = b"<?xml version='1.0'?><stream:stream xmlns='jabber:server' from='b.example' to=\"a.example\" version='1.0'>"
        seen = wire.judge("127.0.0.3", 5269, header + b"<starttls xmlns='x'/>" + said, header + b"<proceed/>" + answer)
        self.assertEqual((seen.is_direct, seen.sender, seen.to, seen.tls), (False, "b.example", "a.example", "TLSv1.2"))

    def test_segments_are_joined_where_one_came_twice_and_one_is_missing(self):
        self.assertEqual(wire.joined({0: b"abc", 2: b"cde", 5: b"f", 9: b"z"}), b"abcdef")

    def test_garbage_is_not_taken_for_a_handshake(self):
        for garbage in (b"\x16\x03\x01", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x16\x03\x01\xff\xff" + b"\x01" * 70):
            seen = wire.judge("127.0.0.3", 5270, garbage, garbage)
            self.assertIsNone(seen.tls)


class LogTests(unittest.TestCase):
    def test_prosody_tells_method_and_version(self):
        log = (
            "Nov 26 15:16:26 s2sin5571	info	Stream encrypted (TLSv1.3 with TLS_AES_256_GCM_SHA384)\n"
            "Nov 26 15:16:26 a.example:saslauth	info	Accepting SASL EXTERNAL identity from b.example\n"
            "Nov 26 15:16:26 s2sin5571	info	Incoming s2s connection b.example->a.example complete\n"
            "Nov 26 15:16:26 s2sout99	info	Stream encrypted (TLSv1.2 with X)\n"
            "Nov 26 15:16:26 s2sout99	debug	sent dialback key on outgoing s2s stream\n"
            "Nov 26 15:16:26 s2sout99	info	Outgoing s2s connection a.example->c.example complete\n"
        )
        self.assertEqual(peers.FederatedProsody.streams_in(log), [
            Stream("b.example", "a.example", "certificate", tls="TLSv1.3"),
            Stream("a.example", "c.example", "dialback", tls="TLSv1.2"),
        ])

    def test_ejabberd_tells_the_method(self):
        log = (
            "[info] <0.1.0>@x (tls|<0.607.0>) Accepted inbound s2s dialback authentication b.example -> a.example (127.0.0.1)\n"
            "[info] <0.1.0>@x (tls|<0.604.0>) Accepted outbound s2s EXTERNAL authentication a.example -> c.example (::1)\n"
        )
        self.assertEqual(peers.FederatedEjabberd.streams_in(log), [
            Stream("b.example", "a.example", "dialback"), Stream("a.example", "c.example", "certificate"),
        ])

    def test_jabberd2_tells_who_opened_the_route_and_whether_there_is_tls(self):
        log = (
            "[notice] [8] [127.0.0.1, port=53] incoming route 'a.example/b.example' is now valid, TLS negotiated\n"
            "[notice] [9] [127.0.0.3, port=5269] outgoing route 'a.example/c.example' is now valid \n"
        )
        self.assertEqual(peers.FederatedJabberd2.streams_in(log), [
            Stream("b.example", "a.example", "dialback"), Stream("a.example", "c.example", "dialback", tls="none"),
        ])

    def test_ours_is_read_line_by_line(self):
        log = (
            "no JSON\n"
            '{"level":"info","message":"x","direction":"in","local":"a.example","remote":"b.example","authentication":"certificate",'
            '"transport":"direct","tls":"TLSv1.3"}\n'
            '{"level":"info","message":"nothing of the kind"}\n'
        )
        self.assertEqual(
            ours.streams_in(log), [Stream("b.example", "a.example", "certificate", "direct", "TLSv1.3")])


class VerdictTests(unittest.TestCase):
    CELL = Cell("jackdaw", "prosody", "certificate", "starttls")

    def judgement(self, works: bool) -> verdicts.Judgement:
        return verdicts.Judgement(self.CELL, {"message": "" if works else "no answer"}, [])

    def test_a_cell_that_starts_to_work_is_as_wrong_as_one_that_stops(self):
        listed = {self.CELL.name: "evidence"}
        self.assertEqual(verdicts.unexpected([self.judgement(True)], {}), [])
        self.assertEqual(verdicts.unexpected([self.judgement(False)], listed), [])
        self.assertIn("no answer", verdicts.unexpected([self.judgement(False)], {})[0])
        self.assertIn("works", verdicts.unexpected([self.judgement(True)], listed)[0])

    def test_both_logs_and_the_wire_must_agree(self):
        cell = self.CELL
        good = Stream(cell.opener, cell.acceptor, "certificate", "starttls", "TLSv1.3")
        link = wire.Seen(stage.address("prosody"), 5269, False, cell.acceptor, cell.opener, None, (), "TLSv1.3")
        self.assertEqual(verdicts.faults_of(cell, {"jackdaw": [good], "prosody": [good]}, [link]), [])
        self.assertEqual(len(verdicts.faults_of(cell, {"jackdaw": [good], "prosody": []}, [link])), 1)
        by_dialback = Stream(cell.opener, cell.acceptor, "dialback", "starttls", "TLSv1.3")
        self.assertEqual(len(verdicts.faults_of(cell, {"jackdaw": [good], "prosody": [by_dialback]}, [link])), 1)
        self.assertEqual(len(verdicts.faults_of(cell, {"jackdaw": [good], "prosody": [good]}, [])), 1)

    def test_the_committed_list_names_cells_that_exist(self):
        known = {cell.name for peer in [*peers.PEERS, "other"] for cell in cells.cells_with(peer)}
        self.assertLessEqual(set(verdicts.read_list(LIBRARY / "cannot.md")), known)

    def test_a_cell_without_evidence_is_refused(self):
        with tempfile.NamedTemporaryFile("w", suffix=".md") as file:
            file.write("- `prosody certificate starttls out`\n")
            file.flush()
            with self.assertRaises(Refusal):
                verdicts.read_list(pathlib.Path(file.name))


class LoadTests(unittest.TestCase):
    def account(self, **changes) -> Account:
        return Account(**({
            "sent": 100, "accepted": 100, "delivered": 100, "refused": 0, "both": 0, "lost": 0, "doubled": 0, "reordered": 0,
            "reasons": {},
        } | changes))

    def test_nothing_may_vanish_or_come_twice(self):
        self.assertEqual(breakages.wrongs(self.account(), [], True), [])
        self.assertEqual(breakages.wrongs(self.account(delivered=95, refused=5), [], True), [])
        for changes in ({"lost": 1}, {"doubled": 1}, {"reordered": 1}, {"delivered": 94, "refused": 6}):
            self.assertEqual(len(breakages.wrongs(self.account(**changes), [], True)), 1, changes)
        # Without resumption nobody can tell what has arrived.
        self.assertEqual(breakages.wrongs(self.account(doubled=1), [], False), [])

    def test_a_message_that_came_with_an_error_is_counted_as_both(self):
        traffic = Traffic(None, None, "a.example", "b.example", pairs=1)
        for number in range(4):
            traffic.books.send(f"0-{number}", "receiver0@b.example", 0.0, 0)
            traffic.books.accept(f"0-{number}")
        for number in (1, 0):
            traffic.received(0, ElementTree.fromstring(f"<message xmlns='jabber:client' id='0-{number}'/>"))
        traffic.came_back(ElementTree.fromstring(
            "<message xmlns='jabber:client' type='error' id='0-1'><error type='wait'><x/><text>in doubt</text></error></message>"))
        account = traffic.account()
        # Its sender was told that nobody knows about it, so it may come at any time; the others may not.
        self.assertEqual((account.delivered, account.lost, account.both, account.reordered), (2, 2, 1, 0))
        self.assertEqual(account.reasons, {"in doubt": 1})
        for number in (3, 2):
            traffic.received(0, ElementTree.fromstring(f"<message xmlns='jabber:client' id='0-{number}'/>"))
        account = traffic.account()
        self.assertEqual((account.delivered, account.lost, account.both, account.reordered), (4, 0, 1, 1))


class NegativeTests(unittest.TestCase):
    def test_each_domain_of_the_stub_has_an_address_of_its_own(self):
        self.assertEqual(len(set(stub_stage.ADDRESSES.values())), len(stub_stage.DOMAINS))

    def test_what_dns_says_of_the_stub_is_in_the_zone_that_it_belongs_to(self):
        zones = names.Zones()
        stub_stage.announce(zones, {each.label: "12" * 32 for each in stub_stage.DOMAINS})
        plain, signed = zones.text("example"), zones.text(names.SIGNED)
        self.assertIn("_xmpp-server._tcp.xn--bcher-kva.stub.example. IN SRV 0 5 5269 host.xn--bcher-kva.stub.example.", plain)
        self.assertIn(f"_5269._tcp.host.dane.stub.signed.example. IN TLSA 3 1 1 {'12' * 32}", signed)
        self.assertNotIn("both-ways", plain)

    def test_each_case_has_a_name_of_its_own(self):
        names_of_cases = [name for name, _ in ways.CASES + negatives.CASES + diagnoses.CASES + renewals.CASES]
        self.assertEqual(len(names_of_cases), len(set(names_of_cases)))


class TemplateTests(unittest.TestCase):
    def test_all_names_in_the_templates_are_filled_in(self):
        known = dict.fromkeys(
            ("address", "address6", "port", "directory", "trusted", "anchor", "hosts", "certificate", "certificates", "key", "local",
             "clients", "pem", "database", "password"), "x")
        templates = [path for path in LIBRARY.rglob("*") if path.suffix in (".yml", ".lua", ".xml")]
        self.assertEqual(len(templates), 4)
        for path in templates:
            filled = string.Template(path.read_text(encoding="utf-8")).substitute(known)
            self.assertNotIn("$", filled, path.name)
            if path.suffix == ".xml":
                xml.dom.minidom.parseString(filled)

    def test_the_configuration_of_jabberd2_is_that_of_the_benchmark_over_files(self):
        text = (peers.Jabberd2.templates / "jabberd2" / "sm.xml").read_text(encoding="utf-8")
        made = peers.with_files(text, pathlib.Path("/x/jabberd2.sqlite"), ("a.example", "b.example"))
        self.assertIn("<local><id>a.example</id><id>b.example</id></local>", made)
        self.assertIn("<dbname>/x/jabberd2.sqlite</dbname>", made)
        self.assertNotIn("pgsql", made)
        with self.assertRaises(Refusal):
            peers.with_files(made, pathlib.Path("/x"), ("a.example",))
