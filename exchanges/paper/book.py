"""What rests at the paper venue for one symbol, the order that a price meets first in front.

A tick compares two floats with the nearest level on each side and returns. Converting to float
keeps the order of decimals (it may make two equal, never swap them), so the test can call too
often but never miss.
"""

from bisect import bisect_left, bisect_right, insort
from decimal import Decimal
from math import inf

from domain.ids import ClientOrderId
from domain.instrument import Instrument, Side
from domain.money import InvalidNumberError, positive_from
from domain.order import OrderTerms, OrderType
from exchanges.paper.records import PaperOrder


class Ladder:
    """Orders waiting for the price to come to them from one side, nearest first, older first."""

    def __init__(self, *, below: bool) -> None:
        self._sign = -1 if below else 1  # below the market the highest level is the nearest
        self._entries: list[tuple[Decimal, int, ClientOrderId]] = []

    @property
    def nearest(self) -> float:
        """The level that is reached first, infinitely far when there is none."""
        return float(self._sign * self._entries[0][0]) if self._entries else self._sign * inf

    def add(self, level: Decimal, order: PaperOrder) -> None:
        """Let an order wait at `level`."""
        insort(self._entries, (self._sign * level, order.number, order.id))

    def remove(self, level: Decimal, order: PaperOrder) -> None:
        """Take an order out, if it is in."""
        entry = (self._sign * level, order.number, order.id)
        index = bisect_left(self._entries, entry)
        if index < len(self._entries) and self._entries[index] == entry:
            del self._entries[index]

    def touched(self, price: Decimal) -> list[ClientOrderId]:
        """Return those whose level `price` reaches or passes, nearest first."""
        return self._first(bisect_right(self._entries, self._sign * price, key=_level))

    def passed(self, price: Decimal) -> list[ClientOrderId]:
        """Return those whose level `price` passes, nearest first; reaching it is not enough."""
        return self._first(bisect_left(self._entries, self._sign * price, key=_level))

    def _first(self, count: int) -> list[ClientOrderId]:
        return [order_id for _, _, order_id in self._entries[:count]]


def _level(entry: tuple[Decimal, int, ClientOrderId]) -> Decimal:
    return entry[0]


def price_from(text: str) -> Decimal | None:
    """Parse a price; None for what is none (nothing traded yet, an empty side of the market)."""
    try:
        return positive_from(text)
    except InvalidNumberError:
        return None


def is_touched(terms: OrderTerms, last: Decimal) -> bool:
    """Whether the trigger of a stop or target is reached."""
    assert terms.trigger_price is not None  # checked at the door
    if is_falling_trigger(terms):
        return last <= terms.trigger_price
    return last >= terms.trigger_price


def is_falling_trigger(terms: OrderTerms) -> bool:
    """Whether a trigger fires at or below its price: a stop that sells, a target that buys."""
    return (terms.type is OrderType.STOP) is (terms.side is Side.SELL)


class Book:
    """One symbol: its last price and what waits for another one. Every tick reads it."""

    __slots__ = (
        "ask",
        "asks",
        "bid",
        "bids",
        "falling",
        "high_edge",
        "highest_bid",
        "instrument",
        "is_quoted",
        "last",
        "low_edge",
        "lowest_ask",
        "quiet",
        "rising",
        "unfinished",
    )

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.last = ""  # text of the last trade's price, empty before the first
        self.bid = self.ask = ""  # text of the best quotes, empty before the first
        self.is_quoted = False  # since the last trade: then they are the newer ones
        self.clear()

    @property
    def price(self) -> Decimal | None:
        """The last trade's price, if there was one."""
        return price_from(self.last)

    def is_marketable(self, terms: OrderTerms) -> bool:
        """Whether a limit order executes at once: it reaches the last price, and the other side.

        The last trade may have been a sale at the bid. Who then asks to buy at that price gets in
        line behind it, where somebody quotes; where nobody does, the last price is all there is.
        """
        last = self.price
        assert terms.price is not None  # checked at the door
        if last is None:
            return False
        if terms.side is Side.BUY:
            return terms.price >= max(last, price_from(self.ask) or last)
        return terms.price <= min(last, price_from(self.bid) or last)

    def no_better(self, side: Side, price: Decimal) -> Decimal:
        """Return what a taker pays or gets: `price`, but no better than what is quoted by now.

        A market may have moved far since its last trade, and nobody sells below the ask.
        """
        quote = price_from(self.ask if side is Side.BUY else self.bid) if self.is_quoted else None
        if quote is None:
            return price
        return max(price, quote) if side is Side.BUY else min(price, quote)

    def clear(self) -> None:
        """Forget what rests, keep the prices."""
        self.bids = Ladder(below=True)
        self.asks = Ladder(below=False)
        self.falling = Ladder(below=True)
        self.rising = Ladder(below=False)
        # Market orders that were cut off between two executions; they go on at the next trade.
        self.unfinished: list[ClientOrderId] = []
        self._look()

    def add(self, order: PaperOrder) -> None:
        """Let an order rest."""
        ladder, level = self._place(order.terms)
        ladder.add(level, order)
        self._look()

    def remove(self, order: PaperOrder) -> None:
        """Take an order out, if it rests."""
        if order.terms.type is not OrderType.MARKET:
            ladder, level = self._place(order.terms)
            ladder.remove(level, order)
            self._look()

    def finish_at_next_trade(self, order: PaperOrder) -> None:
        """Let what remains of a market order execute at the next trade."""
        self.unfinished.append(order.id)
        self._look()

    def take_unfinished(self) -> list[ClientOrderId]:
        """Return and forget the market orders that a trade was awaited for."""
        orders, self.unfinished = self.unfinished, []
        self._look()
        return orders

    def _place(self, terms: OrderTerms) -> tuple[Ladder, Decimal]:
        if terms.price is not None and terms.type is OrderType.LIMIT:
            return (self.bids if terms.side is Side.BUY else self.asks), terms.price
        assert terms.trigger_price is not None  # checked at the door
        return (self.falling if is_falling_trigger(terms) else self.rising), terms.trigger_price

    def _look(self) -> None:
        self.highest_bid = self.bids.nearest
        self.lowest_ask = self.asks.nearest
        self.low_edge = inf if self.unfinished else max(self.highest_bid, self.falling.nearest)
        self.high_edge = min(self.lowest_ask, self.rising.nearest)
        self.quiet = self.low_edge == -inf and self.high_edge == inf
