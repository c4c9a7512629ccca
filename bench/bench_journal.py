"""What durability costs: the journal beside bare sqlite3, and recovery from a snapshot.

    python bench/bench_journal.py [--json] [--quick] [--directory DIR]

All sides write to the same disk with the same tables and PRAGMAs, in turns, in one run; the ratio
is what counts. A row is a journal row. "bare" inserts ready-made rows of all tables that ours
writes; "bare journal" inserts the journal rows alone, which no read tables follow from.
"""

import argparse
import gc
import json
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from domain import order as orders
from domain import position_life
from domain.commands import ProtectionPlan, TargetPlan
from domain.ids import (
    AccountName,
    ClientOrderId,
    ExitId,
    PositionId,
    Symbol,
    TradeId,
    TraderName,
    VenueOrderId,
    client_order_id,
)
from domain.instrument import Direction, Instrument, Kind, Side
from domain.money import Fee
from domain.position import ArmedExit, Position
from domain.position import Entry as PositionEntry
from domain.position_events import (
    AnyPositionEvent,
    PositionFilled,
    PositionIntended,
    ProtectionAcknowledged,
    ProtectionSet,
)
from domain.protection import Protection, Stop, Target, Trail
from storage.chain import INSERT_INTENT, INSERT_RECORD
from storage.connection import _PRAGMAS as PRAGMAS
from storage.connection import Database
from storage.journal import Entry, Journal
from storage.projections import PROJECTIONS
from storage.read_tables import ReadTables
from storage.recovery import recover
from storage.rows import statement
from storage.snapshot import SnapshotWriter
from storage.streams import StreamKind, StreamRegistry, Streams

GROUP = 64
START = datetime(2024, 8, 8, 12, tzinfo=UTC)
ACCOUNT = AccountName("paper")
BTC = Instrument(
    symbol=Symbol("BTC/USDT"),
    venue_symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    kind=Kind.SWAP,
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    min_quantity=Decimal("0.001"),
    min_notional=Decimal(5),
    max_leverage=Decimal(20),
)
REGISTRY = StreamRegistry(
    [
        StreamKind(
            name="order",
            state_type=orders.Order,
            evolve=orders.evolve,
            events=orders.AnyOrderEvent,
            is_retired=lambda order: order.is_terminal,
            owner=lambda order: f"position/{order.terms.position_id}",
            intents={orders.OrderIntended: lambda event: event.terms.client_order_id},
        ),
        StreamKind(
            name="position",
            state_type=Position,
            evolve=position_life.evolve,
            events=AnyPositionEvent,
            is_retired=lambda position: position.is_closed,
        ),
    ]
)


class PlainDisk:
    """Writes files without ceremony: what is timed here is reading."""

    def write_atomically(self, path: Path, data: bytes) -> None:
        """Write."""
        path.write_bytes(data)

    def read(self, path: Path) -> bytes:
        """Read."""
        return path.read_bytes()

    def free_bytes(self, path: Path) -> int:
        """Ask the system."""
        return shutil.disk_usage(path).free


def position_id(number: int) -> PositionId:
    return PositionId(str(UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)))


Life = list[tuple[str, Any]]  # stream and event


def entry_life(number: int) -> Life:
    """Return what one entry journals, from its intent to its armed stop, two targets and trail."""
    at = START + timedelta(milliseconds=37 * number)
    identity = position_id(number)
    order_id = client_order_id(ACCOUNT, identity, "entry-0", 0)
    order, position = f"order/{order_id}", f"position/{identity}"
    quantity = Decimal(2 + number % 97) / 1000
    price = Decimal(600_000 + number % 9973) / 10
    fill = orders.Fill(
        trade_id=TradeId(f"t{number}"),
        client_order_id=order_id,
        symbol=BTC.symbol,
        side=Side.BUY,
        quantity=quantity,
        price=price,
        fee=Fee(amount=price * quantity / 2000, asset="USDT"),
        at=at,
    )
    return [
        (position, intended_position(identity, order_id, quantity, price, at)),
        (order, orders.OrderIntended(terms=terms_of(identity, order_id, quantity), at=at)),
        (order, orders.OrderSent(at=at)),
        (order, orders.OrderAccepted(venue_order_id=VenueOrderId(f"v{number}"), at=at)),
        (order, orders.OrderFilled(fill=fill)),
        (position, PositionFilled(fill=fill)),
        (position, protected(identity, price, at)),
        (position, ProtectionAcknowledged(version=1, since=at, at=at)),
    ]


def terms_of(identity: PositionId, order_id: ClientOrderId, quantity: Decimal) -> orders.OrderTerms:
    return orders.OrderTerms(
        client_order_id=order_id,
        position_id=identity,
        symbol=BTC.symbol,
        side=Side.BUY,
        type=orders.OrderType.MARKET,
        quantity=quantity,
    )


def intended_position(
    identity: PositionId, order_id: ClientOrderId, quantity: Decimal, price: Decimal, at: datetime
) -> PositionIntended:
    half = Decimal("0.5")
    return PositionIntended(
        position_id=identity,
        account=ACCOUNT,
        trader=TraderName("trend"),
        instrument=BTC,
        direction=Direction.LONG,
        entry=PositionEntry(order_id, orders.OrderType.MARKET, quantity),
        plan=ProtectionPlan(
            stop_price=price - 700,
            targets=(TargetPlan(price + 900, half), TargetPlan(price + 1800, half)),
            trail_ratio=Decimal("0.02"),
        ),
        leverage=Decimal(1),
        at=at,
        rationale="EMA 12 crossed above EMA 26",
    )


def protected(identity: PositionId, price: Decimal, at: datetime) -> ProtectionSet:
    half = Decimal("0.5")
    legs = ("stop-0", "trail-0", "target-1", "target-2")
    return ProtectionSet(
        protection=Protection(
            stop=Stop(price - 700),
            targets=(
                Target(ExitId("target-1"), price + 900, half),
                Target(ExitId("target-2"), price + 1800, half),
            ),
            trail=Trail(anchor=price, ratio=Decimal("0.02")),
        ),
        armed=tuple(
            ArmedExit(ExitId(leg), client_order_id(ACCOUNT, identity, leg, 0)) for leg in legs
        ),
        at=at,
    )


EVOLVE: dict[str, Callable[[Any, Any], Any]] = {
    "order": orders.evolve,
    "position": position_life.evolve,
}


def entries_of(count: int, start: int = 0) -> list[Entry]:
    """Return what `count` entries journal, 64 of them under way at a time, as by 64 actors."""
    entries = []
    end = start + count
    for first in range(start, end, GROUP):
        lives = [entry_life(number) for number in range(first, min(first + GROUP, end))]
        held: Streams = {}
        for step in zip(*lives, strict=True):
            for number, (stream, event) in enumerate(step, start=first):
                version, state = held.get(stream, (0, None))
                state = EVOLVE[stream.partition("/")[0]](state, event)
                held[stream] = (version + 1, state)
                at = START + timedelta(milliseconds=37 * number, microseconds=len(entries))
                entries.append(Entry(stream, version + 1, event, at, state))
    return entries


def guarded_positions(count: int) -> Streams:
    """Return filled longs with their guards."""
    held: Streams = {}
    for number in range(count):
        events = [pair for pair in entry_life(number) if pair[0].startswith("position/")]
        state = None
        for _, event in events:
            state = position_life.evolve(state, event)
        held[events[0][0]] = (len(events), state)
    return held


def timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_groups(items: list[Any], size: int) -> list[list[Any]]:
    return [items[first : first + size] for first in range(0, len(items), size)]


class Ours:
    """The journal, as the persistence actor uses it."""

    def __init__(self, directory: Path) -> None:
        shutil.rmtree(directory / "ours", ignore_errors=True)
        self.database = Database(directory / "ours" / "holdfast.db")
        self.journal = Journal(self.database, REGISTRY, ReadTables(PROJECTIONS))

    def write(self, group: list[Entry]) -> None:
        """Append a group."""
        self.journal.append(group)

    def close(self) -> None:
        """Close."""
        self.database.close()


Rows = list[tuple[str, list[tuple[Any, ...]]]]  # statement and values


class Bare:
    """Ready-made rows by sqlite3 alone, with the same tables and the same PRAGMAs."""

    def __init__(self, directory: Path, name: str, tables: list[str]) -> None:
        path = directory / name
        for leftover in (path, path.with_name(name + "-wal")):
            leftover.unlink(missing_ok=True)
        self.connection = sqlite3.connect(path, isolation_level=None)
        for pragma in PRAGMAS:
            self.connection.execute(f"PRAGMA {pragma}")
        for sql in tables:
            self.connection.execute(sql)

    def write(self, rows: Rows) -> None:
        """Insert a group in one transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        for sql, values in rows:
            self.connection.executemany(sql, values)
        self.connection.execute("COMMIT")

    def close(self) -> None:
        """Close."""
        self.connection.close()


def ready_made(directory: Path, entries: list[Entry], size: int) -> tuple[list[str], list[Rows]]:
    """Return the CREATE statements and the rows of each group that ours writes."""
    writer = Ours(directory)
    groups = []
    for group in in_groups(entries, size):
        prepared = writer.journal._prepare(group)
        writer.write(group)
        rows: Rows = [(INSERT_RECORD, prepared.records), (INSERT_INTENT, prepared.intents)]
        rows += [(statement(row_type), values) for row_type, values in prepared.rows.items()]
        groups.append(rows)
    query = "SELECT sql FROM sqlite_master WHERE sql NOT NULL"
    tables = [sql for (sql,) in writer.database.connection.execute(query)]
    writer.close()
    return tables, groups


def race(directory: Path, entries: list[Entry], size: int) -> dict[str, list[float]]:
    """Write the same groups three ways, group by group in turns; return the seconds of each."""
    tables, groups = ready_made(directory, entries, size)
    ours = Ours(directory)
    bare = Bare(directory, "bare.db", tables)
    bare_journal = Bare(directory, "bare-journal.db", tables)
    seconds: dict[str, list[float]] = {"ours": [], "bare": [], "bare_journal": []}
    for group, rows in zip(in_groups(entries, size), groups, strict=True):
        seconds["ours"].append(timed(partial(ours.write, group)))
        seconds["bare"].append(timed(partial(bare.write, rows)))
        seconds["bare_journal"].append(timed(partial(bare_journal.write, rows[:1])))
    for writer in (ours, bare, bare_journal):
        writer.close()
    return seconds


def appends(directory: Path, count: int, rounds: int) -> dict[str, float]:
    """Compare groups of 64 rows: totals, so with their checkpoints."""
    entries = entries_of(count)
    gc.freeze()  # as the daemon does once it is up
    speeds: dict[str, list[float]] = {"ours": [], "bare": [], "bare_journal": []}
    for _ in range(rounds):
        for name, seconds in race(directory, entries, GROUP).items():
            speeds[name].append(len(entries) / sum(seconds))
    median = {name: statistics.median(values) for name, values in speeds.items()}
    return {
        "rows": len(entries),
        "ours_rows_per_s": round(median["ours"]),
        "bare_rows_per_s": round(median["bare"]),
        "bare_journal_rows_per_s": round(median["bare_journal"]),
        "ratio_to_bare": round(median["ours"] / median["bare"], 3),
        "ratio_to_bare_journal": round(median["ours"] / median["bare_journal"], 3),
    }


def single_commits(directory: Path, count: int) -> dict[str, float]:
    """Compare one durable intent with one bare row."""
    intents = (entry for entry in entries_of(count) if type(entry.event) is orders.OrderIntended)
    entries = list(intents)
    p50 = {
        name: statistics.median(seconds) * 1e6
        for name, seconds in race(directory, entries, 1).items()
    }
    return {
        "ours_p50_us": round(p50["ours"], 1),
        "bare_journal_p50_us": round(p50["bare_journal"], 1),
        "ratio": round(p50["ours"] / p50["bare_journal"], 2),
    }


def states_after(entries: list[Entry]) -> Streams:
    return {entry.stream: (entry.version, entry.state) for entry in entries}


def recovery(directory: Path, count: int, rounds: int) -> dict[str, float]:
    """Time a start from a snapshot of `count` positions and a tail of 256 records."""
    home = directory / "recovery"
    shutil.rmtree(home, ignore_errors=True)
    tables, disk = ReadTables(PROJECTIONS), PlainDisk()
    database = Database(home / "holdfast.db")
    journal = Journal(database, REGISTRY, tables)
    streams = guarded_positions(count)
    entries = entries_of(GROUP, start=count)  # another 64 positions
    journal.append(entries[: 4 * GROUP])
    writer = SnapshotWriter(REGISTRY, journal.tail, streams | states_after(entries[: 4 * GROUP]))
    encode_s = timed(lambda: writer.write(disk, home))
    journal.append(entries[4 * GROUP :])
    database.close()
    seconds = []
    for _ in range(rounds):
        gc.collect()
        started = time.perf_counter()
        database = Database(home / "holdfast.db")
        recovered = recover(database, REGISTRY, tables, disk)
        seconds.append(time.perf_counter() - started)
        assert not recovered.problems
        assert recovered.replayed == GROUP * 4
        del recovered
        database.close()
    size = next((home / "snapshots").iterdir()).stat().st_size
    return {
        "positions": count,
        "recover_ms": round(statistics.median(seconds) * 1e3, 1),
        "best_ms": round(min(seconds) * 1e3, 1),
        "snapshot_encode_ms": round(encode_s * 1e3, 1),
        "snapshot_bytes": size,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--quick", action="store_true", help="smaller and fewer rounds")
    arguments.add_argument("--directory", type=Path, help="where to write (default: beside this)")
    options = arguments.parse_args()
    counts = (1_000, 10_000) if options.quick else (1_000, 10_000, 100_000)
    rounds = 3 if options.quick else 5
    parent = options.directory or Path.cwd()
    with tempfile.TemporaryDirectory(dir=parent, prefix="bench-journal-") as name:
        directory = Path(name)
        result = {
            "groups_of_64": appends(directory, 1_024 if options.quick else 4_096, rounds),
            "single_commit": single_commits(directory, 2_048),
            "recovery": [recovery(directory, count, rounds) for count in counts],
        }
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
