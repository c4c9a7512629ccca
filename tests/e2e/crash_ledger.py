"""The paper venue's own word, read from its ledger file while no daemon runs.

The file is copied first, so that nothing that is looked at here can change what the next daemon
finds.
"""

import shutil
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from domain.ids import ClientOrderId, identity_of
from domain.money import ZERO

D = Decimal
_FILES = ("paper.db", "paper.db-wal")  # the shared memory beside them is made anew


@dataclass(frozen=True)
class VenueFill:
    """An execution, as the venue booked it."""

    trade_id: str
    order_id: str
    position_id: str
    leg: str  # "entry-0", "stop-0", "target-2"
    symbol: str
    side: str  # "buy" or "sell"
    quantity: Decimal
    price: Decimal
    fee: Decimal

    @property
    def is_entry(self) -> bool:
        return self.leg.startswith("entry")

    @property
    def signed(self) -> Decimal:
        return self.quantity if self.side == "buy" else -self.quantity


@dataclass
class Ledger:
    """All of it, and what contradicts itself in it."""

    cash: Decimal = ZERO
    fills: dict[str, VenueFill] = field(default_factory=dict)  # by trade id
    of_position: dict[str, list[VenueFill]] = field(default_factory=lambda: defaultdict(list))
    orders: dict[str, tuple[str, str, Decimal]] = field(
        default_factory=dict
    )  # (position, leg, quantity)
    duplicated: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def open_positions(self) -> int:
        """How many positions have bought more than they sold, or the other way round."""
        return sum(1 for each in self.of_position.values() if sum(fill.signed for fill in each))

    def exits(self, *, manual: bool) -> int:
        """How many exit orders executed: by command, or by a level that was crossed."""
        executed = {fill.order_id for fill in self.fills.values()}
        legs = [self.orders[order_id][1] for order_id in executed]
        return sum(leg.startswith("close") == manual for leg in legs if leg != "entry-0")


def read_ledger(data_dir: Path, scratch: Path) -> Ledger:
    """Return what the venue has on file; an empty ledger when it has never been opened."""
    ledger = Ledger()
    if not (data_dir / "paper.db").exists():
        return ledger
    scratch.mkdir(exist_ok=True)
    for name in _FILES:
        (scratch / name).unlink(missing_ok=True)
        if (data_dir / name).exists():
            shutil.copyfile(data_dir / name, scratch / name)
    (scratch / "paper.db-shm").unlink(missing_ok=True)
    with closing(sqlite3.connect(scratch / "paper.db")) as connection:
        connection.execute("PRAGMA query_only = ON")
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables:
            _fill_in(ledger, connection)
    return ledger


def _fill_in(ledger: Ledger, connection: sqlite3.Connection) -> None:
    ledger.cash = D(connection.execute("SELECT cash FROM account").fetchone()[0])
    filled = {}
    rows = connection.execute("SELECT client_order_id, quantity, filled FROM orders")
    for order_id, quantity, done in rows:
        identity = identity_of(ClientOrderId(order_id))
        if identity is None:
            ledger.lost.append(f"order {order_id} at the venue names no position")
            continue
        if order_id in ledger.orders:
            ledger.duplicated.append(f"two orders {order_id} at the venue")
        ledger.orders[order_id] = (str(identity.position_id), identity.leg, D(quantity))
        filled[order_id] = D(done)
    rows = connection.execute(
        "SELECT trade_id, client_order_id, symbol, side, quantity, price, fee FROM fills"
    )
    for trade_id, order_id, symbol, side, quantity, price, fee in rows:
        position_id, leg, _ = ledger.orders[order_id]
        fill = VenueFill(
            trade_id, order_id, position_id, leg, symbol, side, D(quantity), D(price), D(fee)
        )
        if trade_id in ledger.fills:
            ledger.duplicated.append(f"two fills {trade_id} at the venue")
        ledger.fills[trade_id] = fill
        ledger.of_position[position_id].append(fill)
        filled[order_id] -= fill.quantity
    for order_id, rest in filled.items():
        if rest:
            ledger.lost.append(f"the fills of order {order_id} differ by {rest} from its own sum")
    check_quantities(ledger)
    _check_holdings(ledger, connection)


def check_quantities(ledger: Ledger) -> None:
    """No order executes more than it asked for, no position closes more than it opened."""
    of_order: dict[str, Decimal] = defaultdict(Decimal)
    for fill in ledger.fills.values():
        of_order[fill.order_id] += fill.quantity
    for order_id, done in of_order.items():
        if done > ledger.orders[order_id][2]:
            ledger.duplicated.append(
                f"order {order_id} executed {done} of {ledger.orders[order_id][2]}"
            )
    for position_id, fills in ledger.of_position.items():
        entered = sum((fill.quantity for fill in fills if fill.is_entry), ZERO)
        closed = sum((fill.quantity for fill in fills if not fill.is_entry), ZERO)
        if closed > entered:
            ledger.duplicated.append(f"{position_id} closed {closed} of {entered} at the venue")
        if len({fill.order_id for fill in fills if fill.is_entry}) > 1:
            ledger.duplicated.append(f"{position_id} was entered by two orders")


def _check_holdings(ledger: Ledger, connection: sqlite3.Connection) -> None:
    """The venue's net holdings are what the fills add up to, long and short each by itself."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for fills in ledger.of_position.values():
        entry = next((fill for fill in fills if fill.is_entry), fills[0])
        direction = "long" if (entry.side == "buy") == entry.is_entry else "short"
        held = sum((fill.signed for fill in fills), ZERO)
        sums[entry.symbol, direction] += held if direction == "long" else -held
    for symbol, direction, quantity in connection.execute(
        "SELECT symbol, direction, quantity FROM positions"
    ):
        if sums.pop((symbol, direction), ZERO) != D(quantity):
            ledger.lost.append(f"the venue holds {quantity} {direction} of {symbol}, fills differ")
    for (symbol, direction), quantity in sums.items():
        if quantity:
            ledger.lost.append(f"{quantity} {direction} of {symbol} are missing at the venue")
