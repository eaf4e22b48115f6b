# SPDX-License-Identifier: Apache-2.0
"""usage: main.py BINARIES [test ...]: starts one suite for all tests of this directory."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

import running


def main() -> int:
    running.suite = running.RunningSuite(pathlib.Path(sys.argv[1]).resolve())
    try:
        running.suite.begin()
        result = running.run_tests(HERE, sys.argv[2:])
        if not result.wasSuccessful():
            running.suite.show_logs()
        return 0 if result.wasSuccessful() else 1
    finally:
        running.suite.remove()


if __name__ == "__main__":
    sys.exit(main())
