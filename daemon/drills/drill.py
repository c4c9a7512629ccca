"""What a drill is, and what came of it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from daemon.drills.stage import Stage

PROTECTED_WITHIN_S = 1.0  # of the first fill, and of whatever took the stop away


class FailedError(Exception):
    """A drill cannot go on: what it waited for did not come, or what it asked for was refused."""


class Drill(msgspec.Struct, frozen=True):
    """One thing that goes wrong."""

    name: str
    injects: str  # what is done to the daemon, in a few words
    run: "Callable[[Stage], Awaitable[None]]"
    within_s: float  # the whole drill; then it has failed
    unprotected_within_s: float = PROTECTED_WITHIN_S
    is_spot: bool = False  # coins instead of swaps: a stop binds what it is to sell
    has_limits: bool = False  # the venue's rate limits are on
    counts_client_guard: bool = False  # the venue cannot hold stops: the daemon's own guard counts


class Outcome(msgspec.Struct, frozen=True):
    """What came of one drill: a row of the table, an object of the JSON."""

    name: str
    passed: bool
    unprotected_s: float  # longest time a holding was without a working stop; see `exposure`
    unprotected_within_s: float  # what is allowed
    bare_s: float  # the same with nothing left out: without a stop at the venue
    orders: int  # that reached the venue, stops included
    duplicates: int  # beyond one of an intent; sold beyond what was held
    seconds: float
    injects: str
    guard: str  # "venue", or "venue, client" where the daemon alone guarded for a time
    report: tuple[str, ...] = ()  # what was seen when, in words
    wrong: tuple[str, ...] = ()  # why it failed
    logs: str | None = None  # where the daemon's log and journal are, if it failed
