"""An account: its data and what its figures mean. What becomes of it is in `portfolio_life.py`.

Balance changes by realized P&L, fees and funding, on spot as on swaps, and by what moves money
without a fill. What is held is valued apart, so one set of rules serves both kinds:

    equity    = balance + unrealized P&L
    available = balance - margin of what is held - reservations - a loss not yet realized
    margin    = cost of what is held / leverage (spot: leverage 1, so the whole cost)

Sums are kept per symbol and changed with each fill: a price costs a few operations per symbol,
however many positions there are. What closed positions left over is kept apart, as dust: nothing
guards it, and its symbol may be priced no more. Without a price what is held is valued at the last
one known: at its cost, a gain that the peak contains would look like a loss. Where none is known,
as of dust, it is at cost. Whoever judges drawdown waits some seconds until every held symbol has a
price, and for dust does not wait.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import ROUND_UP, Decimal
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from domain.attempts import Attempt
from domain.ids import AccountName, ClientOrderId, PositionId, Symbol, TradeId, TraderName
from domain.instrument import Direction, Pair
from domain.limit_changes import applied
from domain.modes import ModeCause
from domain.money import ONE, ZERO
from domain.performance import TradeRecord, drawdown_of
from domain.pnl import QUANTUM, Ledger
from domain.portfolio_events import AccountLimitsChanged
from domain.risk import AccountLimits
from domain.table import Table
from domain.venue import VenueAccount

Marks = Mapping[Symbol, Decimal]  # quote per base unit


class Reservation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Balance set aside for an entry order that may still fill."""

    position_id: PositionId
    quantity: Decimal  # base units
    price: Decimal  # quote
    amount: Decimal  # quote, for all of it
    filled: Decimal = ZERO  # base units
    attempt: Attempt | None = None

    @property
    def open_amount(self) -> Decimal:
        """Quote still set aside: for what has not filled."""
        if not self.filled:
            return self.amount
        share = self.amount * (self.quantity - self.filled) / self.quantity
        return share.quantize(QUANTUM, ROUND_UP)

    @property
    def open_notional(self) -> Decimal:
        """Quote that may still be added to the exposure."""
        return (self.quantity - self.filled) * self.price


class Holding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the account knows of one position that is not over; nothing may have filled yet."""

    trader: TraderName
    pair: Pair
    direction: Direction
    leverage: Decimal = ONE
    ledger: Ledger = Ledger()
    trade_ids: frozenset[TradeId] = frozenset()
    pending: int = 0  # reservations that stand for it

    @property
    def margin(self) -> Decimal:
        """Quote that it ties up."""
        return (self.ledger.cost / self.leverage).quantize(QUANTUM)


class SymbolBook(msgspec.Struct, frozen=True, omit_defaults=True):
    """Sums over all positions of one symbol. Signed: shorts count below zero."""

    net_quantity: Decimal = ZERO  # base units
    net_cost: Decimal = ZERO  # quote
    gross_quantity: Decimal = ZERO  # base units
    gross_cost: Decimal = ZERO  # quote
    is_spot: bool = False

    def unrealized_pnl(self, mark: Decimal | None) -> Decimal:
        """Quote, at `mark`; zero without one."""
        return ZERO if mark is None else self.net_quantity * mark - self.net_cost

    def notional(self, mark: Decimal | None) -> Decimal:
        """Quote, longs and shorts added, at `mark`; at cost without one."""
        return self.gross_cost if mark is None else self.gross_quantity * mark

    def plus(self, quantity: Decimal, cost: Decimal, direction: Direction) -> "SymbolBook":
        """Return the sums with so much more held (less, when negative)."""
        return replace(
            self,
            net_quantity=self.net_quantity + quantity * direction.sign,
            net_cost=self.net_cost + cost * direction.sign,
            gross_quantity=self.gross_quantity + quantity,
            gross_cost=self.gross_cost + cost,
        )


class Dust(msgspec.Struct, frozen=True, omit_defaults=True):
    """What closed positions of one direction left over of one symbol, too few to sell."""

    symbol: Symbol
    direction: Direction
    is_spot: bool
    quantity: Decimal  # base units, > 0
    cost: Decimal  # quote
    margin: Decimal  # quote

    @property
    def key(self) -> tuple[Symbol, Direction, bool]:
        """Its identity: a symbol may have been spot at one time and a swap at another."""
        return self.symbol, self.direction, self.is_spot

    @property
    def signed(self) -> Decimal:
        """Base units; below zero it is owed."""
        return self.quantity * self.direction.sign

    def unrealized_pnl(self, mark: Decimal | None) -> Decimal:
        """Quote, at `mark`; zero without one."""
        return ZERO if mark is None else (self.quantity * mark - self.cost) * self.direction.sign

    def notional(self, mark: Decimal | None) -> Decimal:
        """Quote, at `mark`; at cost without one."""
        return self.cost if mark is None else self.quantity * mark

    def plus(self, quantity: Decimal, cost: Decimal, margin: Decimal) -> "Dust":
        """Return it with so much more left over."""
        return replace(
            self,
            quantity=self.quantity + quantity,
            cost=self.cost + cost,
            margin=self.margin + margin,
        )


NO_COSTS: Mapping[Symbol, Decimal] = {}
NO_HOLDINGS: Table[PositionId, Holding] = Table()


class Portfolio(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything known about one account. Its maps are never changed in place."""

    schema_version: ClassVar[int] = 2  # dust was in the books once
    account: AccountName
    quote: str
    balance: Decimal  # quote
    high_water_mark: Decimal  # quote, of equity
    day: date  # UTC
    day_start_equity: Decimal  # quote
    marked_at: datetime  # of the last `EquityMarked`
    holdings: Table[PositionId, Holding] = NO_HOLDINGS
    reservations: dict[ClientOrderId, Reservation] = {}
    books: dict[Symbol, SymbolBook] = {}  # derived from the holdings
    dust: tuple[Dust, ...] = ()
    margin: Decimal = ZERO  # quote, of all holdings and dust
    reserved: Decimal = ZERO  # quote, of all reservations
    reserved_notional: Decimal = ZERO  # quote
    causes: tuple[ModeCause, ...] = ()
    records: dict[TraderName, TradeRecord] = {}
    closed: dict[PositionId, frozenset[TradeId]] = {}  # the last ones, oldest first
    limits_change: AccountLimitsChanged | None = None  # the last; None: as configured
    venue: str = "paper"  # where it is
    venue_account: VenueAccount | None = None  # whose there; None: nobody has told
    flows: dict[str, datetime] = {}  # the last ones booked, oldest first
    flows_from: datetime | None = None  # what moved until then is in the balance, or forgotten
    flows_read: datetime | None = None  # all that the venue told until then is booked; noted seldom
    day_taken_back: date | None = None  # begun, and then the clock was set back before it
    taken_back_at: datetime | None = None  # by the clock set back; None: nobody noted it
    day_offset: Decimal = ZERO  # quote, by which transfers moved the day start more than equity
    last_equity: Decimal | None = None  # quote, of the last mark of `day`
    last_marks: dict[Symbol, Decimal] = {}  # of what is held: of the last `EquityMarked`, or a fill


def limits_of(portfolio: Portfolio, configured: AccountLimits) -> AccountLimits:
    """Return the limits in force: the configured ones, but for what a person has set."""
    change = portfolio.limits_change
    return configured if change is None else applied(configured, change.overrides)


def _known(portfolio: Portfolio, marks: Marks) -> Marks:
    return {**portfolio.last_marks, **marks}


def unpriced(portfolio: Portfolio, marks: Marks) -> tuple[Symbol, ...]:
    """Return the symbols of open positions that have no price."""
    return tuple(symbol for symbol in portfolio.books if symbol not in marks)


def unvalued(portfolio: Portfolio, marks: Marks) -> tuple[Symbol, ...]:
    """Return those of which no earlier price is known either; older journals tell none."""
    return unpriced(portfolio, _known(portfolio, marks))


def unrealized_pnl(portfolio: Portfolio, marks: Marks) -> Decimal:
    """Quote, over everything held and left over."""
    books, marks = portfolio.books.items(), _known(portfolio, marks)
    held = sum((book.unrealized_pnl(marks.get(symbol)) for symbol, book in books), ZERO)
    return held + sum(
        (each.unrealized_pnl(marks.get(each.symbol)) for each in portfolio.dust), ZERO
    )


def equity(portfolio: Portfolio, marks: Marks) -> Decimal:
    """Quote: what all would be worth if closed at `marks`, before the fees of closing."""
    return portfolio.balance + unrealized_pnl(portfolio, marks)


def available(portfolio: Portfolio, marks: Marks) -> Decimal:
    """Quote that nothing claims; below zero when losses ate into what is claimed."""
    loss = min(ZERO, unrealized_pnl(portfolio, marks))
    return portfolio.balance - portfolio.margin - portfolio.reserved + loss


def exposure(portfolio: Portfolio, marks: Marks) -> Decimal:
    """Quote: notional of everything owned, longs and shorts added, and of entries under way."""
    marks = _known(portfolio, marks)
    held = (book.notional(marks.get(symbol)) for symbol, book in portfolio.books.items())
    dust = (each.notional(marks.get(each.symbol)) for each in portfolio.dust)
    return sum(held, portfolio.reserved_notional) + sum(dust, ZERO)


def drawdown(portfolio: Portfolio, marks: Marks) -> Decimal:
    """Fraction by which equity lies below the high-water mark, >= 0."""
    return drawdown_of(equity(portfolio, marks), portfolio.high_water_mark)


def daily_drawdown(portfolio: Portfolio, marks: Marks) -> Decimal:
    """Fraction by which equity lies below that of the start of the UTC day, >= 0."""
    return drawdown_of(equity(portfolio, marks), portfolio.day_start_equity)


def daily_loss(portfolio: Portfolio, marks: Marks) -> Decimal:
    """Quote lost since the start of the UTC day, >= 0."""
    return max(ZERO, lost_today(portfolio, equity(portfolio, marks)))


def lost_today(portfolio: Portfolio, value: Decimal) -> Decimal:
    """Quote that equity of `value` is below that of the start of the day, transfers apart."""
    return portfolio.day_start_equity - portfolio.day_offset - value


def cash(
    portfolio: Portfolio, costs: Mapping[Symbol, Decimal] = NO_COSTS, *, spot_is_paid: bool = True
) -> Decimal:
    """Quote that the venue should hold: what its balance of the quote asset, frozen included, says.

    On spot the cost of what is held has left that balance (the paper venue keeps it there:
    `spot_is_paid=False`). A swap pays realized P&L, fees and funding into it; unrealized P&L is
    apart (OKX: `cashBal`). But a venue averages all that is held of a swap, and nets long and short
    in net mode, where we keep positions apart: closing one of two realizes another part there than
    here. So what counts is the balance less the signed cost of what is held, which is the same on
    both sides; `costs` is the venue's: quantity * average price, of what it holds. Dust of a swap
    that it does not hold has been realized there, or is not told of: it counts for nothing.
    """
    paid = ZERO
    averaged: dict[Symbol, Decimal] = {}
    for symbol, book in portfolio.books.items():
        if book.is_spot and spot_is_paid:
            paid += book.gross_cost
        else:
            averaged[symbol] = book.net_cost
    for each in portfolio.dust:
        if each.is_spot and spot_is_paid:
            paid += each.cost
        elif each.symbol in averaged or costs.get(each.symbol):
            cost = each.cost * each.direction.sign
            averaged[each.symbol] = averaged.get(each.symbol, ZERO) + cost
    unlike = (cost - costs.get(symbol, ZERO) for symbol, cost in averaged.items())
    return portfolio.balance - paid - sum(unlike, ZERO)
