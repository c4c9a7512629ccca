"""Is it alive, is it ready: what the watchdog, /livez, /readyz and `holdfast health` go by. Pure.

Not alive means that a restart would help, and nothing else means that: who is not alive is killed
by the service manager, and while it starts again nobody watches a stop. So trouble that is known
and that outlives a restart (a full disk, a disk that hangs, no network, another writer) is no
reason. Ready means that an entry would be considered; what a person or a limit has stopped is no
reason against it.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from domain.modes import ModeCause

LATE_S: Final = 5.0  # the loop, at the median of a minute: prices are that old when they act
SILENT_S: Final = 15.0  # an actor that beats each second
DOWN_S: Final = 30.0  # an actor; its supervisor waits 5 s at the most
COMMIT_S: Final = 30.0  # a call to the journal's disk
UNGUARDED_S: Final = 10.0  # beyond the time in which the position closes itself
_SHOWN = 3

Disk = Literal["untried", "answers", "silent"]


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    ok: bool
    why: str  # also of what is well


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon at one moment, as far as the verdicts need it. Durations are in seconds."""

    loop_late_s: float  # at the median of the last minute
    down_s: Mapping[str, float] = {}  # actor that should live and does not: for how long
    silent_s: Mapping[str, float] = {}  # actor that lives: since its last beat
    commit_s: float = 0.0  # the journal's call under way: for how long
    disk: Disk = "untried"  # what another file beside the journal's says meanwhile
    trouble: str = ""  # why the journal cannot be written, told as PROTECT_ONLY or FENCED
    unguarded_s: Mapping[str, float] = {}  # position: without a guard, an exit or an alarm
    close_after_s: float = 0.0  # in which an unguarded position closes itself
    guarded: int = 0
    alarmed: int = 0  # not guarded, and somebody has been told
    account_open: bool = True
    causes: tuple[ModeCause, ...] = ()  # of this run; what limits and people stopped is elsewhere


def liveness(vitals: Vitals) -> tuple[Check, ...]:
    """Return what a restart could mend: loop, actors, journal, guards."""
    return (_loop(vitals), _actors(vitals), _journal(vitals), _guards(vitals))


def readiness(vitals: Vitals) -> tuple[Check, ...]:
    """Return what stands between an entry and being considered: life, account, causes."""
    account = Check("account", vitals.account_open, "open" if vitals.account_open else "not open")
    stops = tuple(Check(each.code, ok=False, why=each.message) for each in vitals.causes)
    free = () if stops else (Check("causes", ok=True, why="nothing keeps entries from it"),)
    return (*liveness(vitals), account, *stops, *free)


def passed(checks: Iterable[Check]) -> bool:
    """Whether all is well."""
    return all(check.ok for check in checks)


def failures(checks: Iterable[Check]) -> list[str]:
    """Return what is not well, in a line each."""
    return [f"{check.what}: {check.why}" for check in checks if not check.ok]


def _loop(vitals: Vitals) -> Check:
    late = f"{vitals.loop_late_s * 1000:.0f} ms late at the median of a minute"
    return Check("loop", vitals.loop_late_s < LATE_S, late)


def _actors(vitals: Vitals) -> Check:
    down = {name: each for name, each in vitals.down_s.items() if each > DOWN_S}
    silent = {name: each for name, each in vitals.silent_s.items() if each > SILENT_S}
    if down:
        return Check("actors", ok=False, why=f"not restarted: {_times(down)}")
    if silent:
        return Check("actors", ok=False, why=f"no sign of life: {_times(silent)}")
    if vitals.down_s:
        return Check("actors", ok=True, why=f"being restarted: {', '.join(vitals.down_s)}")
    return Check("actors", ok=True, why="all there")


def _journal(vitals: Vitals) -> Check:
    if vitals.trouble:
        why = f"{vitals.trouble}; a restart would not help, and would leave nobody on guard"
        return Check("journal", ok=True, why=why)
    if vitals.commit_s <= COMMIT_S:
        return Check("journal", ok=True, why="commits in time")
    waits = f"a call to the disk has taken {vitals.commit_s:.0f} s"
    if vitals.disk == "answers":
        return Check("journal", ok=False, why=f"{waits}, yet the disk answers")
    return Check("journal", ok=True, why=f"{waits}; the disk hangs, a restart would not help")


def _guards(vitals: Vitals) -> Check:
    limit_s = vitals.close_after_s + UNGUARDED_S
    naked = {name: each for name, each in vitals.unguarded_s.items() if each > limit_s}
    if naked and not vitals.trouble:  # what cannot be made durable arms nothing, restarted or not
        return Check("guards", ok=False, why=f"nobody guards {_times(naked)}")
    told = f", {vitals.alarmed} without a guard, as an alarm told" if vitals.alarmed else ""
    waiting = f", {len(vitals.unguarded_s)} about to be" if vitals.unguarded_s else ""
    return Check("guards", ok=True, why=f"{vitals.guarded} guarded{waiting}{told}")


def _times(seconds: Mapping[str, float]) -> str:
    shown = [f"{name} for {each:.0f} s" for name, each in list(seconds.items())[:_SHOWN]]
    more = len(seconds) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
