# SPDX-License-Identifier: Apache-2.0
"""Federation with real peers, and with a stub that is none; started by scripts/interop-federation in its namespaces."""

import argparse
import asyncio
import os
import pathlib
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[0:0] = [str(HERE)] + [str(HERE.parent / name) for name in ("compare", "chaos", "bench")] + [
    str(ROOT / "Tests" / name) for name in ("interop", "scripts")
]

import program
import stage
from processes import Refusal, raise_descriptors, signals

# Of everything; what hangs longer is ended by the kernel with the namespace.
LONGEST_RUN = {"quick": 400, "all": 3000}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="interop-federation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Prosody and a second Jackdaw, and what a stub must not do")
    parser.add_argument("--peers", default=program.ALL_PEERS, help="those of the matrix (%(default)s), or the one of --load (other)")
    parser.add_argument("--only", default="stage,matrix,negative", help="parts: stage (the peers among each other), matrix, negative")
    parser.add_argument("--load", metavar="FAULT,...", help="instead: faults under load; all, or names as in docs/federation.md")
    parser.add_argument("--near", default="jackdaw", help="whose users write in --load (%(default)s)")
    parser.add_argument("--rate", type=float, default=1000.0, help="stanzas a second of --load (%(default)s)")
    parser.add_argument("--many", type=int, metavar="DOMAINS", help="instead: so many remote domains at once")
    parser.add_argument("--probe", metavar="DOMAIN,...", help="what our jackdawctl says of these, before the parts")
    parser.add_argument("--binaries", type=pathlib.Path, required="--help" not in sys.argv, help="executables that are built already")
    parser.add_argument("--output", type=pathlib.Path, help="a file to which results are appended, a line of JSON each")
    parser.add_argument("--keep", action="store_true", help="keeps the directory with configurations and logs in any case")
    return parser.parse_args()


def work(options: argparse.Namespace) -> None:
    code = 70
    try:
        signals.watch()
        raise_descriptors()
        seconds = LONGEST_RUN["quick" if options.quick else "all"]
        code = asyncio.run(asyncio.wait_for(program.run(options), seconds))
    except Refusal as refusal:
        print(f"interop-federation: {refusal}", file=sys.stderr, flush=True)
        code = 1
    except TimeoutError:
        print(f"interop-federation: not done within {seconds} s", file=sys.stderr, flush=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    parsed = arguments()
    stage.reap_as_first_process(lambda: work(parsed))
