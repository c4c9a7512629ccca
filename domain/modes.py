"""How much the daemon may do at the moment, and why.

Modes are ordered: each allows less than the one before. A mode is never set; it is the worst of the
causes that stand, so that a cause which ends cannot lift a restriction that another still asks for.
"""

from collections.abc import Iterable
from enum import IntEnum

import msgspec

OPERATOR_STOP = "OPERATOR_STOP"
DAILY_DRAWDOWN = "DAILY_DRAWDOWN"
DAILY_LOSS = "DAILY_LOSS"
KILL_SWITCH = "KILL_SWITCH"
DRAINING = "DRAINING"


class Mode(IntEnum):
    """What may be done; a higher number allows less."""

    NORMAL = 0
    NO_ENTRY = 1  # stale data, reconciling, drawdown, an operator's wish
    PROTECT_ONLY = 2  # disk, journal or venue trouble: exits only, from what is already durable
    FENCED = 3  # another writer was seen; only a person leads out

    @property
    def allows_entries(self) -> bool:
        """Whether a position may be opened or enlarged."""
        return self is Mode.NORMAL


class ModeCause(msgspec.Struct, frozen=True):
    """One reason for a mode; `code` is its identity."""

    code: str
    mode: Mode
    message: str  # what happened, with the numbers
    way_out: str  # what ends it


def worst(causes: Iterable[ModeCause]) -> Mode:
    """Return the mode that `causes` ask for together; NORMAL when there are none."""
    return max((cause.mode for cause in causes), default=Mode.NORMAL)


def operator_stop(by: str, why: str = "") -> ModeCause:
    """Return the cause for a person's wish that nothing be opened."""
    return ModeCause(
        code=OPERATOR_STOP,
        mode=Mode.NO_ENTRY,
        message=f"Entries stopped by {by}" + (f": {why}." if why else "."),
        way_out="Take it back: holdfast resume-entries.",
    )
