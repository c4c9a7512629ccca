"""Instants at which a daemon kills itself: exactly before or after what a label names.

    python -m tests.e2e.crash_child LABEL VENUE SKIP MARK run --config FILE

The functions of the daemon are wrapped from outside, in the child's process, before it runs; the
daemon itself knows nothing of this. A label is of one venue or of both, and counts its hits from
the start of the process, or from when the parent says so (`crash_trap.py`).
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import actors.exchange
import actors.taking_stock
import daemon.lifecycle
import daemon.upkeep
import runtime.disk
import storage.archiving
import storage.journal
import storage.lock
import storage.retention
import storage.store
from actors.exchange import ExchangeActor
from actors.feed import FeedActor
from actors.messages import Reconciled, Submitted
from domain.effects import Arm
from domain.order import RESTING
from exchanges.ccxt_wire import Wire
from exchanges.okx_account import OkxAccount
from exchanges.paper.commits import GroupCommit
from exchanges.paper.venue import PaperVenue
from storage.connection import NAME, Database
from storage.journal import Journal
from tests.e2e.crash_trap import Trap, after, around_handler, before

PAPER, SANDBOX = "paper", "sandbox"
BOTH = (PAPER, SANDBOX)
_CHECKPOINT_EVERY = 25  # commits
_TURNS = 5  # of the loop: what was written to a transport has gone into the socket by then


class Point(NamedTuple):
    """One label."""

    label: str
    install: Callable[[Trap], None]
    venues: tuple[str, ...] = BOTH
    at_start: bool = False  # it comes while the daemon starts, once
    needs: str = ""  # a command that brings it about
    skips: int = 6  # so many hits, at most, pass by first


# --- the journal


def _holds(name: str) -> Callable[..., bool]:
    def holds(_journal: Any, batch: Any) -> bool:
        return any(type(entry.event).__name__ == name for entry in batch)

    return holds


def _append(trap: Trap, wrap: Callable[..., None], event: str = "") -> None:

    wrap(Journal, "append", trap, _holds(event) if event else None)


def _in_transaction(trap: Trap) -> None:
    """Everything is written, COMMIT is next."""

    after(storage.journal, "set_mark", trap)


def _checkpoint(trap: Trap, where: str) -> None:
    """Write the log back every few commits; SQLite does so by itself only after many."""

    original = Database.transaction
    count = 0

    @contextlib.contextmanager
    def transaction(self: Database) -> Iterator[Any]:
        nonlocal count
        with original(self) as connection:
            yield connection
        count += 1
        if count % _CHECKPOINT_EVERY or self.path.name != NAME:
            return
        if where == "before":
            trap.spring()
        elif where == "middle":
            _spring_at_first_write(trap, self.path)
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if where == "after":
            trap.spring()

    Database.transaction = transaction  # type: ignore[method-assign]


def _spring_at_first_write(trap: Trap, path: Path) -> None:
    """Kill from another thread as soon as the first page is in the database file."""
    was = path.stat().st_mtime_ns
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            if path.stat().st_mtime_ns != was:
                trap.spring()
                return

    threading.Thread(target=look, daemon=True).start()


# --- snapshots, archives, retention


def _is_snapshot(path: Path, *_: Any) -> bool:
    return ".snapshot" in path.name


def _snapshot(trap: Trap, name: str, wrap: Callable[..., None]) -> None:

    when = _is_snapshot if name == "_write_synced" else lambda path: path.name == "snapshots"
    wrap(runtime.disk, name, trap, when)


def _archive(trap: Trap, name: str, wrap: Callable[..., None]) -> None:

    owner = storage.archiving.archive if name == "insert" else storage.archiving
    wrap(owner, name, trap)


def _archive_leaves(trap: Trap) -> None:
    """The archive counts, some of its records have left the journal."""

    original = storage.archiving.Archiving._take_out
    taken = 0

    def take_out(self: Any) -> Iterator[bool]:
        nonlocal taken
        for each in original(self):
            taken += 1
            trap.spring()
            yield each

    storage.archiving.Archiving._take_out = take_out


def _retention(trap: Trap, wrap: Callable[..., None]) -> None:
    """Take read rows out every half second, all that may leave."""

    original = daemon.upkeep.Retention
    nothing_stays = {"unexecuted_decisions_days": 0, "equity_hourly_after_days": 0}
    daemon.upkeep.Retention = lambda **settings: original(**settings | nothing_stays)
    daemon.upkeep.EVERY_S = 0.5
    wrap(storage.retention.Pruning, "_delete", trap)


# --- orders


def _leaves_for_venue(terms: Any) -> bool:

    return terms.reduce_only and terms.type not in RESTING


def _submit(trap: Trap, wrap: Callable[..., None], kind: Callable[[Any], bool] | None) -> None:
    when = None if kind is None else lambda _venue, terms: kind(terms)
    for owner in _venue_classes():
        wrap(owner, "submit", trap, when)


def _rests(terms: Any) -> bool:

    return terms.type in RESTING


def _venue_classes() -> tuple[Any, ...]:

    return PaperVenue, OkxAccount


def _on_wire(trap: Trap, where: str, *methods: str) -> None:
    """At the socket to the venue: the request has left, or its answer has come."""

    original = Wire._call

    async def call(self: Any, library: Any, method: str, parameters: Any, trip: Any) -> Any:
        if not method.endswith(methods):
            return await original(self, library, method, parameters, trip)
        watching = asyncio.create_task(_once_left(trap, trip)) if where == "left" else None
        try:
            said = await original(self, library, method, parameters, trip)
        finally:
            if watching is not None:
                watching.cancel()
        if where == "answered":
            trap.spring()
        return said

    Wire._call = call  # type: ignore[method-assign]


async def _once_left(trap: Trap, trip: Any) -> None:
    while not trip.left:  # noqa: ASYNC110 - the daemon tells nobody
        await asyncio.sleep(0)
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    trap.spring()


_ORDER = ("trade_order", "trade_order_algo")


def _sent(trap: Trap) -> None:
    """The request's bytes have left; at the paper venue it is on its way there."""
    _on_wire(trap, "left", *_ORDER)

    after(PaperVenue, "submit", trap)


def _answered(trap: Trap) -> None:
    """The venue has the order for good, nobody in the daemon has heard."""
    _on_wire(trap, "answered", *_ORDER)

    before(GroupCommit, "_written", trap)


def _handled(trap: Trap) -> None:
    """The answer is known in memory, not on the disk."""

    around_handler(ExchangeActor, Submitted, trap, after=True)


def _booked(trap: Trap, wrap: Callable[..., None]) -> None:

    wrap(ExchangeActor, "_book", trap)


# --- protection: levels at the feed, and stops at the venue


def _stop_placed(trap: Trap, *, done: bool) -> None:
    _arms(trap, done=done, first=True)
    if done:
        _on_wire(trap, "answered", "trade_order_algo")
    else:
        before(OkxAccount, "submit", trap, lambda _venue, terms: _rests(terms))


def _stop_amended(trap: Trap, *, done: bool) -> None:
    _arms(trap, done=done, first=False)
    if done:
        _on_wire(trap, "answered", "trade_amend_algos")
    else:
        before(OkxAccount, "amend", trap)


def _stop_canceled(trap: Trap, *, done: bool) -> None:
    """What stands between a position and its exit at the venue."""
    if done:
        _on_wire(trap, "answered", "trade_cancel_algos")
    else:
        before(OkxAccount, "_cancel_algo", trap)


def _arms(trap: Trap, *, done: bool, first: bool) -> None:
    """At the paper venue the daemon's own guard is the stop."""
    if trap.venue != PAPER:
        return

    def when(_feed: Any, arm: Any) -> bool:
        return (arm.version == 1) == first

    around_handler(FeedActor, Arm, trap, after=done, when=when)


# --- the start


def _start(trap: Trap, step: str) -> None:

    match step:
        case "locked":
            after(storage.lock.DirectoryLock, "__init__", trap)
        case "opened":
            after(storage.store.Database, "__init__", trap)
        case "recovered":
            after(storage.store, "recover", trap)
        case "armed":
            after(daemon.lifecycle, "_start", trap)
        case "asking":
            before(actors.exchange.ExchangeActor, "_reconcile", trap)
        case "told":
            _after_coroutine(actors.taking_stock, "reconcile", trap)
        case "reconciled":
            around_handler(actors.exchange.ExchangeActor, Reconciled, trap, after=True)


def _after_coroutine(owner: Any, name: str, trap: Trap) -> None:
    original = getattr(owner, name)

    async def patched(*arguments: Any, **named: Any) -> Any:
        found = await original(*arguments, **named)
        trap.spring()
        return found

    setattr(owner, name, patched)


_STARTS = ("locked", "opened", "recovered", "armed", "asking", "told", "reconciled")
_ARCHIVE = "journal-archive"
_SNAPSHOT = "snapshot"

POINTS = {
    point.label: point
    for point in (
        Point("intent-before", partial(_append, wrap=before, event="OrderIntended")),
        Point("intent-after", partial(_append, wrap=after, event="OrderIntended")),
        Point("send-before", partial(_submit, wrap=before, kind=None)),
        Point("send-after", _sent),
        Point("ack-before", _answered),
        Point("ack-after", _handled),
        Point("fill-before", partial(_booked, wrap=before)),
        Point("fill-after", partial(_booked, wrap=after)),
        Point("commit-before", _in_transaction),
        Point("commit-after", partial(_append, wrap=after)),
        Point("snapshot-write", partial(_snapshot, name="_write_synced", wrap=before)),
        Point("snapshot-rename-before", partial(_snapshot, name="_write_synced", wrap=after)),
        Point("snapshot-rename-after", partial(_snapshot, name="_sync_directory", wrap=before)),
        Point("checkpoint-before", partial(_checkpoint, where="before")),
        Point("checkpoint-middle", partial(_checkpoint, where="middle")),
        Point("checkpoint-after", partial(_checkpoint, where="after")),
        Point("stop-placed-before", partial(_stop_placed, done=False), skips=1),
        Point("stop-placed-after", partial(_stop_placed, done=True), skips=1),
        Point("stop-amended-before", partial(_stop_amended, done=False)),
        Point("stop-amended-after", partial(_stop_amended, done=True)),
        Point("stop-canceled-before", partial(_stop_canceled, done=False), (SANDBOX,)),
        Point("stop-canceled-after", partial(_stop_canceled, done=True), (SANDBOX,)),
        Point("exit-before", partial(_submit, wrap=before, kind=_leaves_for_venue)),
        Point("exit-after", partial(_submit, wrap=after, kind=_leaves_for_venue)),
        Point("close-before", partial(_append, wrap=before, event="PositionClosed")),
        Point("close-after", partial(_append, wrap=after, event="PositionClosed")),
        Point(
            "archive-rename",
            partial(_archive, name="sync_directory", wrap=before),
            needs=_ARCHIVE,
            skips=1,
        ),
        Point(
            "archive-anchor", partial(_archive, name="insert", wrap=after), needs=_ARCHIVE, skips=1
        ),
        Point("archive-leaves", _archive_leaves, needs=_ARCHIVE),
        Point("retention-before", partial(_retention, wrap=before), (PAPER,)),  # traders decide
        Point("retention-after", partial(_retention, wrap=after), (PAPER,)),
        *(Point(f"start-{step}", partial(_start, step=step), at_start=True) for step in _STARTS),
    )
}


def labels_of(venue: str) -> tuple[str, ...]:
    """Return the labels that a venue has."""
    return tuple(label for label, point in POINTS.items() if venue in point.venues)
