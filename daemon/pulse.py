"""Takes the daemon's pulse: reads its vitals, feeds the service manager's watchdog.

`Pulse.look` reads what is; how long something has been so it knows from the looks before.
`KeepAlive` looks at half of the time that the manager gave, on the loop: a loop that stands still
feeds nothing.
"""

import asyncio
import threading
from collections.abc import Callable, Container, Iterable
from pathlib import Path

import structlog

from actors import names
from daemon.assembly import Assembly
from daemon.notify import Notifier
from daemon.position_views import NOWHERE, where_stop_lives
from daemon.vitals import Disk, Vitals, failures, liveness, passed
from daemon.words import plural
from domain.ids import PositionId
from domain.modes import ModeCause, worst
from domain.position import Position, PositionStatus
from runtime.ports import Disk as DiskPort
from runtime.watchdog import Lag

LOOK_S = 5.0  # when no watchdog wants it more often
LOOK_AGAIN_S = 1.0  # while it is not alive: after a sleep it is again, before a watchdog bites
PROBE_AFTER_S = 5.0  # of a call to the journal's disk
PROBE = "disk-probe"
_ACTORS = (names.PERSISTENCE, names.EDGE, names.PORTFOLIO, names.EXCHANGE, names.FEED)
_BEATING = (names.PERSISTENCE, names.FEED)
_log = structlog.get_logger("system")


class DiskProbe:
    """Writes a small file beside the journal, on a thread of its own: does the disk answer?"""

    def __init__(self, disk: DiskPort, directory: Path) -> None:
        self._disk = disk
        self._path = directory / PROBE
        self._thread: threading.Thread | None = None
        self._question = 0  # an answer to an earlier one does not count
        self.result: Disk = "untried"

    def ask(self) -> None:
        """Write, unless it is tried already."""
        if self._thread is None or not self._thread.is_alive():
            self.result = "silent"
            self._thread = threading.Thread(
                target=self._write, args=(self._question,), name=PROBE, daemon=True
            )
            self._thread.start()

    def forget(self) -> None:
        """Nobody asks any more."""
        self._question += 1
        self.result = "untried"

    def _write(self, question: int) -> None:
        try:
            self._disk.write_atomically(self._path, b"")
            self._path.unlink(missing_ok=True)
        except OSError:
            return  # it fails, and so it will after a restart
        if question == self._question:
            self.result = "answers"


class Pulse:
    """Reads the vitals of a running daemon."""

    def __init__(
        self, parts: Assembly, lag: Callable[[], Lag], probe: DiskProbe | None = None
    ) -> None:
        self._parts = parts
        self._lag = lag
        self._probe = probe or DiskProbe(parts.store.disk, parts.store.directory)
        self._down_since: dict[str, float] = {}
        self._naked_since: dict[str, float] = {}

    def look(self) -> Vitals:
        """Return how it is now."""
        parts, world = self._parts, self._parts.world
        now = world.clock.monotonic()
        actors = {name: parts.actor(name) for name in _ACTORS}
        persistence, feed = actors[names.PERSISTENCE], actors[names.FEED]
        down = _since(self._down_since, (name for name in _ACTORS if actors[name] is None), now)
        trouble, commit_s = "", 0.0
        if persistence is not None:
            backlog = persistence.backlog
            commit_s = now - backlog.asked_s if backlog.under_way else 0.0
            if persistence.is_fenced:
                trouble = "another writer took the journal over"
            elif backlog.trouble is not None:
                trouble = str(backlog.trouble)
        held: list[Position] = [
            each for each in world.states.latest_of("position") if each.remaining
        ]
        armed: Container[PositionId] = () if feed is None else feed.armed_since
        naked = [each for each in held if not _is_guarded(each, armed)]
        silent = [each.id for each in naked if not _is_known(each)]
        return Vitals(
            loop_late_s=self._lag().p50_s,
            down_s=down,
            silent_s={
                name: now - actors[name].beat_s for name in _BEATING if actors[name] is not None
            },
            commit_s=commit_s,
            disk=self._disk(commit_s),
            trouble=trouble,
            unguarded_s=_since(self._naked_since, silent, now),
            close_after_s=world.rules.unprotected_after_s + world.rules.exit_after_s,
            guarded=len(held) - len(naked),
            alarmed=len(naked) - len(silent),
            account_open=names.portfolio(world.account) in world.states.durable,
            causes=tuple(world.causes.values()),
        )

    def loop_late_ms(self) -> dict[str, float]:
        """Return how late the loop was over the last minute."""
        lag = self._lag()
        times = {"p50": lag.p50_s, "p99": lag.p99_s, "max": lag.max_s}
        return {name: round(each * 1000, 3) for name, each in times.items()}

    def all_causes(self) -> tuple[ModeCause, ...]:
        """Return everything that restricts the mode."""
        world = self._parts.world
        portfolio = world.portfolio()
        return (*world.causes.values(), *(() if portfolio is None else portfolio.causes))

    def _disk(self, commit_s: float) -> Disk:
        if commit_s > PROBE_AFTER_S:
            if self._probe.result == "untried":
                self._probe.ask()
        else:
            self._probe.forget()
        return self._probe.result


class KeepAlive:
    """Looks again and again, says what changed, and feeds the watchdog while all is alive."""

    def __init__(self, pulse: Pulse, notifier: Notifier, loop: asyncio.AbstractEventLoop) -> None:
        self._pulse = pulse
        self._notifier = notifier
        self._loop = loop
        self._each_s = LOOK_S if notifier.watchdog_s is None else notifier.watchdog_s / 2
        self._alive = True
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Tell the manager that it is ready; then look."""
        self._notifier.ready(self.summary(self._pulse.look()))
        self._look()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def summary(self, vitals: Vitals) -> str:
        """Return one line for `systemctl status`."""
        mode = worst(self._pulse.all_causes()).name
        unguarded = len(vitals.unguarded_s) + vitals.alarmed
        naked = f", {unguarded} UNGUARDED" if unguarded else ""
        return f"{mode}, {plural(vitals.guarded, 'position')} guarded{naked}"

    def _look(self) -> None:
        alive = True
        try:
            alive = self._told()
        finally:  # a look that fails is a bug, and not the end of the watchdog's food
            pause_s = self._each_s if alive else min(self._each_s, LOOK_AGAIN_S)
            self._timer = self._loop.call_later(pause_s, self._look)

    def _told(self) -> bool:
        """Look, tell the manager; return whether all is well."""
        vitals = self._pulse.look()
        checks = liveness(vitals)
        alive = passed(checks)
        if alive != self._alive:
            self._alive = alive
            if alive:
                _log.info("alive_again")
            else:
                _log.error("not_alive", failures=failures(checks))
        if alive:
            self._notifier.alive(self.summary(vitals))
        else:
            self._notifier.status(f"NOT ALIVE: {'; '.join(failures(checks))}")
        return alive


def _since(known: dict[str, float], present: Iterable[str], now: float) -> dict[str, float]:
    """Note since when each of `present` has been so; return for how long."""
    listed = list(present)
    for name in set(known).difference(listed):
        del known[name]
    return {name: now - known.setdefault(name, now) for name in listed}


def _is_guarded(position: Position, armed: Container[PositionId]) -> bool:
    if position.status is PositionStatus.CLOSING:
        return True  # its exit is on its way, and tried again until nothing remains
    return where_stop_lives(position) != NOWHERE and position.id in armed


def _is_known(position: Position) -> bool:
    """Whether somebody has been told: nobody wants a stop, it is given up, or its exit failed."""
    exits = position.exits
    return (
        not position.protection.guards_loss
        or position.status is PositionStatus.QUARANTINED
        or any(not each.done for each in exits)
        or (bool(exits) and exits[-1].whole)
    )
