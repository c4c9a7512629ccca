"""Rows of the read tables: what people and programs look up. Everything in them follows from the journal.

A field is a column of the same name. Amounts are texts, so that no database rounds them; times are ISO texts of one
width in UTC. `seq` is the journal record that the row was last changed by.
"""

from enum import Enum
from functools import cache
from typing import ClassVar

import msgspec


class Write(Enum):
    """How a row reaches its table."""

    UPSERT = "upsert"
    UPDATE = "update"
    DELETE = "delete"


class Row(msgspec.Struct, frozen=True):
    """One write to a read table; fields that `fixed` names keep what was inserted first."""

    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]]
    write: ClassVar[Write] = Write.UPSERT
    fixed: ClassVar[frozenset[str]] = frozenset()


class PositionRow(Row, frozen=True):
    """A position that is not over."""

    table: ClassVar[str] = "positions"
    key: ClassVar[tuple[str, ...]] = ("position_id",)
    fixed: ClassVar[frozenset[str]] = frozenset(
        "account trader user symbol market_type direction paper leverage entry_order_id entry_type"
        " initial_stop_price decision_id rationale intended_at".split()
    )

    position_id: str
    seq: int
    account: str
    trader: str
    user: str
    symbol: str
    market_type: str
    direction: str
    status: str
    paper: bool
    leverage: str
    entry_order_id: str
    entry_type: str
    entry_price: str  # quote per base unit; 0 before the first fill
    entry_quantity: str  # base units
    remaining: str  # base units
    realized_pnl: str  # quote, net of fees
    fees: str  # quote
    initial_stop_price: str | None
    protection: str  # JSON
    best_price: str | None
    worst_price: str | None
    modification_count: int
    decision_id: str | None
    rationale: str
    intended_at: str
    opened_at: str | None
    modified_at: str | None


class PositionGone(Row, frozen=True):
    """Take a position out of those that are not over."""

    table: ClassVar[str] = "positions"
    key: ClassVar[tuple[str, ...]] = ("position_id",)
    write: ClassVar[Write] = Write.DELETE

    position_id: str


class ClosedPositionRow(Row, frozen=True):
    """A position that is over."""

    table: ClassVar[str] = "closed_positions"
    key: ClassVar[tuple[str, ...]] = ("position_id",)

    position_id: str
    seq: int
    account: str
    trader: str
    user: str
    symbol: str
    market_type: str
    direction: str
    status: str
    paper: bool
    leverage: str
    entry_price: str | None  # None: never filled
    entry_quantity: str  # base units
    exit_price: str | None  # average of the exit fills
    remaining: str  # base units, dust
    realized_pnl: str  # quote, net of fees
    fees: str  # quote
    exit_reason: str | None
    initial_stop_price: str | None
    best_price: str | None
    worst_price: str | None
    modification_count: int
    decision_id: str | None
    rationale: str
    opened_at: str | None
    closed_at: str | None


class OrderRow(Row, frozen=True):
    """An order as it was born; `OrderProgress` brings it up to date."""

    table: ClassVar[str] = "orders"
    key: ClassVar[tuple[str, ...]] = ("client_order_id",)
    fixed: ClassVar[frozenset[str]] = frozenset(
        "position_id symbol side type quantity price trigger_price reduce_only leverage time_in_force"
        " intended_at".split()
    )

    client_order_id: str
    seq: int
    position_id: str
    symbol: str
    side: str
    type: str
    quantity: str  # base units
    price: str | None
    trigger_price: str | None
    reduce_only: bool
    leverage: str
    time_in_force: str
    intended_at: str
    status: str
    venue_order_id: str | None
    filled: str  # base units
    average_price: str  # quote per base unit
    reason: str
    late_fill: bool
    sent_at: str | None
    updated_at: str | None


class OrderProgress(Row, frozen=True):
    """What changes about an order after its birth."""

    table: ClassVar[str] = "orders"
    key: ClassVar[tuple[str, ...]] = ("client_order_id",)
    write: ClassVar[Write] = Write.UPDATE

    client_order_id: str
    seq: int
    status: str
    venue_order_id: str | None
    filled: str
    average_price: str
    reason: str
    late_fill: bool
    sent_at: str | None
    updated_at: str | None


class FillRow(Row, frozen=True):
    """One execution."""

    table: ClassVar[str] = "fills"
    key: ClassVar[tuple[str, ...]] = ("client_order_id", "trade_id")

    client_order_id: str
    trade_id: str
    seq: int
    position_id: str
    symbol: str
    side: str
    quantity: str  # base units
    price: str  # quote per base unit
    fee: str
    fee_asset: str
    maker: bool
    at: str  # venue time


class ModificationRow(Row, frozen=True):
    """A change of protection, done or refused."""

    table: ClassVar[str] = "modifications"
    key: ClassVar[tuple[str, ...]] = ("position_id", "seq")

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


class ExecutionRow(Row, frozen=True):
    """One attempt to place an order, whatever came of it.

    PLACED needs the venue's order id; SKIPPED is our refusal, FAILED the venue's or a proof of absence. PENDING: the
    answer is not known, which is neither.
    """

    table: ClassVar[str] = "executions"
    key: ClassVar[tuple[str, ...]] = ("client_order_id",)
    fixed: ClassVar[frozenset[str]] = frozenset(
        "position_id symbol side type quantity price leverage at".split()
    )

    client_order_id: str
    seq: int
    position_id: str
    symbol: str
    side: str
    type: str
    quantity: str  # base units asked for
    price: str | None
    leverage: str
    status: str
    venue_order_id: str | None
    error: str  # our rule or the venue's code, with the text
    at: str
    user: str | None = None
    source: str | None = None
    trader: str | None = None
    venue: str | None = None
    market_type: str | None = None
    quote_quantity: str | None = None
    min_notional: str | None = None
    available_balance: str | None = None
    required_balance: str | None = None
    precheck: str | None = None
    venue_request: str | None = None
    venue_response: str | None = None


class DecisionRow(Row, frozen=True):
    """What a strategy, a model or a rule decided, stored before anything follows from it."""

    table: ClassVar[str] = "decisions"
    key: ClassVar[tuple[str, ...]] = ("decision_id",)

    decision_id: str
    seq: int
    trader: str
    user: str
    symbol: str
    action: str
    confidence: str
    reasoning: str
    status: str
    position_id: str | None
    prompt: str | None
    response: str | None
    payload: str  # JSON of the whole decision
    decided_at: str
    expires_at: str | None


class EquityRow(Row, frozen=True):
    """A point of an account's equity curve."""

    table: ClassVar[str] = "equity"
    key: ClassVar[tuple[str, ...]] = ("account", "seq")

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
    DecisionRow,
    EquityRow,
)
READ_TABLES = tuple(row.table for row in READ_ROWS)


@cache
def statement(row: type[Row]) -> str:
    """Return the SQL for rows of this type; parameter n is field n."""
    names = row.__struct_fields__
    number = {name: f"?{index}" for index, name in enumerate(names, start=1)}
    where = " AND ".join(f"{name} = {number[name]}" for name in row.key)
    changes = [name for name in names if name not in row.key and name not in row.fixed]
    if row.write is Write.DELETE:
        return f"DELETE FROM {row.table} WHERE {where}"  # noqa: S608 - names of ours, no input
    if row.write is Write.UPDATE:
        assigned = ", ".join(f'"{name}" = {number[name]}' for name in changes)
        return f"UPDATE {row.table} SET {assigned} WHERE {where}"  # noqa: S608
    columns = ", ".join(f'"{name}"' for name in names)
    assigned = ", ".join(f'"{name}" = excluded."{name}"' for name in changes)
    return (
        f"INSERT INTO {row.table} ({columns}) VALUES ({', '.join(number.values())})"  # noqa: S608
        f" ON CONFLICT ({', '.join(row.key)}) DO UPDATE SET {assigned}"
    )
