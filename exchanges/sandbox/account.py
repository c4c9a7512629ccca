"""One login's state: money, orders, algo orders, positions, bills, settings.

It changes by the functions of `trading`, `algos` and `margin`; here is what they share. What the
venue would push is handed to `push(channel, inst_type, inst_id, render)`; `render` prints the row
as of now, and is called only when somebody listens.
"""

from collections import deque
from collections.abc import Callable
from copy import copy
from decimal import Decimal
from typing import Any

from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.market import Market
from exchanges.sandbox.numbers import ZERO
from exchanges.sandbox.records import Algo, Asset, Bill, Fill, Order, Position

Push = Callable[[str, str, str, Callable[[], dict[str, Any]]], None]
NET, LONG_SHORT = "net_mode", "long_short_mode"
DEFAULT_LEVERAGE = Decimal(3)
_BILLS = 100_000


def _silent(
    channel: str, inst_type: str, inst_id: str, render: Callable[[], dict[str, Any]]
) -> None:
    """Push to nobody."""
    del channel, inst_type, inst_id, render


class Account:
    """Everything the venue knows of one login."""

    def __init__(self, market: Market, balances: dict[str, Decimal], *, uid: str = "1") -> None:
        self.market = market
        self.uid = uid
        self.position_mode = NET
        self.permissions = "read_only,trade"
        self.assets = {
            name: Asset(name, cash, updated_ms=market.now_ms) for name, cash in balances.items()
        }
        self.deposited = dict(balances)
        self.orders: dict[str, Order] = {}
        self.order_by_client: dict[str, Order] = {}
        self.working: dict[str, dict[str, Order]] = {}  # per instrument, by order id
        self.algos: dict[str, Algo] = {}
        self.algo_by_client: dict[str, Algo] = {}
        self.armed: dict[str, dict[str, Algo]] = {}  # per instrument, by algo id
        self.fills: list[Fill] = []
        self.bills: deque[Bill] = deque(maxlen=_BILLS)
        self.positions: dict[tuple[str, str, str], Position] = {}
        self.leverages: dict[tuple[str, str, str], Decimal] = {}
        self.cancel_all_at_ms: int | None = None
        self.reject_children: list[str] = []  # codes that coming triggers fail with
        self.resent: list[str] = []  # client ids that came again
        self.push: Push = _silent
        self.on_change: list[Callable[[Account], None]] = []

    @property
    def now_ms(self) -> int:
        """The venue's time."""
        return self.market.now_ms

    def copy(self) -> "Account":
        """Return the state as of now, for reads that lag; it pushes nothing.

        Orders and positions are copied, the market is shared.
        """
        twin = copy(self)
        twin.push, twin.on_change = _silent, []
        twin.assets = {name: copy(one) for name, one in self.assets.items()}
        twin.orders = {key: copy(one) for key, one in self.orders.items()}
        twin.order_by_client = {
            key: twin.orders[o.order_id] for key, o in self.order_by_client.items()
        }
        twin.working = {
            inst: {key: twin.orders[key] for key in some} for inst, some in self.working.items()
        }
        twin.algos = {key: copy(one) for key, one in self.algos.items()}
        twin.algo_by_client = {key: twin.algos[a.algo_id] for key, a in self.algo_by_client.items()}
        twin.armed = {
            inst: {key: twin.algos[key] for key in some} for inst, some in self.armed.items()
        }
        twin.positions = {key: copy(one) for key, one in self.positions.items()}
        twin.fills, twin.bills = list(self.fills), self.bills.copy()
        twin.leverages = dict(self.leverages)
        return twin

    def asset(self, name: str) -> Asset:
        """Return one kind of money, none of it if need be."""
        if name not in self.assets:
            self.assets[name] = Asset(name, updated_ms=self.now_ms)
        return self.assets[name]

    def open_positions(self, inst_id: str = "") -> list[Position]:
        """Return those that are not flat."""
        return [
            one
            for one in self.positions.values()
            if one.size and inst_id in ("", one.listing.inst_id)
        ]

    def mark_of(self, position: Position) -> Decimal:
        """Return the mark price it is valued at."""
        return self.market.quotes[position.listing.inst_id].mark

    def profit(self, mode: str = "") -> Decimal:
        """Quote that open positions of a mode are ahead."""
        return sum(
            (
                one.profit(self.mark_of(one))
                for one in self.open_positions()
                if mode in ("", one.mode)
            ),
            ZERO,
        )

    def margin(self, mode: str) -> Decimal:
        """Quote that open positions of a mode bind; what isolated ones do is out of the cash."""
        return sum(
            (one.margin(self.mark_of(one)) for one in self.open_positions() if one.mode == mode),
            ZERO,
        )

    def cross_equity(self) -> Decimal:
        """Quote that stands behind cross positions; isolated ones have their margin apart."""
        return self.asset(QUOTE).cash + self.profit("cross")

    def isolated_equity(self) -> Decimal:
        """Quote that isolated positions are worth: their margin, and what they are ahead."""
        return self.margin("isolated") + self.profit("isolated")

    def equity(self, name: str) -> Decimal:
        """Money of one kind with all that positions are worth."""
        asset = self.asset(name)
        if name != QUOTE:
            return asset.cash
        return self.cross_equity() + self.isolated_equity()

    def available(self, name: str) -> Decimal:
        """Money of one kind that a new order may bind."""
        asset = self.asset(name)
        free = asset.cash - asset.frozen
        if name == QUOTE:
            free += self.profit("cross") - self.margin("cross")
        return max(ZERO, free)

    def leverage(self, inst_id: str, mode: str, pos_side: str = "net") -> Decimal:
        """Return the leverage that is set, 3 when none was."""
        side = pos_side if mode == "isolated" else "net"
        return self.leverages.get((inst_id, mode, side), DEFAULT_LEVERAGE)

    def book(
        self,
        asset_name: str,
        change: Decimal,
        kind: str,
        *,
        position: Position | None = None,
        pledged: Decimal = ZERO,
        **facts: Any,
    ) -> Bill:
        """Move money and write the bill: `change` of the cash, `pledged` of what a position has."""
        asset = self.asset(asset_name)
        asset.cash += change
        if position is not None:
            position.pledged += pledged
        asset.updated_ms = self.now_ms
        bill = Bill(
            bill_id=self.market.next_id(),
            type=kind,
            sub_type=str(facts.pop("sub_type", "")),
            asset=asset_name,
            change=change,
            balance=asset.cash,
            position_change=pledged,
            position_balance=ZERO if position is None else position.pledged,
            at_ms=self.now_ms,
            **facts,
        )
        self.bills.append(bill)
        return bill

    def freeze(self, owner: Order | Algo, asset_name: str, amount: Decimal) -> None:
        """Set money aside for an order, instead of what was set aside for it."""
        self.thaw(owner)
        owner.frozen, owner.frozen_asset = amount, asset_name
        self.asset(asset_name).frozen += amount

    def thaw(self, owner: Order | Algo) -> None:
        """Give back what an order had set aside."""
        if owner.frozen_asset:
            self.asset(owner.frozen_asset).frozen -= owner.frozen
        owner.frozen, owner.frozen_asset = ZERO, ""

    def changed(self) -> None:
        """Tell those who watch the account."""
        for listener in self.on_change:
            listener(self)
