# SPDX-License-Identifier: Apache-2.0
"""scripts/instructions: what is read off a profile, and what is a fault, without callgrind."""

import importlib.machinery
import importlib.util
import json
import unittest

from suite import ROOT

LOADER = importlib.machinery.SourceFileLoader("instructions", str(ROOT / "scripts" / "instructions"))
instructions = importlib.util.module_from_spec(importlib.util.spec_from_loader("instructions", LOADER))
LOADER.exec_module(instructions)

PROFILE = """\
# callgrind format
positions: line
events: Ir
summary: 1234

fn=(1) main
16 400
cob=(3) /lib/libc.so.6
cfn=(2) malloc
calls=7 0
16 300
cfn=(3) realloc
calls=2 0
16 50

ob=(3)
fn=(3)
0 10
cfn=(2)
calls=2 0
0 20
fn=(4) other
0 5
cfn=(2)
calls=1 0
0 20
cfn=(5) malloc_usable_size
calls=9 0
0 20
cfn=(6) malloc'2
calls=3 0
0 20

totals: 1234
"""


def part(instructions: int = 1000, allocations: float = 2.0) -> dict:
    return {"instructions": instructions, "allocations": allocations}


class ProfileTests(unittest.TestCase):
    def test_calls_of_allocators_count_but_those_among_themselves(self):
        self.assertEqual(instructions.parse(PROFILE), {"instructions": 1234, "allocations": 7 + 2 + 1 + 3})

    def test_a_profile_without_names_is_no_profile_without_allocations(self):
        with self.assertRaises(SystemExit):
            instructions.parse("fn=(1) main\n0 5\ntotals: 5\n")
        with self.assertRaises(SystemExit):
            instructions.parse("")


class FaultTests(unittest.TestCase):
    def test_a_tenth_more_is_none(self):
        self.assertEqual(instructions.faults({"a": part(1100, 2.2)}, {"a": part()}), [])
        self.assertEqual(instructions.faults({"a": part(10, 0.0)}, {"a": part()}), [])

    def test_more_is_named_with_its_part_and_its_share(self):
        self.assertEqual(
            instructions.faults({"a": part(1250), "b": part()}, {"a": part(), "b": part()}),
            ["a: 1,250 instructions, 25.0% more than the 1,000 in Benchmarks/instructions.json"],
        )
        self.assertEqual(
            instructions.faults({"a": part(allocations=3.01)}, {"a": part()}),
            ["a: 3.01 allocations, 50.5% more than the 2.0 in Benchmarks/instructions.json"],
        )

    def test_where_nothing_was_allocated_anything_is_too_much(self):
        self.assertEqual(
            instructions.faults({"a": part(allocations=0.01)}, {"a": part(allocations=0.0)}),
            ["a: 0.01 allocations, and none in Benchmarks/instructions.json"],
        )

    def test_a_part_on_one_side_only_is_a_fault(self):
        self.assertEqual(
            instructions.faults({"new": part()}, {"old": part()}),
            ["old: is in Benchmarks/instructions.json and was not measured", "new: is not in Benchmarks/instructions.json"],
        )

    def test_the_figures_that_are_kept_have_both_counts(self):
        known = json.loads(instructions.FIGURES.read_text(encoding="utf-8"))
        self.assertTrue(known)
        for name, figures in known.items():
            self.assertEqual(set(figures), {"instructions", "allocations"}, name)
        self.assertEqual(instructions.faults(known, known), [])


if __name__ == "__main__":
    unittest.main()
