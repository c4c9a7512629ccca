"""Rows of the read tables: what people and programs look up.

Everything in them follows from the journal.

A field is a column of the same name. Amounts are texts, so that no database rounds them; times are
ISO texts of one width in UTC; an empty text means that there is none, and a flag is 0 or 1: for
sqlite3 a None or a bool costs as much to bind as ten texts. `seq` is the journal record that the
row was last changed by.
"""

from enum import Enum
from functools import cache
from typing import ClassVar

import msgspec


class Write(Enum):
    """How a row reaches its table."""

    UPSERT = "upsert"
    IF_MISSING = "if missing"
    UPDATE = "update"
    DELETE = "delete"


class Row(msgspec.Struct, frozen=True, gc=False):
    """One write to a read table."""

    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]]
    origin: ClassVar[
        tuple[str, str]
    ]  # the kind of stream it comes from, the field with the rest of its name
    write: ClassVar[Write] = Write.UPSERT


class PositionRow(Row, frozen=True, gc=False):
    """A position that is not over, as it was born; `PositionProgress` brings it up to date."""

    table: ClassVar[str] = "positions"
    key: ClassVar[tuple[str, ...]] = ("position_id",)
    origin: ClassVar[tuple[str, str]] = ("position", "position_id")

    position_id: str
    seq: int
    account: str
    trader: str
    user: str
    symbol: str
    market_type: str
    direction: str
    status: str
    paper: int
    leverage: str
    entry_order_id: str
    entry_type: str
    entry_price: str  # quote per base unit; 0 before the first fill
    entry_quantity: str  # base units
    remaining: str  # base units
    realized_pnl: str  # quote, net of fees
    fees: str  # quote
    initial_stop_price: str
    protection: str  # JSON
    best_price: str
    worst_price: str
    modification_count: int
    decision_id: str
    rationale: str
    intended_at: str
    opened_at: str
    modified_at: str


class PositionProgress(Row, frozen=True, gc=False):
    """What changes about a position after its birth."""

    table: ClassVar[str] = "positions"
    key: ClassVar[tuple[str, ...]] = ("position_id",)
    origin: ClassVar[tuple[str, str]] = ("position", "position_id")
    write: ClassVar[Write] = Write.UPDATE

    position_id: str
    seq: int
    status: str
    entry_price: str
    entry_quantity: str
    remaining: str
    realized_pnl: str
    fees: str
    protection: str
    best_price: str
    worst_price: str
    modification_count: int
    opened_at: str
    modified_at: str


class PositionGone(Row, frozen=True, gc=False):
    """Take a position out of those that are not over."""

    table: ClassVar[str] = "positions"
    key: ClassVar[tuple[str, ...]] = ("position_id",)
    origin: ClassVar[tuple[str, str]] = ("position", "position_id")
    write: ClassVar[Write] = Write.DELETE

    position_id: str


class ClosedPositionRow(Row, frozen=True, gc=False):
    """A position that is over."""

    table: ClassVar[str] = "closed_positions"
    key: ClassVar[tuple[str, ...]] = ("position_id",)
    origin: ClassVar[tuple[str, str]] = ("position", "position_id")

    position_id: str
    seq: int
    account: str
    trader: str
    user: str
    symbol: str
    market_type: str
    direction: str
    status: str
    paper: int
    leverage: str
    entry_price: str  # empty: never filled
    entry_quantity: str  # base units
    exit_price: str  # average of the exit fills
    remaining: str  # base units, dust
    realized_pnl: str  # quote, net of fees
    fees: str  # quote
    exit_reason: str
    initial_stop_price: str
    best_price: str
    worst_price: str
    modification_count: int
    decision_id: str
    rationale: str
    opened_at: str
    closed_at: str


class OrderRow(Row, frozen=True, gc=False):
    """An order as it was born; `OrderProgress` brings it up to date.

    The key begins with the position: one index finds an order and all orders of a position.
    """

    table: ClassVar[str] = "orders"
    key: ClassVar[tuple[str, ...]] = ("position_id", "client_order_id")
    origin: ClassVar[tuple[str, str]] = ("order", "client_order_id")

    position_id: str
    client_order_id: str
    seq: int
    symbol: str
    side: str
    type: str
    quantity: str  # base units
    price: str
    trigger_price: str
    reduce_only: int
    leverage: str
    time_in_force: str
    intended_at: str
    status: str
    venue_order_id: str
    filled: str  # base units
    average_price: str  # quote per base unit
    reason: str
    late_fill: int
    sent_at: str
    updated_at: str


class OrderProgress(Row, frozen=True, gc=False):
    """What changes about an order after its birth."""

    table: ClassVar[str] = "orders"
    key: ClassVar[tuple[str, ...]] = ("position_id", "client_order_id")
    origin: ClassVar[tuple[str, str]] = ("order", "client_order_id")
    write: ClassVar[Write] = Write.UPDATE

    position_id: str
    client_order_id: str
    seq: int
    quantity: str  # as it was changed, where it rests
    price: str
    trigger_price: str
    status: str
    venue_order_id: str
    filled: str
    average_price: str
    reason: str
    late_fill: int
    sent_at: str
    updated_at: str


class FillRow(Row, frozen=True, gc=False):
    """One execution."""

    table: ClassVar[str] = "fills"
    key: ClassVar[tuple[str, ...]] = ("position_id", "trade_id")
    origin: ClassVar[tuple[str, str]] = ("order", "client_order_id")

    position_id: str
    trade_id: str
    seq: int
    client_order_id: str
    symbol: str
    side: str
    quantity: str  # base units
    price: str  # quote per base unit
    fee: str
    fee_asset: str
    maker: int
    at: str  # venue time


class ModificationRow(Row, frozen=True, gc=False):
    """A change of protection, done or refused."""

    table: ClassVar[str] = "modifications"
    key: ClassVar[tuple[str, ...]] = ("position_id", "seq")
    origin: ClassVar[tuple[str, str]] = ("position", "position_id")

    position_id: str
    seq: int
    type: str
    requested_by: str
    reason: str
    previous: str  # JSON of the protection before
    new: str  # JSON of the protection after; the same when refused
    errors: str  # JSON list of codes
    warnings: str  # JSON list of codes
    constraints: str  # JSON list of {name, current, required}
    error: str  # empty when done
    at: str


class ExecutionRow(Row, frozen=True, gc=False):
    """An attempt to place an order, as it was made; `ExecutionProgress` says what came of it.

    PENDING: no answer yet. PLACED needs the venue's order id. SKIPPED is our refusal, FAILED the
    venue's or a proof of absence. UNKNOWN: the answer was lost, evidence will tell.
    """

    table: ClassVar[str] = "executions"
    key: ClassVar[tuple[str, ...]] = ("execution_id",)
    origin: ClassVar[tuple[str, str]] = ("order", "client_order_id")

    execution_id: str  # of an order its client_order_id, else the trader and a number
    seq: int
    position_id: str
    client_order_id: str  # empty: refused before there was one
    decision_id: str
    user: str
    source: str
    trader: str
    venue: str
    market_type: str
    symbol: str
    side: str
    type: str
    reduce_only: int
    size_by: str  # how the size was asked for
    size: str
    quantity: str  # base units; empty: refused before it was sized
    price: str  # of a limit order
    trigger_price: str
    leverage: str
    min_notional: str  # quote
    available: str  # quote, before it
    required: str  # quote
    precheck: str  # "passed", or the rule that refused it; empty: an exit, which is not judged
    request: str  # JSON: what was asked of the venue; of what was refused before, what was wanted
    status: str
    venue_order_id: str
    code: str  # our rule or the venue's code
    message: str
    remedy: str
    response_s: str  # seconds from request to answer
    doubts: int  # answers lost
    times: int  # the same refusal, counted
    decided_at: str
    at: str
    sent_at: str
    last_at: str  # of the last news, or of the last repetition


class ExecutionProgress(Row, frozen=True, gc=False):
    """What came of an attempt."""

    table: ClassVar[str] = "executions"
    key: ClassVar[tuple[str, ...]] = ("execution_id",)
    origin: ClassVar[tuple[str, str]] = ("order", "client_order_id")
    write: ClassVar[Write] = Write.UPDATE

    execution_id: str
    seq: int
    status: str
    venue_order_id: str
    code: str
    message: str
    remedy: str
    response_s: str
    doubts: int
    sent_at: str
    last_at: str


class RebornExecution(ExecutionRow, frozen=True, gc=False):
    """An attempt as a state without its events tells it, where its row has been taken out."""

    write: ClassVar[Write] = Write.IF_MISSING


class DeclinedRow(ExecutionRow, frozen=True, gc=False):
    """An attempt that was refused before an order existed."""

    origin: ClassVar[tuple[str, str]] = ("trader", "trader")


class DecisionRow(Row, frozen=True, gc=False):
    """What a strategy, a model or a rule decided, stored before anything follows from it."""

    table: ClassVar[str] = "decisions"
    key: ClassVar[tuple[str, ...]] = ("decision_id",)
    origin: ClassVar[tuple[str, str]] = ("trader", "trader")

    decision_id: str
    seq: int
    trader: str
    symbol: str
    action: str
    confidence: str
    reasoning: str
    price: str  # quote, what it was based on
    plan: str  # JSON of the guards wished for; empty: none
    position_id: str  # of the entry asked for, or of the position meant
    status: str  # MADE, REFUSED
    error: str  # the rule that refused it, with the text
    decided_at: str


class DecisionOutcome(Row, frozen=True, gc=False):
    """What became of a decision."""

    table: ClassVar[str] = "decisions"
    key: ClassVar[tuple[str, ...]] = ("decision_id",)
    origin: ClassVar[tuple[str, str]] = ("trader", "trader")
    write: ClassVar[Write] = Write.UPDATE

    decision_id: str
    status: str
    error: str


class DecisionProgress(Row, frozen=True, gc=False):
    """What became of the decision to open a position, as older versions tell it."""

    table: ClassVar[str] = "decisions"
    key: ClassVar[tuple[str, ...]] = ("trader", "position_id")
    origin: ClassVar[tuple[str, str]] = ("trader", "trader")
    write: ClassVar[Write] = Write.UPDATE

    trader: str
    position_id: str
    status: str
    error: str


class EquityRow(Row, frozen=True, gc=False):
    """A point of an account's equity curve."""

    table: ClassVar[str] = "equity"
    key: ClassVar[tuple[str, ...]] = ("account", "seq")
    origin: ClassVar[tuple[str, str]] = ("portfolio", "account")

    account: str
    seq: int
    at: str
    equity: str  # quote
    balance: str  # quote
    drawdown: str  # fraction below the high-water mark


READ_ROWS: tuple[type[Row], ...] = (
    PositionRow,
    ClosedPositionRow,
    OrderRow,
    FillRow,
    ModificationRow,
    ExecutionRow,
    DeclinedRow,
    DecisionRow,
    EquityRow,
)
READ_TABLES = tuple(dict.fromkeys(row.table for row in READ_ROWS))


@cache
def statement(row: type[Row]) -> str:
    """Return the SQL for rows of this type; parameter n is field n."""
    names = row.__struct_fields__
    number = {name: f"?{index}" for index, name in enumerate(names, start=1)}
    where = " AND ".join(f"{name} = {number[name]}" for name in row.key)
    changes = [name for name in names if name not in row.key]
    if row.write is Write.DELETE:
        return f"DELETE FROM {row.table} WHERE {where}"  # noqa: S608 - names of ours, no input
    if row.write is Write.UPDATE:
        assigned = ", ".join(f'"{name}" = {number[name]}' for name in changes)
        return f"UPDATE {row.table} SET {assigned} WHERE {where}"  # noqa: S608
    columns = ", ".join(f'"{name}"' for name in names)
    if row.write is Write.IF_MISSING:
        return (
            f"INSERT INTO {row.table} ({columns}) VALUES ({', '.join(number.values())})"  # noqa: S608
            " ON CONFLICT DO NOTHING"
        )
    assigned = ", ".join(f'"{name}" = excluded."{name}"' for name in changes)
    return (
        f"INSERT INTO {row.table} ({columns}) VALUES ({', '.join(number.values())})"  # noqa: S608
        f" ON CONFLICT ({', '.join(row.key)}) DO UPDATE SET {assigned}"
    )
