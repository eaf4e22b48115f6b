# SPDX-License-Identifier: Apache-2.0
"""Another build in the place of the one that runs: judged before, put in and taken out again as a whole."""

import os
import subprocess

from layout import Instance, Refusal, Suite

NEW, CURRENT, FORMER = "bin.new", "bin", "bin.former"


def check(suite: Suite) -> None:
    """Has the new executables judge the configuration, the secrets and the database with its schema."""
    program = suite.path(NEW, "jackdawctl")
    if not os.access(program, os.X_OK):
        raise Refusal(f"there is no new build in {suite.path(NEW)}", 69)
    answer = subprocess.run(
        [program, "check", "--config", suite.configuration_file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", check=False,
    )
    if answer.returncode != 0:
        raise Refusal(f"the new build was not put in, since it finds:\n{answer.stdout.rstrip()}", 78)


def put_in(suite: Suite) -> None:
    """A process that dies meanwhile starts anew with one build or the other: no file is ever missing."""
    os.makedirs(suite.path(FORMER), mode=0o700, exist_ok=True)
    for name in sorted(os.listdir(suite.path(NEW))):
        current, former = suite.path(CURRENT, name), suite.path(FORMER, name)
        if os.path.exists(current):
            if os.path.lexists(former):
                os.remove(former)
            os.link(current, former, follow_symlinks=False)
        os.replace(suite.path(NEW, name), current)
    os.rmdir(suite.path(NEW))


def put_back(suite: Suite) -> None:
    for name in sorted(os.listdir(suite.path(FORMER))):
        os.replace(suite.path(FORMER, name), suite.path(CURRENT, name))


def order(instances: list[Instance]) -> list[Instance]:
    """All but the database: its programs are the system's. Routers first, C2S after what it speaks to."""
    return [instance for instance in instances if instance.component != "postgresql"]
