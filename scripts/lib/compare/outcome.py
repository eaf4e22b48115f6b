# SPDX-License-Identifier: Apache-2.0
"""What a comparison is made with, and what comes of it."""

import contextlib
import dataclasses
import traceback

from comparison_table import OURS
from contenders import Contender
from processes import Refusal, signals
from runner import say
from xmpp_client import Ended


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much is done."""

    # Rows 1 and 3: people, and messages a second of all.
    people: int = 200
    rate: float = 200.0
    # Row 2.
    online: int = 100
    # Rows 1 to 3: seconds of load before what happens, and after.
    before: float = 3.0
    after: float = 12.0
    # Row 4.
    attempts: int = 20
    # Row 6.
    pings: int = 200
    sockets: int = 2000
    # Row 10.
    soak: float = 60.0
    logins: float = 50.0
    outage: float = 60.0

    @classmethod
    def quick(cls, soak: float) -> "Scale":
        return cls(people=40, rate=100, online=24, after=8, attempts=5, pings=60, sockets=400, soak=soak, outage=10)


@dataclasses.dataclass
class Outcome:
    """A row of the table for one server."""

    # In words for the table.
    done: str
    figure: str
    # Whether it is what the row demands.
    is_met: bool
    details: dict = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def running(contender: Contender, accounts: int, **options):
    """With everything started; ended whatever happens."""
    try:
        contender.begin(accounts, **options)
        yield contender
    finally:
        with signals.held():
            contender.end()


def judged(row, contender: Contender, scale: Scale, keeps: bool) -> Outcome:
    """What came of a row, also where it could not be done. The files of one of ours that was missed are kept."""
    outcome: Outcome | None = None
    try:
        outcome = row(contender, scale)
    except (Refusal, Ended, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        outcome = Outcome(row.__doc__.splitlines()[0], f"could not be done: {first}", False, {"traceback": traceback.format_exc()[-3000:]})
    finally:
        if keeps or outcome and not outcome.is_met and contender.name == OURS:
            say(f"kept: {contender.directory}")
        else:
            contender.clean()
    return outcome
