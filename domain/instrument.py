"""What can be traded, and the grid its prices and quantities lie on."""

from decimal import Decimal
from enum import Enum

import msgspec

from domain.ids import Symbol
from domain.money import ONE, ZERO, ceil_to, floor_to


class Side(Enum):
    """Of an order or a fill."""

    __hash__ = object.__hash__  # members are singletons; Enum hashes their names, in Python

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> "Side":
        """Return the other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Direction(Enum):
    """Of a position."""

    __hash__ = object.__hash__  # members are singletons; Enum hashes their names, in Python

    LONG = "long"
    SHORT = "short"

    @property
    def sign(self) -> int:
        """+1 when a rising price earns, -1 when a falling one does."""
        return 1 if self is Direction.LONG else -1

    @property
    def entry_side(self) -> Side:
        """Return the side of orders that open."""
        return Side.BUY if self is Direction.LONG else Side.SELL

    @property
    def exit_side(self) -> Side:
        """Return the side of orders that close."""
        return self.entry_side.opposite


class Kind(Enum):
    """Whether owning it means holding the base asset or a contract on it."""

    SPOT = "spot"
    SWAP = "swap"  # linear perpetual, settled in quote


class PriceSource(Enum):
    """Which price an exit watches."""

    __hash__ = object.__hash__  # members are singletons; Enum hashes their names, in Python

    LAST = "last"
    BID = "bid"
    ASK = "ask"
    MARK = "mark"


class Pair(msgspec.Struct, frozen=True):
    """What a fill is booked by: an instrument without its grid, of which there are thousands."""

    symbol: Symbol
    base: str
    quote: str
    kind: Kind


class Instrument(msgspec.Struct, frozen=True):
    """One tradable thing at a venue and its rules."""

    symbol: Symbol
    venue_symbol: str  # "BTCUSDT" at Binance, "BTC-USDT-SWAP" at OKX
    base: str
    quote: str
    kind: Kind
    tick_size: Decimal
    lot_size: Decimal  # base units
    min_quantity: Decimal  # base units
    min_notional: Decimal  # quote
    max_leverage: Decimal = ONE
    contract_size: Decimal = ONE  # base units a contract
    max_market: Decimal | None = None  # base units, of one order at market; None: no limit told
    max_market_value: Decimal | None = None  # quote, likewise

    @property
    def pair(self) -> Pair:
        """Return it without its grid."""
        return Pair(self.symbol, self.base, self.quote, self.kind)

    def whole_lots(self, quantity: Decimal) -> Decimal:
        """Round a quantity down to the lot; never up, so that nothing unpaid is ordered."""
        return max(ZERO, floor_to(quantity, self.lot_size))

    def can_be_ordered(self, quantity: Decimal) -> bool:
        """Whether the venue takes an order of so much, or of the whole lots of it."""
        return self.whole_lots(quantity) >= max(self.lot_size, self.min_quantity)

    def most_at_market(self, price: Decimal | None) -> Decimal | None:
        """Return the most that one order at market may have, in whole lots; None: no limit told."""
        limits = [] if self.max_market is None else [self.max_market]
        if self.max_market_value is not None and price:
            limits.append(self.max_market_value / price)
        return self.whole_lots(min(limits)) if limits else None

    def on_tick_for(self, side: Side, price: Decimal) -> Decimal:
        """Round a limit price to the tick so that it never gets worse for its owner.

        A buy down, a sell up.
        """
        return (floor_to if side is Side.BUY else ceil_to)(price, self.tick_size)

    def stop_on_tick(self, direction: Direction, price: Decimal) -> Decimal:
        """Round a stop to the tick on the side of the market, so that it never loses more."""
        return self._on_tick(price, up=direction is Direction.LONG)

    def target_on_tick(self, direction: Direction, price: Decimal) -> Decimal:
        """Round a target to the tick on the side of the market, so that it is reached no later."""
        return self._on_tick(price, up=direction is Direction.SHORT)

    def _on_tick(self, price: Decimal, *, up: bool) -> Decimal:
        return max(self.tick_size, (ceil_to if up else floor_to)(price, self.tick_size))

    def is_on_tick(self, price: Decimal) -> bool:
        """Whether the venue accepts `price` as it stands."""
        return price % self.tick_size == 0
