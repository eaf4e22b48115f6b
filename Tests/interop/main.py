# SPDX-License-Identifier: Apache-2.0
"""usage: main.py BINARIES [test ...]: starts one suite for all tests of this directory."""

import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

import running


def main() -> int:
    running.suite = running.RunningSuite(pathlib.Path(sys.argv[1]).resolve())
    try:
        running.suite.begin()
        loader = unittest.defaultTestLoader
        names = sys.argv[2:]
        tests = loader.loadTestsFromNames(names) if names else loader.discover(str(HERE))
        result = unittest.TextTestRunner(verbosity=2).run(tests)
        if not result.wasSuccessful():
            running.suite.show_logs()
        return 0 if result.wasSuccessful() and result.testsRun > 0 else 1
    finally:
        running.suite.remove()


if __name__ == "__main__":
    sys.exit(main())
