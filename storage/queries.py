"""Reading the tables and the journal for people and programs.

Plain SQL with bound parameters over the one connection: on the storage thread a read waits its turn
behind a commit, so every list has a limit. Newest first.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import msgspec

from domain.ids import (
    POSITION_PREFIX,
    AccountName,
    ClientOrderId,
    PositionId,
    client_order_id,
    identity_of,
)
from storage.chain import Record, chosen_of, history_of
from storage.errors import SqliteError, unreadable
from storage.rows import (
    ClosedPositionRow,
    DecisionRow,
    EquityRow,
    ExecutionRow,
    FillRow,
    ModificationRow,
    OrderRow,
    PositionRow,
    Row,
)

FAILED = "status IN ('SKIPPED', 'FAILED')"  # as the index has it
DEFAULT_LIMIT = 100
MAX_LIMIT = 10_000

R = TypeVar("R", bound=Row)
Value = str | int


class Quarantined(msgspec.Struct, frozen=True):
    """A record that left the journal because it, or one before it, was damaged."""

    seq: int | None
    stream: str
    type: str
    payload: str
    why: str


def open_positions(
    connection: sqlite3.Connection, limit: int = DEFAULT_LIMIT, trader: str | None = None
) -> list[PositionRow]:
    """Return positions that are not over, those changed last first."""
    where, values = _equal(trader=trader)
    return _rows(connection, PositionRow, f"{where} ORDER BY seq DESC", values, limit)


def closed_positions(
    connection: sqlite3.Connection, limit: int = DEFAULT_LIMIT, trader: str | None = None
) -> list[ClosedPositionRow]:
    """Return positions that are over."""
    where, values = _equal(trader=trader)
    return _rows(connection, ClosedPositionRow, f"{where} ORDER BY seq DESC", values, limit)


def find_positions(connection: sqlite3.Connection, prefix: str) -> list[str]:
    """Return the ids, of open and closed positions, that begin with `prefix`."""
    beyond = prefix + "\U0010ffff"
    query = (
        "SELECT position_id FROM positions WHERE position_id >= ? AND position_id < ? UNION"
        " SELECT position_id FROM closed_positions WHERE position_id >= ? AND position_id < ?"
        " LIMIT ?"
    )
    values = (prefix, beyond, prefix, beyond, DEFAULT_LIMIT)
    return [str(found) for (found,) in _fetch(connection, query, values)]


def was_ever_used(
    connection: sqlite3.Connection, account: AccountName, position_id: PositionId
) -> bool:
    """Whether a position of this id ever existed, even if its rows and events have left.

    The ids of orders, which begin with their position's, stay for good.
    """
    prefix = client_order_id(account, position_id, "entry-0", 0)[:POSITION_PREFIX]
    query = (
        "SELECT 1 FROM closed_positions WHERE position_id = ? UNION ALL"
        " SELECT 1 FROM journal WHERE stream = ? UNION ALL"
        " SELECT 1 FROM intents WHERE client_order_id >= ? AND client_order_id < ? LIMIT 1"
    )
    values = (position_id, f"position/{position_id}", prefix, prefix + "\U0010ffff")
    return bool(_fetch(connection, query, values))


def orders(
    connection: sqlite3.Connection, limit: int = DEFAULT_LIMIT, status: str | None = None
) -> list[OrderRow]:
    """Return orders, those intended last first."""
    where, values = _equal(status=status)
    return _rows(
        connection, OrderRow, f"{where} ORDER BY intended_at DESC, seq DESC", values, limit
    )


def orders_of(connection: sqlite3.Connection, position_id: str) -> list[OrderRow]:
    """Return the orders of a position, in the order they were intended."""
    where, values = _equal(position_id=position_id)
    return _rows(connection, OrderRow, f"{where} ORDER BY intended_at, seq", values, MAX_LIMIT)


def fills(connection: sqlite3.Connection, position_id: str) -> list[FillRow]:
    """Return the executions of a position's orders, oldest first."""
    where, values = _equal(position_id=position_id)
    return _rows(connection, FillRow, f"{where} ORDER BY seq", values, MAX_LIMIT)


def modifications(connection: sqlite3.Connection, position_id: str) -> list[ModificationRow]:
    """Return all changes of a position's protection, done and refused, oldest first."""
    where, values = _equal(position_id=position_id)
    return _rows(connection, ModificationRow, f"{where} ORDER BY seq", values, MAX_LIMIT)


def executions(
    connection: sqlite3.Connection,
    limit: int = DEFAULT_LIMIT,
    *,
    failed: bool = False,
    with_order: bool = False,
    **equal: str | None,
) -> list[ExecutionRow]:
    """Return attempts to place orders, those made last first; `equal` names columns and values.

    With `failed`, only those that came to nothing; with `with_order`, only those that got as far as
    an order.
    """
    where, values = _equal(**equal)
    for wanted, clause in ((failed, FAILED), (with_order, "client_order_id != ''")):
        if wanted:
            where = f"{where} AND {clause}" if where else f"WHERE {clause}"
    return _rows(connection, ExecutionRow, f"{where} ORDER BY at DESC, seq DESC", values, limit)


def decisions(
    connection: sqlite3.Connection, limit: int = DEFAULT_LIMIT, trader: str | None = None
) -> list[DecisionRow]:
    """Return decisions."""
    where, values = _equal(trader=trader)
    return _rows(connection, DecisionRow, f"{where} ORDER BY decided_at DESC", values, limit)


def equity(
    connection: sqlite3.Connection, limit: int = DEFAULT_LIMIT, account: str | None = None
) -> list[EquityRow]:
    """Return points of the equity curve."""
    where, values = _equal(account=account)
    return _rows(connection, EquityRow, f"{where} ORDER BY seq DESC", values, limit)


def events_of(connection: sqlite3.Connection, stream: str) -> list[Record]:
    """Return the journal of one stream, oldest first.

    Raises `DamagedRecordError`, `JournalUnavailableError`.
    """
    return list(history_of(connection, stream))


def streams_of(connection: sqlite3.Connection, position_id: str) -> list[str]:
    """Return the names of the streams of a position and its orders."""
    orders_streams = [f"order/{row.client_order_id}" for row in orders_of(connection, position_id)]
    return [f"position/{position_id}", *orders_streams]


def length_of(connection: sqlite3.Connection, stream: str) -> int:
    """Return how many events a stream has."""
    query = "SELECT COALESCE(MAX(stream_version), 0) FROM journal WHERE stream = ?"
    return int(_fetch(connection, query, (stream,))[0][0])


def events_between(
    connection: sqlite3.Connection, *, stream: str, first: int, end: int, types: Sequence[str]
) -> list[Record]:
    """Return a stream's events of these types with versions in (`first`, `end`], oldest first.

    Raises `DamagedRecordError`, `JournalUnavailableError`.
    """
    return list(chosen_of(connection, stream, first, end, types))


def story_of(connection: sqlite3.Connection, position_id: str) -> list[Record]:
    """Return what happened to a position and its orders, in the order it was journaled."""
    streams = streams_of(connection, position_id)
    records = [record for stream in streams for record in history_of(connection, stream)]
    return sorted(records, key=lambda record: record.seq)


def position_of(order_id: str) -> str | None:
    """Return the position that an order id of ours belongs to."""
    identity = identity_of(ClientOrderId(order_id))
    return None if identity is None else identity.position_id


def quarantined(connection: sqlite3.Connection, limit: int = DEFAULT_LIMIT) -> list[Quarantined]:
    """Return records that were moved out of the journal; their content is not to be trusted."""
    connection.text_factory = _readable
    try:
        query = "SELECT seq, stream, type, payload, why FROM quarantine ORDER BY id DESC LIMIT ?"
        return [
            Quarantined(seq if isinstance(seq, int) else None, *map(str, texts))
            for seq, *texts in _fetch(connection, query, (_checked(limit),))
        ]
    finally:
        connection.text_factory = str


def _readable(text: bytes) -> str:
    return text.decode(errors="replace")


def _checked(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        message = f"a limit lies between 1 and {MAX_LIMIT}, not {limit}"
        raise ValueError(message)
    return limit


def _equal(**columns: str | None) -> tuple[str, tuple[Value, ...]]:
    wanted = {name: value for name, value in columns.items() if value is not None}
    if not wanted:
        return "", ()
    return "WHERE " + " AND ".join(f'"{name}" = ?' for name in wanted), tuple(wanted.values())


@cache
def _select(row_type: type[Row]) -> str:
    names = ", ".join(f'"{name}"' for name in row_type.__struct_fields__)
    return f"SELECT {names} FROM {row_type.table}"  # noqa: S608 - names of ours


def _rows(
    connection: sqlite3.Connection,
    row_type: type[R],
    clauses: str,
    values: tuple[Value, ...],
    limit: int,
) -> list[R]:
    query = f"{_select(row_type)} {clauses} LIMIT ?"
    return [row_type(*row) for row in _fetch(connection, query, (*values, _checked(limit)))]


def _fetch(
    connection: sqlite3.Connection, query: str, values: tuple[Value, ...]
) -> list[tuple[Value, ...]]:
    try:
        return connection.execute(query, values).fetchall()
    except SqliteError as error:
        raise unreadable(error) from error
