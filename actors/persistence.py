"""The persistence actor: the one writer of the journal.

Group commit, snapshots, and what to do when the disk fails.

While a commit is on its way the next batch gathers; so one actor's event costs one commit, a
thousand actors' events also cost one. A full or failing disk is a state: what could not be written
is kept and tried again, entries stop (PROTECT_ONLY), armed exits go on.
"""

from collections.abc import Callable
from enum import Enum
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from actors import names
from actors.backlog import Backlog, entries_of
from actors.messages import (
    Answered,
    Append,
    Beat,
    ClearCause,
    Committed,
    Retire,
    SetCause,
    SettingsChanged,
    TakeSnapshot,
)
from actors.unreadable import no_snapshot
from actors.world import World
from domain.errors import Refusal
from domain.ids import NO_REQUEST, RequestId
from domain.modes import Mode, ModeCause
from runtime.actor import Actor, handles
from runtime.ports import Disk, Worker
from storage.errors import FencedError, JournalUnavailableError, Trouble
from storage.journal import Journal, Reopened
from storage.recovery import Recovered
from storage.snapshot import SnapshotWriter
from storage.streams import StreamRegistry

log = structlog.get_logger("system")
JOURNAL_DOWN = "JOURNAL_DOWN"
DISK_LOW = "DISK_LOW"
FENCED = "FENCED"
BEAT_S = 1.0
QUIET_S, QUIET_ROWS = 3.0, 500  # a snapshot costs nobody anything while nothing is written
_RESTORE = "Keep a copy of the directory, stop, and restore a backup of the whole of it."
_WAY_OUT = {  # where waiting for the disk does not help
    Trouble.DAMAGED: _RESTORE,
    Trouble.GONE: f"Put the file back, and writing resumes by itself. Else: {_RESTORE}",
    Trouble.LOST: f"{_RESTORE} Or start on what is left: what is missing shows at the venue.",
}
_MIB = 1024 * 1024


class Store(Protocol):
    """An open journal and what belongs to it."""

    journal: Journal
    registry: StreamRegistry
    disk: Disk
    directory: Path
    recovered: Recovered


class PersistenceSettings(msgspec.Struct, frozen=True):
    """When to snapshot, when to worry."""

    snapshot_every_events: int = 5_000  # bounds what a start has to fold
    snapshot_every_s: float = 300.0
    min_free_bytes: int = 64 * _MIB


class Room(Enum):
    """Whether the disk has room; the value says what is wrong."""

    ENOUGH = ""
    LOW = "the disk is almost full"
    UNKNOWN = "the disk does not say how much is free"


class _Flush(msgspec.Struct, frozen=True):
    """Message: all have had their turn, write what waits."""

    lane = 0


class _Written(msgspec.Struct, frozen=True):
    """A commit ended."""

    lane = 0
    number: int
    outcome: Any
    seconds: float


class _Reopened(msgspec.Struct, frozen=True):
    """The journal was asked what it holds, after an error."""

    lane = 0
    number: int
    outcome: Any


class _SnapshotStep(msgspec.Struct, frozen=True):
    """A part of a snapshot was encoded, or all of it written."""

    lane = 0
    outcome: Any


class PersistenceActor(Actor):
    """Owns the journal."""

    def __init__(
        self,
        world: World,
        store: Store,
        worker: Worker,
        settings: PersistenceSettings,
        backlog: Backlog,
    ) -> None:
        super().__init__()
        self.world = world
        self.store = store
        self.worker = worker
        self.settings = settings
        self.backlog = backlog
        self.is_fenced = False
        self.snapshot: SnapshotWriter | None = None
        self.snapshot_is_due = False
        self.flush_is_due = False
        self.snapshot_requests: list[RequestId] = []
        self.rows_since_snapshot = store.recovered.replayed  # the next start would fold them again
        self.snapshot_at_s = world.clock.monotonic()
        self.room: Room | None = None  # nobody has looked yet
        self.written_at_s = self.snapshot_at_s
        self.beat_s = self.snapshot_at_s  # when it last looked around, monotonic

    @property
    def trouble(self) -> JournalUnavailableError | None:
        """Why the journal cannot be written at the moment."""
        return self.backlog.trouble

    def on_start(self) -> None:
        """Look after the disk."""
        self.every(BEAT_S, Beat())
        if self.backlog.writing:
            self._reopen()  # is the last commit there?
        else:
            self._flush()

    def on_stop(self) -> None:
        """Hand the rest to the worker, which finishes before the journal is closed."""
        backlog = self.backlog
        if not backlog.waiting or self.trouble is not None or self.is_fenced:
            return
        rest, backlog.waiting = entries_of(backlog.waiting), []
        journal = self.store.journal

        def append() -> None:
            if not backlog.is_broken:  # else it would leave a hole
                journal.append(rest)

        self.worker.call(append, lambda _: None)

    # --- commits ---

    @handles(Append)
    def on_append(self, append: Append) -> None:
        """Write at once when nothing is being written, else with the next commit.

        What leads on waits for what follows from it, for this turn: an entry's reservation, its
        position and the intent of its order are one commit.
        """
        self.backlog.waiting.append(append)
        if not append.leads_on:
            self._flush()
        elif not self.backlog.writing and not self.flush_is_due:
            self.flush_is_due = True
            self.system.loop.call_soon(self._tell_self, _Flush())

    @handles(_Flush)
    def on_flush(self, flush: _Flush) -> None:
        """Write what waits."""
        del flush
        self.flush_is_due = False
        self._flush()

    def _flush(self) -> None:
        backlog = self.backlog
        if backlog.writing or not backlog.waiting or self.trouble is not None or self.is_fenced:
            return
        backlog.writing, backlog.waiting = backlog.waiting, []
        self._write()

    def _write(self) -> None:
        entries = entries_of(self.backlog.writing)
        began = self.world.clock.monotonic()
        journal, backlog = self.store.journal, self.backlog
        number = self.backlog.asked(self.world.clock.monotonic())

        def append() -> Any:
            backlog.is_broken = True
            result = journal.append(entries)
            backlog.is_broken = False
            return result

        def written(outcome: Any) -> _Written:
            return _Written(number, outcome, self.world.clock.monotonic() - began)

        self._call(append, written)

    def _reopen(self) -> None:
        """Find out what the journal holds, unless an answer of the worker is still to come."""
        if not self.backlog.under_way:
            number = self.backlog.asked(self.world.clock.monotonic())
            self._call(self.store.journal.reopen, lambda outcome: _Reopened(number, outcome))

    def _call(self, function: Callable[[], Any], message: Callable[[Any], Any]) -> None:
        self.worker.call(function, lambda outcome: self._tell_self(message(outcome)))

    def _tell_self(self, message: Any) -> None:
        self.system.tell(names.PERSISTENCE, message)

    @handles(_Written)
    def on_written(self, written: _Written) -> None:
        """Tell the writers, or find out what became of a commit that failed."""
        outcome = written.outcome
        if not self.backlog.heard(written.number):
            return
        if isinstance(outcome, FencedError):
            self._fence(outcome)
            return
        if isinstance(outcome, JournalUnavailableError):
            self._in_trouble(outcome)
            return
        if isinstance(outcome, BaseException):
            raise outcome  # a bug: restart from what is durable
        self._out_of_trouble()
        self._committed(written.seconds)

    def _committed(self, seconds: float) -> None:
        done, self.backlog.writing = self.backlog.writing, []
        durable = self.world.states.durable
        rows = 0
        for append, follows in zip_longest(done, done[1:]):
            version = append.first_version + len(append.events) - 1
            durable[append.stream] = (version, append.states[-1])
            rows += len(append.events)
            # In the journal's order: what waited for an entry's fill leaves before what its stop's.
            if follows is None or follows.stream != append.stream:
                self.tell(append.writer, Committed(append.stream, version))
        self.rows_since_snapshot += rows
        self.written_at_s = self.world.clock.monotonic()
        self.world.telemetry.committed(rows, seconds)
        if self.snapshot_is_due or self.rows_since_snapshot >= self.settings.snapshot_every_events:
            self._begin_snapshot()
        self._flush()

    @handles(Retire)
    def on_retire(self, retire: Retire) -> None:
        """Forget streams that nobody needs any more."""
        for stream in retire.streams:
            self.world.states.durable.pop(stream, None)
            self.world.states.latest.pop(stream, None)

    # --- trouble ---

    def _in_trouble(self, error: JournalUnavailableError) -> None:
        said = str(error).removesuffix(".")
        way_out = _WAY_OUT.get(error.kind, "Free or repair the disk; writing resumes by itself.")
        if self.trouble is None or self.trouble.kind is not error.kind:
            log.error("journal_unavailable", kind=error.kind.value, error=error.text)
            self.world.telemetry.alarm(JOURNAL_DOWN, f"{said}. {way_out}")
        self.backlog.trouble = error
        message = (
            f"{said}. Armed exits go on and show here once it can be written; nothing else is"
            " accepted."
        )
        cause = ModeCause(JOURNAL_DOWN, Mode.PROTECT_ONLY, message, way_out)
        self.tell(names.PORTFOLIO, SetCause(cause))

    def _out_of_trouble(self) -> None:
        if self.trouble is not None:
            self.backlog.trouble = None
            self.tell(names.PORTFOLIO, ClearCause(JOURNAL_DOWN))
            log.info("journal_available", last_seq=self.store.journal.tail.seq)

    @handles(_Reopened)
    def on_reopened(self, reopened: _Reopened) -> None:
        """Go on writing: the commit in doubt is either there, or written again."""
        outcome = reopened.outcome
        if not self.backlog.heard(reopened.number):
            return
        if isinstance(outcome, FencedError):
            self._fence(outcome)
        elif isinstance(outcome, JournalUnavailableError):
            self._in_trouble(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            assert isinstance(outcome, Reopened)
            if self.backlog.writing and not outcome.has_last_batch:
                self._write()  # that it can be opened does not say that it can be written
                return
            self._out_of_trouble()
            self._committed(0.0)

    def _fence(self, error: FencedError) -> None:
        self.is_fenced = True
        log.critical("fenced", error=str(error))
        self.world.telemetry.alarm(FENCED, str(error))
        cause = ModeCause(FENCED, Mode.FENCED, str(error), "Stop both daemons, then start one.")
        self.tell(names.PORTFOLIO, SetCause(cause))

    @handles(Beat)
    def on_beat(self, beat: Beat) -> None:
        """Look at the disk; try again what failed; snapshot when it is time."""
        del beat
        if self.trouble is not None and not self.is_fenced:
            self._reopen()
        self._look_at_disk()
        now = self.beat_s = self.world.clock.monotonic()
        due = now - self.snapshot_at_s >= self.settings.snapshot_every_s
        quiet = now - self.written_at_s >= QUIET_S and self.rows_since_snapshot >= QUIET_ROWS
        if (due and self.rows_since_snapshot) or quiet:
            self._begin_snapshot()

    def _look_at_disk(self) -> None:
        free, needed = self._free_bytes(), self.settings.min_free_bytes
        if isinstance(free, OSError):  # failing, or gone with its network: a state as well
            if self._is_news(Room.UNKNOWN):
                log.error("disk_unknown", error=str(free))
                message = f"How much is free where the journal is cannot be told: {free}."
                self._stop_for_disk(message, "Repair the disk; it ends by itself.")
        elif free >= needed:
            was = self.room
            if self._is_news(Room.ENOUGH):
                self.tell(names.PORTFOLIO, ClearCause(DISK_LOW))  # a life before may have set it
                if was is not None:
                    log.info("disk_recovered", free_mb=free // _MIB)
        elif self._is_news(Room.LOW):
            free_mb, needed_mb = free // _MIB, needed // _MIB
            log.error("disk_low", free_mb=free_mb, needed_mb=needed_mb)
            message = f"{free_mb} MB are free where the journal is, {needed_mb} MB are needed."
            self._stop_for_disk(message, "Free some space; it ends by itself.")

    def _free_bytes(self) -> int | OSError:
        try:
            return self.store.disk.free_bytes(self.store.directory)
        except OSError as error:
            return error

    def _is_news(self, room: Room) -> bool:
        was, self.room = self.room, room
        return was is not room

    def _stop_for_disk(self, message: str, way_out: str) -> None:
        self.world.telemetry.alarm(DISK_LOW, message)
        cause = ModeCause(DISK_LOW, Mode.PROTECT_ONLY, message, way_out)
        self.tell(names.PORTFOLIO, SetCause(cause))

    @handles(SettingsChanged)
    def on_settings(self, changed: SettingsChanged) -> None:
        """Go by these from now on; the next beat looks at the disk with them."""
        self.settings = changed.settings

    # --- snapshots ---

    @handles(TakeSnapshot)
    def on_take_snapshot(self, take: TakeSnapshot) -> None:
        """Write a snapshot now, for a person."""
        if self.trouble is not None or self.is_fenced:
            refusal = Refusal("JOURNAL_DOWN", "The journal cannot be written at the moment.")
            self.tell(names.EDGE, Answered(take.request_id, refusal))
            return
        if self.store.recovered.broken:
            refusal = no_snapshot(self.store.recovered.broken)
            self.tell(names.EDGE, Answered(take.request_id, refusal))
            return
        self.snapshot_requests.append(take.request_id)
        self._begin_snapshot()

    def _begin_snapshot(self) -> None:
        """Start from the durable states, which are those of the last commit."""
        if self.snapshot is not None or self.trouble is not None or self.store.recovered.broken:
            return  # nothing may be built on a stream that did not fold
        self.snapshot_is_due = bool(self.backlog.writing)
        if self.snapshot_is_due:
            return  # the journal is ahead of the states until this commit is told
        self.rows_since_snapshot = 0
        self.snapshot_at_s = self.world.clock.monotonic()
        self.snapshot = SnapshotWriter(
            self.store.registry, self.store.journal.tail, self.world.states.durable
        )
        self._call(self.snapshot.advance, _SnapshotStep)

    @handles(_SnapshotStep)
    def on_snapshot_step(self, step: _SnapshotStep) -> None:
        """Encode on, a chunk at a time, so that commits get their turn; then write the file."""
        writer = self.snapshot
        if writer is None:
            return
        if step.outcome is True:
            self._call(writer.advance, _SnapshotStep)
        elif step.outcome is False:
            disk, directory = self.store.disk, self.store.directory
            self._call(lambda: writer.write(disk, directory), _SnapshotStep)
        else:
            self._snapshot_done(step.outcome)

    def _snapshot_done(self, outcome: Any) -> None:
        self.snapshot = None
        refusal = None
        if isinstance(outcome, OSError):
            log.error("snapshot_failed", error=str(outcome))
            refusal = Refusal("SNAPSHOT_FAILED", str(outcome), "Free or repair the disk.")
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            log.info("snapshot", file=outcome.name)
        for request_id in self.snapshot_requests:
            if request_id != NO_REQUEST:
                note = "" if refusal else str(outcome.name)
                self.tell(names.EDGE, Answered(request_id, refusal, note=note))
        self.snapshot_requests = []
