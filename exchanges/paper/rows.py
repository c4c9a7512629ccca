"""The tables of the paper ledger, and how a record becomes a row and a row a record.

Amounts are decimal text without exponent, times ISO 8601 in UTC with microseconds, so that text
order is time order. Every row ends with a seal, a hash of its other columns: SQLite has no
checksums, and an amount with a flipped bit would be an amount like any other.

Every row ends with a seal, a hash of its other columns: SQLite keeps no checksums, and a flipped
bit in an amount would be an amount like any other.
"""

import sqlite3
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import msgspec

from domain.ids import ClientOrderId, PositionId, Symbol, TradeId
from domain.instrument import Direction, Side
from domain.money import Fee, plain
from domain.order import Fill, OrderStatus, OrderTerms, OrderType, TimeInForce
from exchanges.paper.records import Cash, Execution, Holding, PaperOrder

APPLICATION_ID = 0x48465056  # "HFPV"
SCHEMA_VERSION = 2  # 1 had no seals

SCHEMA = """
CREATE TABLE account (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    asset TEXT NOT NULL,
    cash TEXT NOT NULL,
    realized TEXT NOT NULL,
    fees TEXT NOT NULL,
    orders INTEGER NOT NULL,
    trades INTEGER NOT NULL,
    seal TEXT NOT NULL
);
CREATE TABLE positions (
    symbol TEXT NOT NULL,
    direction TEXT NOT NULL,
    quantity TEXT NOT NULL,
    cost TEXT NOT NULL,
    margin TEXT NOT NULL,
    seal TEXT NOT NULL,
    PRIMARY KEY (symbol, direction)
);
CREATE TABLE orders (
    number INTEGER PRIMARY KEY,
    client_order_id TEXT NOT NULL UNIQUE,
    venue_order_id TEXT NOT NULL UNIQUE,
    position_id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,
    type TEXT NOT NULL,
    quantity TEXT NOT NULL,
    price TEXT,
    trigger_price TEXT,
    reduce_only INTEGER NOT NULL,
    leverage TEXT NOT NULL,
    time_in_force TEXT NOT NULL,
    status TEXT NOT NULL,
    filled TEXT NOT NULL,
    value TEXT NOT NULL,
    frozen TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    seal TEXT NOT NULL
);
CREATE INDEX open_orders ON orders (number) WHERE status IN ('open', 'partial', 'triggered');
CREATE TABLE fills (
    number INTEGER PRIMARY KEY,
    trade_id TEXT NOT NULL UNIQUE,
    client_order_id TEXT NOT NULL REFERENCES orders (client_order_id),
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,
    quantity TEXT NOT NULL,
    price TEXT NOT NULL,
    fee TEXT NOT NULL,
    fee_asset TEXT NOT NULL,
    realized TEXT NOT NULL,
    maker INTEGER NOT NULL,
    at TEXT NOT NULL,
    seal TEXT NOT NULL
);
CREATE INDEX fills_by_time ON fills (at);
"""
SAVE_ACCOUNT = """
INSERT INTO account VALUES (1, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (only_row) DO UPDATE SET
    cash = excluded.cash, realized = excluded.realized, fees = excluded.fees,
    orders = excluded.orders, trades = excluded.trades, seal = excluded.seal
"""
SAVE_POSITION = """
INSERT INTO positions VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (symbol, direction) DO UPDATE SET
    quantity = excluded.quantity, cost = excluded.cost, margin = excluded.margin,
    seal = excluded.seal
"""
# A new order under a used client_order_id violates that column's constraint: all is rolled back.
SAVE_ORDER = """
INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (number) DO UPDATE SET
    quantity = excluded.quantity, price = excluded.price, trigger_price = excluded.trigger_price,
    status = excluded.status, filled = excluded.filled, value = excluded.value,
    frozen = excluded.frozen, reason = excluded.reason, updated_at = excluded.updated_at,
    seal = excluded.seal
"""
SAVE_FILL = "INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
OPEN_ORDERS = (
    "SELECT * FROM orders WHERE status IN ('open', 'partial', 'triggered') ORDER BY number"
)

_SEALED = ("account", "positions", "orders", "fills")

Row = tuple[Any, ...]  # as the driver takes and gives it: text, integers, None


def stamp(time: datetime) -> str:
    """Print a time as the tables hold it."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


class DamagedRowError(ValueError):
    """A row whose columns do not match its seal."""


def sealed(row: Row) -> Row:
    """Return the row as it is stored: with its seal."""
    return *row, blake2b(msgspec.json.encode(row), digest_size=8).hexdigest()


def unsealed(row: Row, table: str) -> Row:
    """Return the row without its seal. Raises `DamagedRowError` if that is another row's."""
    # In JSON an empty blob is an empty text; the tables hold none.
    if sealed(row[:-1]) != tuple(row) or any(isinstance(value, bytes) for value in row):
        raise DamagedRowError(f"a row of {table} is damaged: {row[:4]!r}")
    return row[:-1]


def account_row(asset: str, cash: Cash) -> Row:
    """Return a row of `account`, without its key."""
    amounts = (plain(cash.amount), plain(cash.realized), plain(cash.fees))
    return sealed((asset, *amounts, cash.orders, cash.trades))


def cash_from(row: Row) -> Cash:
    """Read what `account_row` wrote."""
    _, amount, realized, fees, orders, trades = unsealed(row, "account")
    return Cash(
        amount=Decimal(amount),
        realized=Decimal(realized),
        fees=Decimal(fees),
        orders=orders,
        trades=trades,
    )


def holding_row(holding: Holding) -> Row:
    """Return a row of `positions`."""
    amounts = (plain(holding.quantity), plain(holding.cost), plain(holding.margin))
    return sealed((holding.symbol, holding.direction.value, *amounts))


def holding_from(row: Row) -> Holding:
    """Read a row of `positions`."""
    symbol, direction, quantity, cost, margin = unsealed(row, "positions")
    return Holding(
        symbol=Symbol(symbol),
        direction=Direction(direction),
        quantity=Decimal(quantity),
        cost=Decimal(cost),
        margin=Decimal(margin),
    )


def order_row(order: PaperOrder) -> Row:
    """Return a row of `orders`."""
    terms = order.terms
    row = (
        order.number,
        order.id,
        order.venue_order_id,
        terms.position_id,
        terms.symbol,
        terms.side.value,
        terms.type.value,
        plain(terms.quantity),
        None if terms.price is None else plain(terms.price),
        None if terms.trigger_price is None else plain(terms.trigger_price),
        int(terms.reduce_only),
        plain(terms.leverage),
        terms.time_in_force.value,
        order.status.value,
        plain(order.filled),
        plain(order.value),
        plain(order.frozen),
        order.reason,
        stamp(order.created_at),
        stamp(order.updated_at),
    )
    return sealed(row)


def order_from(row: Row) -> PaperOrder:
    """Read a row of `orders`."""
    row = unsealed(row, "orders")
    number, order_id, _, position_id, symbol, side, kind, quantity, price, trigger = row[:10]
    reduce_only, leverage, time_in_force, status, filled, value, frozen, reason = row[10:18]
    terms = OrderTerms(
        client_order_id=ClientOrderId(order_id),
        position_id=PositionId(position_id),
        symbol=Symbol(symbol),
        side=Side(side),
        type=OrderType(kind),
        quantity=Decimal(quantity),
        price=None if price is None else Decimal(price),
        trigger_price=None if trigger is None else Decimal(trigger),
        reduce_only=bool(reduce_only),
        leverage=Decimal(leverage),
        time_in_force=TimeInForce(time_in_force),
    )
    return PaperOrder(
        number=number,
        terms=terms,
        status=OrderStatus(status),
        created_at=datetime.fromisoformat(row[18]),
        updated_at=datetime.fromisoformat(row[19]),
        filled=Decimal(filled),
        value=Decimal(value),
        frozen=Decimal(frozen),
        reason=reason,
    )


def fill_row(execution: Execution) -> Row:
    """Return a row of `fills`."""
    fill = execution.fill
    row = (
        execution.number,
        fill.trade_id,
        fill.client_order_id,
        fill.symbol,
        fill.side.value,
        plain(fill.quantity),
        plain(fill.price),
        plain(fill.fee.amount),
        fill.fee.asset,
        plain(execution.realized),
        int(fill.maker),
        stamp(fill.at),
    )
    return sealed(row)


def fill_from(row: Row) -> Fill:
    """Read a row of `fills`."""
    row = unsealed(row, "fills")
    _, trade_id, order_id, symbol, side, quantity, price, fee, asset, _, maker, at = row
    return Fill(
        trade_id=TradeId(trade_id),
        client_order_id=ClientOrderId(order_id),
        symbol=Symbol(symbol),
        side=Side(side),
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Fee(amount=Decimal(fee), asset=asset),
        at=datetime.fromisoformat(at),
        maker=bool(maker),
    )


def add_seals(connection: sqlite3.Connection) -> None:
    """Bring a ledger of schema 1 to 2, within the transaction under way."""
    for table in _SEALED:
        connection.execute(f"ALTER TABLE {table} ADD COLUMN seal TEXT NOT NULL DEFAULT ''")
        rows = connection.execute(f"SELECT rowid, * FROM {table}").fetchall()  # noqa: S608
        start = 2 if table == "account" else 1  # its key is always the same
        seals = [(sealed(row[start:-1])[-1], row[0]) for row in rows]
        connection.executemany(f"UPDATE {table} SET seal = ? WHERE rowid = ?", seals)  # noqa: S608
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
