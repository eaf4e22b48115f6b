# SPDX-License-Identifier: Apache-2.0
"""usage: main.py BINARIES [test ...]: the stories of this directory."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE.parent / "interop"), str(HERE.parent / "scripts")]

import running
import story


def main() -> int:
    story.binaries = pathlib.Path(sys.argv[1]).resolve()
    return 0 if running.run_tests(HERE, sys.argv[2:]).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
