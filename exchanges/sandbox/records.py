"""What the sandbox keeps: orders, algo orders, fills, positions, assets, bills.

Sizes are in the venue's units: contracts for swaps, base units for spot. Times are ms since 1970.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from exchanges.sandbox.catalog import Listing
from exchanges.sandbox.numbers import ZERO, cents

LIVE, PARTLY, FILLED, CANCELED = "live", "partially_filled", "filled", "canceled"
EFFECTIVE, ORDER_FAILED = "effective", "order_failed"


@dataclass(slots=True, eq=False)
class Fill:
    """One execution. `fee` as the venue signs it: negative is paid."""

    trade_id: str
    order: "Order"
    price: Decimal
    size: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool
    at_ms: int
    pnl: Decimal = ZERO
    bill_id: str = ""
    sub_type: str = ""


@dataclass(slots=True)
class Attached:
    """Stop and target that an order brings along; they become an algo order when it filled."""

    algo_client_id: str
    algo_id: str
    sl_trigger: Decimal | None = None
    sl_price: Decimal | None = None
    sl_watches: str = "last"
    tp_trigger: Decimal | None = None
    tp_price: Decimal | None = None
    tp_watches: str = "last"


@dataclass(slots=True)
class Order:
    """An order; terms never change except by amendment, the rest is its life."""

    order_id: str
    client_id: str
    listing: Listing
    side: str
    type: str  # market, optimal_limit_ioc, limit, post_only, ioc, fok
    size: Decimal
    price: Decimal | None
    mode: str  # cash, cross, isolated
    pos_side: str
    created_ms: int
    updated_ms: int
    target: str = ""  # tgtCcy of spot market orders
    reduce_only: bool = False
    leverage: Decimal | None = None
    tag: str = ""
    state: str = LIVE
    filled: Decimal = ZERO
    value: Decimal = ZERO  # sum of price times size
    fee: Decimal = ZERO
    fee_asset: str = ""
    pnl: Decimal = ZERO
    frozen: Decimal = ZERO
    frozen_asset: str = ""
    fills: list[Fill] = field(default_factory=list)
    attached: list[Attached] = field(default_factory=list)
    algo_id: str = ""
    algo_client_id: str = ""
    category: str = "normal"
    source: str = ""
    cancel_source: str = ""

    @property
    def is_working(self) -> bool:
        """Whether it may still fill."""
        return self.state in (LIVE, PARTLY)

    @property
    def at_market(self) -> bool:
        """Whether it takes whatever price there is."""
        return self.type in ("market", "optimal_limit_ioc")

    @property
    def by_quote(self) -> bool:
        """Whether its size is an amount of quote to spend."""
        return self.target == "quote_ccy" and self.type == "market"

    @property
    def left(self) -> Decimal:
        """What has not filled; quote for an order by quote."""
        return self.size - (self.value if self.by_quote else self.filled)

    @property
    def average(self) -> Decimal:
        """Mean price of its fills, 0 without any."""
        return self.value / self.filled if self.filled else ZERO


@dataclass(slots=True)
class Algo:
    """A stop, target, both, trigger or trailing order that rests until its price comes."""

    algo_id: str
    client_id: str
    listing: Listing
    side: str
    type: str  # conditional, oco, trigger, move_order_stop
    size: Decimal
    mode: str
    pos_side: str
    created_ms: int
    updated_ms: int
    reduce_only: bool = False
    whole_position: bool = False  # closeFraction 1
    cancel_with_position: bool = False
    leverage: Decimal | None = None
    target: str = ""
    tag: str = ""
    sl_trigger: Decimal | None = None
    sl_price: Decimal | None = None  # -1: at market
    sl_watches: str = "last"
    tp_trigger: Decimal | None = None
    tp_price: Decimal | None = None
    tp_watches: str = "last"
    trigger: Decimal | None = None
    trigger_price: Decimal | None = None
    trigger_watches: str = "last"
    trigger_rising: bool = True
    callback_ratio: Decimal | None = None
    callback_spread: Decimal | None = None
    active: Decimal | None = None
    is_active: bool = True
    extreme: Decimal | None = None  # best price since it became active
    state: str = LIVE
    triggered_ms: int = 0
    actual_side: str = ""
    actual_size: Decimal = ZERO
    actual_price: Decimal | None = None
    order_id: str = ""
    fail_code: str = ""
    frozen: Decimal = ZERO
    frozen_asset: str = ""
    parent_id: str = ""  # the order that brought it along

    @property
    def is_working(self) -> bool:
        """Whether it waits for its price."""
        return self.state == LIVE

    @property
    def move_trigger(self) -> Decimal | None:
        """Where a trailing order would fire now."""
        if self.extreme is None or not self.is_active:
            return None
        if self.callback_ratio is not None:
            away = self.extreme * self.callback_ratio
        else:
            away = self.callback_spread or ZERO
        return self.extreme - away if self.side == "sell" else self.extreme + away


@dataclass(slots=True)
class Position:
    """A holding of a swap. `size` is signed in net mode, positive in long_short mode."""

    position_id: str
    listing: Listing
    mode: str  # cross, isolated
    pos_side: str  # net, long, short
    leverage: Decimal
    created_ms: int
    updated_ms: int
    size: Decimal = ZERO
    average: Decimal = ZERO
    realized: Decimal = ZERO
    fee: Decimal = ZERO
    funding: Decimal = ZERO
    last_trade: str = ""
    pledged: Decimal = ZERO  # quote that an isolated one has taken out of the cash

    @property
    def signed(self) -> Decimal:
        """Contracts, negative when short."""
        return -self.size if self.pos_side == "short" else self.size

    def profit(self, mark: Decimal) -> Decimal:
        """Quote that closing at `mark` would bring."""
        return (mark - self.average) * self.signed * self.listing.contract_value

    def notional(self, mark: Decimal) -> Decimal:
        """Quote that it is worth."""
        return abs(self.size) * self.listing.contract_value * mark

    def margin(self, mark: Decimal) -> Decimal:
        """Quote that it binds: a share of its worth when cross, what it was given when isolated."""
        if self.mode == "isolated":
            return self.pledged
        return cents(self.notional(mark) / self.leverage)


@dataclass(slots=True)
class Asset:
    """Money of one kind. `frozen`: by orders that rest."""

    name: str
    cash: Decimal = ZERO
    frozen: Decimal = ZERO
    updated_ms: int = 0


@dataclass(slots=True, frozen=True, eq=False)
class Bill:
    """One movement of money.

    Types: 1 transfer, 2 trade, 5 liquidation, 6 margin, 8 funding fee, 9 ADL.
    """

    bill_id: str
    type: str
    sub_type: str
    asset: str
    change: Decimal  # of the account's cash
    balance: Decimal
    position_change: Decimal  # of what an isolated position holds
    position_balance: Decimal
    at_ms: int
    inst_id: str = ""
    inst_type: str = ""
    mode: str = ""
    order_id: str = ""
    client_id: str = ""
    trade_id: str = ""
    size: Decimal = ZERO
    price: Decimal | None = None
    fee: Decimal = ZERO
    pnl: Decimal = ZERO
    exec_type: str = ""
