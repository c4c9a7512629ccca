"""The prices: per instrument last, bid, ask, mark and index, candles, trades, and a made-up book.

Prices come from outside (a walk, a recording, a person); `Market.move` takes them in and tells
whoever listens. Nothing here knows of accounts.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import msgspec

from exchanges.sandbox.catalog import Listing
from exchanges.sandbox.numbers import ZERO, floor_to, text
from exchanges.sandbox.refusals import VenueRefusal

BAND = Decimal("0.05")  # limit prices farther than this from the last are refused
MINUTE_MS = 60_000
_MINUTES = 2_000  # candles of a minute kept per instrument
_TRADES = 200
_LEVELS = 25
_DAY_MS = 86_400_000


class Trade(msgspec.Struct, frozen=True):
    """A public trade; the taker's side."""

    trade_id: str
    price: Decimal
    size: Decimal
    side: str
    at_ms: int


class Bar(msgspec.Struct):
    """A candle of one minute. `volume` in the venue's size units."""

    open_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = ZERO


class Quote:
    """What one instrument costs at present."""

    def __init__(self, listing: Listing, now_ms: int) -> None:
        self.listing = listing
        self.last = self.bid = self.mark = self.index = listing.start_price
        self.ask = listing.start_price + listing.tick
        self.at_ms = self.mark_ms = now_ms
        self.liquidity: Decimal | None = None  # size that may still trade; None: without end
        self.is_suspended = False  # nothing new is taken, what rests stays
        self.seq = 1
        self.trades: deque[Trade] = deque(maxlen=_TRADES)
        self.bars: deque[Bar] = deque(maxlen=_MINUTES)
        self.funding_rate = Decimal("0.0001")
        self._next_trade = 1
        self._ended: tuple[Decimal, ...] | None = None
        self._ended_at = (0, 0)

    def next_trade_id(self) -> str:
        """Number an execution."""
        self._next_trade += 1
        return str(self._next_trade)

    def watched(self, kind: str) -> Decimal:
        """Return the price that a trigger of `kind` looks at: last, mark or index."""
        return {"mark": self.mark, "index": self.index}.get(kind, self.last)

    def limits(self) -> tuple[Decimal, Decimal]:
        """Return the highest price of a buy and the lowest of a sell."""
        tick = self.listing.tick
        high = floor_to(self.last * (1 + BAND), tick)
        return high, max(tick, floor_to(self.last * (1 - BAND), tick))

    def lot_size(self) -> Decimal:
        """Return a size of about 1,000 quote, for trades and books nobody owns."""
        listing = self.listing
        return max(listing.lot, floor_to(1000 / (self.last * listing.contract_value), listing.lot))

    def levels(self, count: int) -> tuple[list[list[str]], list[list[str]]]:
        """Return asks and bids of the made-up book: price, size, "0", orders."""
        tick, size = self.listing.tick, self.lot_size()
        depth = min(count, _LEVELS)
        asks = [
            [text(self.ask + tick * step), text(size * (step + 1)), "0", str(step + 1)]
            for step in range(depth)
        ]
        bids = [
            [text(self.bid - tick * step), text(size * (step + 1)), "0", str(step + 1)]
            for step in range(depth)
            if self.bid > tick * step
        ]
        return asks, bids

    def day(self, now_ms: int) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """Return open, high, low and volume of the last 24 hours."""
        last = self.bars[-1] if self.bars else None
        if last is None or last.open_ms <= now_ms - _DAY_MS:
            return self.last, self.last, self.last, ZERO
        ended = self._ended_bars(last, now_ms)
        if ended is None:
            return last.open, last.high, last.low, last.volume
        first, high, low, volume = ended
        return first, max(high, last.high), min(low, last.low), volume + last.volume

    def _ended_bars(self, last: Bar, now_ms: int) -> tuple[Decimal, ...] | None:
        """Return the same of the minutes before the last one, added up once a minute."""
        minutes = (last.open_ms, (now_ms - _DAY_MS) // MINUTE_MS)
        if minutes != self._ended_at:
            self._ended_at, self._ended = minutes, None
            bars = [bar for bar in self.bars if bar.open_ms > now_ms - _DAY_MS][:-1]
            if bars:
                high, low = max([bar.high for bar in bars]), min([bar.low for bar in bars])
                self._ended = bars[0].open, high, low, sum([bar.volume for bar in bars], ZERO)
        return self._ended

    def count(self, trade: Trade) -> None:
        """Put a trade into the candles."""
        self.trades.append(trade)
        open_ms = trade.at_ms - trade.at_ms % MINUTE_MS
        bar = self.bars[-1] if self.bars else None
        if bar is None or open_ms > bar.open_ms:
            price = bar.close if bar is not None else trade.price
            if bar is not None:  # minutes without a trade are flat
                first = max(bar.open_ms + MINUTE_MS, open_ms - _MINUTES * MINUTE_MS)
                for missed in range(first, open_ms, MINUTE_MS):
                    self.bars.append(Bar(missed, price, price, price, price))
            bar = Bar(open_ms, trade.price, trade.price, trade.price, trade.price)
            self.bars.append(bar)
        bar.high = max(bar.high, trade.price)
        bar.low = min(bar.low, trade.price)
        bar.close = trade.price
        bar.volume += trade.size


Listener = Callable[[Quote, Trade | None], None]


class Market:
    """All instruments and their prices. `on_move` is called after each change."""

    def __init__(self, listings: Iterable[Listing], now_ms: int) -> None:
        self.now_ms = now_ms
        self.quotes = {one.inst_id: Quote(one, now_ms) for one in listings}
        self.on_move: list[Listener] = []
        self._next_id = now_ms * 1000

    def next_id(self) -> str:
        """Return an id of the venue; they rise."""
        self._next_id += 1
        return str(self._next_id)

    def quote(self, inst_id: object) -> Quote:
        """Return an instrument's. Raises `VenueRefusal`."""
        quote = self.quotes.get(inst_id) if isinstance(inst_id, str) else None
        if quote is None:
            raise VenueRefusal("51001")
        return quote

    def of_type(self, inst_type: str, inst_id: str = "") -> Sequence[Quote]:
        """Return the instruments of a type, all without one."""
        return [
            quote
            for quote in self.quotes.values()
            if inst_type in ("", "ANY", quote.listing.inst_type)
            and inst_id in ("", quote.listing.inst_id)
        ]

    def move(
        self,
        inst_id: str,
        last: Decimal,
        *,
        bid: Decimal | None = None,
        ask: Decimal | None = None,
        mark: Decimal | None = None,
        size: Decimal | None = None,
        side: str = "",
    ) -> None:
        """Let an instrument trade at `last`, in quote. Bid and mark follow it unless given."""
        quote = self.quote(inst_id)
        listing = quote.listing
        taken = side or ("buy" if last >= quote.last else "sell")
        quote.bid = bid if bid is not None else last
        quote.ask = ask if ask is not None else max(last, quote.bid) + listing.tick
        quote.last = last
        quote.mark = quote.index = mark if mark is not None else last
        quote.at_ms = quote.mark_ms = self.now_ms
        quote.seq += 1
        trade = Trade(quote.next_trade_id(), last, size or quote.lot_size(), taken, self.now_ms)
        quote.count(trade)
        for listener in self.on_move:
            listener(quote, trade)

    def repeat(self, quote: Quote) -> Trade:
        """Count a trade at the same price, which fills and fires nothing; tell nobody."""
        quote.at_ms = quote.mark_ms = self.now_ms
        quote.seq += 1
        trade = Trade(quote.next_trade_id(), quote.last, quote.lot_size(), "buy", self.now_ms)
        quote.count(trade)
        return trade

    def mark(self, inst_id: str, mark: Decimal) -> None:
        """Move the mark alone."""
        quote = self.quote(inst_id)
        quote.mark, quote.mark_ms = mark, self.now_ms
        for listener in self.on_move:
            listener(quote, None)
