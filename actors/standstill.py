"""When the process stood still: SIGSTOP, a laptop that slept, a virtual machine that was moved.

Durations go on meanwhile, prices and pushes wait in the sockets, and what is heard first afterwards
is old. Levels go by it all the same, in the order in which it happened; nothing is opened on it.
"""

from domain.modes import Mode, ModeCause

STOPPED_S = 5.0  # no beat of a second for so long
STALE_FOR_S = 2.0  # until what waited in the sockets has been read
WAS_STOPPED = "WAS_STOPPED"


class Awake:
    """Message: what is heard from now on is new."""

    __slots__ = ()
    lane = 1


def cause(seconds: float) -> ModeCause:
    """Return what stands against entries after so many seconds."""
    return ModeCause(
        code=WAS_STOPPED,
        mode=Mode.NO_ENTRY,
        message=f"The process stood still for {seconds:.0f} s: prices heard now may be old.",
        way_out="It ends by itself within seconds, once prices are new and the venue was asked.",
    )
