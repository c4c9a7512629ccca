"""Order books as a venue's stream tells them: whole every time, or once and then in changes.

Messages are numbered. A whole book replaces an older one. A change names the number it builds on;
when that is not the one held, something was missed, and the book is forgotten until the next whole
one: no book is better than a wrong one.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from domain.ids import Symbol
from domain.money import ZERO
from exchanges.market_reads import BookLevel, BookRead

Levels = Iterable[tuple[Decimal, Decimal]]  # price, quantity in base units; 0 takes the level out


class _Book(msgspec.Struct):
    number: int
    event_ms: int
    bids: dict[Decimal, Decimal]
    asks: dict[Decimal, Decimal]

    def is_older_than(self, number: int, event_ms: int) -> bool:
        """Whether a message is news; by time too, because a venue may begin to count anew."""
        return number > self.number or event_ms > self.event_ms


class OrderBooks:
    """The books of several symbols. Mutable; owned by whoever reads the stream."""

    def __init__(self) -> None:
        self.gaps = 0  # changes that built on something never received
        self._books: dict[Symbol, _Book] = {}

    def replace(
        self, symbol: Symbol, bids: Levels, asks: Levels, *, number: int, event_ms: int
    ) -> None:
        """Take a whole book, unless the one held is as new."""
        held = self._books.get(symbol)
        if held is None or held.is_older_than(number, event_ms):
            self._books[symbol] = _Book(number, event_ms, dict(bids), dict(asks))

    def change(
        self,
        symbol: Symbol,
        bids: Levels,
        asks: Levels,
        *,
        previous: int,
        number: int,
        event_ms: int,
    ) -> bool:
        """Apply a change; return False when it does not fit, and the book is forgotten."""
        held = self._books.get(symbol)
        if held is None:
            return True  # the whole book is still to come
        if previous == held.number:
            for side, levels in ((held.bids, bids), (held.asks, asks)):
                for price, quantity in levels:
                    if quantity:
                        side[price] = quantity
                    else:
                        side.pop(price, None)
            held.number, held.event_ms = number, event_ms
            return True
        if not held.is_older_than(number, event_ms):
            return True  # said before
        self.gaps += 1
        del self._books[symbol]
        return False

    def forget(self) -> None:
        """Forget all books: the connection that told them was lost."""
        self._books.clear()

    def snapshot(self, symbol: Symbol, depth: int) -> BookRead | None:
        """Return the best `depth` levels of each side; None while there is no usable book."""
        held = self._books.get(symbol)
        if held is None:
            return None
        bids = _best(held.bids, depth, descending=True)
        asks = _best(held.asks, depth, descending=False)
        if bids and asks and bids[0].price >= asks[0].price:
            return None
        return BookRead(symbol, bids, asks, held.event_ms)


def _best(side: dict[Decimal, Decimal], depth: int, *, descending: bool) -> tuple[BookLevel, ...]:
    prices = sorted((price for price in side if side[price] > ZERO), reverse=descending)
    return tuple(BookLevel(price, side[price]) for price in prices[:depth])
