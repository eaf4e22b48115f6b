# SPDX-License-Identifier: Apache-2.0
"""scripts/compare: what is read off streams, what became of messages, odd input, and the table, without any server."""

import importlib.machinery
import importlib.util
import json
import pathlib
import random
import sys
import tempfile
import unittest

from suite import ROOT

sys.path[1:1] = [str(ROOT / "scripts" / "lib" / name) for name in ("compare", "chaos", "bench")]

import comparison_table
import contenders
import fuzzing
from message_books import MessageBooks
from outcome import Outcome, Scale, judged
from processes import Refusal
from stanza_scanner import StanzaScanner, condition, local_name, parse
from xmpp_client import Ended

LOADER = importlib.machinery.SourceFileLoader("compare", str(ROOT / "scripts" / "compare"))
compare = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", LOADER))
LOADER.exec_module(compare)

HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:ack='urn:ack' id='a>b'>"
STANZAS = [
    b"<stream:features><ack:ack/><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    b"<presence/>", b"<message id='1>2' to=\"a'b\"><body>x &gt; y</body><b xmlns='urn:b'><c/><c d='e'>f</c></b></message>",
    b"<iq type='result' id='q'></iq>",
]


class ScannerTests(unittest.TestCase):
    def test_stanzas_are_found_whatever_pieces_they_come_in(self):
        stream = b"<?xml version='1.0'?>" + HEADER + b" \n".join(STANZAS) + b"</stream:stream>"
        for size in (1, 2, 3, 7, 50, len(stream)):
            scanner, found = StanzaScanner(), []
            for start in range(0, len(stream), size):
                self.assertFalse(scanner.is_closed)
                found += scanner.feed(stream[start:start + size])
            self.assertEqual(found, STANZAS, f"pieces of {size}")
            self.assertEqual(scanner.header, HEADER)
            self.assertTrue(scanner.is_closed)
            self.assertEqual(scanner.buffer, b"")

    def test_a_stanza_has_the_prefixes_of_its_stream(self):
        self.assertEqual(parse(STANZAS[0], HEADER)[0].tag, "{urn:ack}ack")
        self.assertEqual(parse(STANZAS[1], HEADER).tag, "{jabber:client}presence")

    def test_the_condition_of_an_error(self):
        stanza = b"<message type='error'><body>x</body><error type='wait'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        self.assertEqual(condition(parse(stanza, HEADER)), "conflict")
        stream = parse(b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", HEADER)
        self.assertEqual((local_name(stream), condition(stream)), ("error", "host-unknown"))
        self.assertEqual(condition(parse(b"<message type='error'/>", HEADER)), "no condition")


class BookTests(unittest.TestCase):
    """One message each that came, came later, was refused, was lost though it was accepted, vanished, and came twice."""

    def setUp(self):
        self.books = MessageBooks()
        for number, name in enumerate(("live", "late", "refused", "lost", "vanished", "doubled")):
            self.books.send(name, "bob", number, session=1)
        for name in ("live", "late", "lost", "doubled"):
            self.books.accept(name)
        self.books.receive("live", "bob", 1, 10)
        # A copy in another session is none within one.
        self.books.receive("live", "bob", 2, 20)
        self.books.receive("late", "bob", 2, 20)
        self.books.refuse("refused")
        self.books.receive("doubled", "bob", 1, 10)
        self.books.receive("doubled", "bob", 1, 11)

    def test_every_message_is_one_of_these(self):
        tally = self.books.tally()
        self.assertEqual((tally.sent, tally.accepted, tally.refused), (6, 4, 1))
        self.assertEqual((tally.live, tally.late, tally.lost, tally.vanished, tally.doubled), (2, 1, 1, 1, 1))
        self.assertEqual(tally.wrong, 3)
        self.assertEqual(self.books.outstanding(), 2)

    def test_only_a_time_is_asked_for(self):
        self.assertEqual(self.books.tally(since=4).sent, 2)
        self.assertEqual(self.books.tally(before=1).live, 1)
        self.assertEqual(self.books.receivers_of_wrong(since=5), set())
        self.assertEqual(self.books.receivers_of_wrong(), {"bob"})

    def test_what_somebody_else_gets_or_nobody_sent_does_not_count(self):
        self.books.receive("lost", "alice", 1, 10)
        self.books.receive("unknown", "bob", 1, 10)
        self.books.accept("unknown")
        self.books.refuse("unknown")
        self.assertEqual(self.books.tally().lost, 1)

    def test_who_was_away_gets_it_in_any_session(self):
        self.books.send("for the absent", "carol", 1, session=None)
        self.books.receive("for the absent", "carol", 3, 9)
        self.assertEqual(self.books.tally().late, 1)


class OddInputTests(unittest.TestCase):
    def test_the_same_seed_makes_the_same_input(self):
        def make(seed: int) -> list[bytes]:
            generator = random.Random(seed)
            return [fuzzing.stanza(generator, "localhost") for _ in range(300)] + [fuzzing.noise(generator)]

        self.assertEqual(make(1), make(1))
        self.assertNotEqual(make(1), make(2))
        self.assertTrue(all(isinstance(odd, bytes) for odd in make(3)))

    def test_damage_changes_something_now_and_then_and_never_fails(self):
        generator = random.Random(1)
        whole = b"<message to='a'><body>Hello</body></message>"
        self.assertGreater(sum(fuzzing.damaged(generator, whole) != whole for _ in range(200)), 150)
        self.assertEqual(fuzzing.damaged(generator, b""), b"")


class RowTests(unittest.TestCase):
    def test_ten_is_both_its_halves(self):
        self.assertEqual(compare.rows("3,10"), ["3", "10a", "10b"])
        self.assertEqual(compare.rows("10b"), ["10b"])
        with self.assertRaises(Exception):
            compare.rows("7")

    def test_the_sessions_of_an_sm_are_in_its_metrics(self):
        self.assertEqual(contenders.sessions_in("# TYPE jackdaw_sm_sessions gauge\njackdaw_sm_sessions 21\njackdaw_sm_users 3\n"), 21)
        self.assertEqual(contenders.sessions_in(""), 0)

    def test_what_could_not_be_done_is_told_and_missed(self):
        def row(_contender, _scale):
            """what is done"""
            raise Ended("nobody answers\nmore")

        outcome = judged(row, contenders.Contender(), Scale(), keeps=False)
        self.assertEqual((outcome.done, outcome.figure, outcome.is_met), ("what is done", "could not be done: nobody answers", False))

    def test_the_files_of_a_missed_row_of_ours_are_kept(self):
        with tempfile.TemporaryDirectory() as name:
            for is_met, remains in ((False, True), (True, False)):
                contender = contenders.Jackdaw(pathlib.Path())
                contender.directory = pathlib.Path(name) / "state"
                contender.directory.mkdir(exist_ok=True)
                judged(lambda _contender, _scale, is_met=is_met: Outcome("", "", is_met), contender, Scale(), keeps=False)
                self.assertEqual(contender.directory.exists(), remains)


def result(row: str, server: str, figure: str = "0 lost", is_met: bool = True) -> dict:
    return {
        "row": row, "server": server, "done": f"row {row}", "figure": figure, "isMet": is_met, "details": {},
        "date": "2026-11-26T00:00:00+00:00", "loadAverageBefore": 1.25, "version": "1", "command": "scripts/compare",
        "machine": {"cpu": "a CPU", "cores": 2, "kernel": "6"},
    }


class TableTests(unittest.TestCase):
    RESULTS = [result("10a", "jackdaw"), result("4", "jabberd2", "5 lost", False), result("4", "jackdaw")]

    def test_our_figure_is_beside_theirs_in_the_order_of_the_rows(self):
        lines = comparison_table.table(self.RESULTS).splitlines()
        self.assertEqual(lines[0], "| row | what was done | Jackdaw | jabberd2 |")
        self.assertEqual(lines[2:], ["| 4 | row 4 | 0 lost | 5 lost |", "| 10a | row 10a | 0 lost | – |"])

    def test_only_ours_can_be_missed_and_a_later_run_counts(self):
        self.assertEqual(comparison_table.missed(self.RESULTS), [])
        worse = [*self.RESULTS, result("10a", "jackdaw", is_met=False), result("4", "jackdaw", is_met=False)]
        self.assertEqual(comparison_table.missed(worse), ["4", "10a"])
        self.assertIn("0 lost **(missed)**", comparison_table.table(worse))
        self.assertEqual(comparison_table.missed([*worse, *self.RESULTS]), [])

    def test_the_table_goes_between_the_markers(self):
        with tempfile.TemporaryDirectory() as name:
            directory = pathlib.Path(name)
            (directory / "docs").mkdir()
            document = directory / "docs" / "reliability.md"
            document.write_text(f"before\n{comparison_table.BEGIN}\nold\n{comparison_table.END}\nafter\n", encoding="utf-8")
            (directory / "one.jsonl").write_text("\n".join(json.dumps(line) for line in self.RESULTS), encoding="utf-8")
            comparison_table.renew(document, [str(directory / "one.jsonl")])
            text = document.read_text(encoding="utf-8")
            self.assertTrue(text.startswith("before\n") and text.endswith("after\n"))
            self.assertNotIn("old", text)
            self.assertIn("a CPU, 2 cores", text)
            self.assertIn("`one.jsonl`", text)
            (directory / "none.jsonl").write_text("", encoding="utf-8")
            with self.assertRaises(Refusal):
                comparison_table.renew(document, [str(directory / "none.jsonl")])

    def test_the_document_has_the_markers(self):
        text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
        self.assertLess(text.index(comparison_table.BEGIN), text.index(comparison_table.END))


if __name__ == "__main__":
    unittest.main()
