"""A price line: all that the feed does with the prices of one symbol, in the socket's callback.

The order is that of importance: the spike guard decides whether a trade price counts, the trigger
index whom it wakes, the extremes what a recovered trail must remember, the candles what strategies
see.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from math import inf

from actors.world import Price
from domain.candles import Candle, CandleBook
from domain.extremes import Interval
from domain.ids import ExitId, PositionId, Symbol
from domain.instrument import PriceSource
from domain.plausibility import PriceGuard, Verdict
from domain.triggers import Hit, TriggerIndex

LATE_WITHIN_S = 5.0  # so long after an answer the stream may still tell what is older than it
ASKED = "asked"  # in place of a trade's id: the price was asked for
Held = tuple[float, str, str, str, int, int]  # price, text, quantity, trade id, event_ms, frame


class PriceLine:
    """The hot path of one symbol.

    `on_hits` and `on_candles` are called only when there is something.
    """

    __slots__ = (
        "asked_ms",
        "asked_until_s",
        "book",
        "candles",
        "guard",
        "held",
        "index",
        "interval",
        "on_candles",
        "on_hits",
        "others",
        "symbol",
        "ticks",
    )

    def __init__(
        self,
        symbol: Symbol,
        book: Price,
        guard: PriceGuard,
        on_hits: "Callable[[PriceLine, PriceSource, Sequence[Hit], str, str, int, int], None]",
        on_candles: Callable[[Sequence[Candle]], None],
        begin: datetime,
    ) -> None:
        self.symbol = symbol
        self.book = book
        self.guard = guard
        self.held: Held | None = None
        self.index = TriggerIndex()  # on the last price
        self.interval = Interval(begin)
        # Bid, ask and mark cost something only where an exit watches them.
        self.others: dict[PriceSource, tuple[TriggerIndex, Interval]] = {}
        self.candles = CandleBook(symbol)
        self.on_hits = on_hits
        self.on_candles = on_candles
        self.ticks = 0
        self.asked_ms = 0  # venue time of the last question whose answer acted; 0: not known
        self.asked_until_s = -inf  # until when what is older may still come

    def index_for(self, source: PriceSource) -> TriggerIndex:
        """Return the index on one of the four prices."""
        if source is PriceSource.LAST:
            return self.index
        if source not in self.others:
            self.others[source] = (TriggerIndex(), Interval(self.interval.begin))
        return self.others[source][0]

    def interval_for(self, source: PriceSource) -> Interval:
        """Return the extremes of one of the four prices since they were last cut."""
        if source is PriceSource.LAST:
            return self.interval
        self.index_for(source)
        return self.others[source][1]

    def intervals(self) -> Iterator[tuple[PriceSource, Interval]]:
        """Return every price whose extremes are kept."""
        yield PriceSource.LAST, self.interval
        for source, (_, interval) in self.others.items():
            yield source, interval

    def is_quiet(self) -> bool:
        """Whether no price has come since its extremes were last cut."""
        if not self.others:
            return self.interval.is_quiet
        return all(interval.is_quiet for _, interval in self.intervals())

    def best_of(self, position_id: PositionId, exit_id: ExitId) -> str | None:
        """Return the best price that a trail has seen; None when none is armed."""
        found = (index.best_of(position_id, exit_id) for index in self.indices())
        return next((best for best in found if best is not None), None)

    def indices(self) -> Iterator[TriggerIndex]:
        """Return every index there is."""
        yield self.index
        for index, _ in self.others.values():
            yield index

    def text_of(self, source: PriceSource) -> str:
        """Return the present price as text; empty when there is none."""
        text: str = getattr(self.book, source.value)
        return text

    # --- the hot path ---

    def is_late(self, event_ms: int, now_s: float) -> bool:
        """Whether a tick that is older than the answer may not act any more.

        A stream that comes back first tells what it missed. A stop that was set since, or a trail
        that has followed since, must not fire on that.
        """
        return 0 < event_ms < self.asked_ms and now_s < self.asked_until_s

    def on_late_trade(self, text: str, quantity: str, event_ms: int) -> None:
        """Take a trade that is older than the last answer: it is part of its candle, no more."""
        closed = self.candles.on_trade(float(text), text, quantity, event_ms)
        if closed:
            self.on_candles(closed)

    def on_trade(
        self, text: str, quantity: str, trade_id: str, event_ms: int, frame: int, now_s: float
    ) -> bool:
        """Take a trade; return whether it was held back as a suspected spike."""
        price = float(text)
        guard = self.guard
        self.ticks += 1
        self.book.received = self.book.traded = now_s
        if guard.low <= price <= guard.high:
            guard.previous = price
            self.apply(price, text, quantity, trade_id, event_ms, frame)
            return False
        return self._judge((price, text, quantity, trade_id, event_ms, frame), now_s)

    def apply(
        self, price: float, text: str, quantity: str, trade_id: str, event_ms: int, frame: int
    ) -> None:
        """Let an accepted trade price act.

        Without a quantity it was asked for, and is no trade. Without a time it makes no candle.
        """
        book = self.book
        book.last = text
        if quantity:
            if event_ms:
                book.event_ms = event_ms
                book.stamped = book.received
            if text != book.told:
                book.told = text
                book.new = book.received
        index = self.index
        interval = self.interval
        if not interval.low < price < interval.high:
            interval.see(price, text)
        if not index.below_at < price < index.above_at:
            hits = index.on_price(price, text)
            if hits:
                self.on_hits(self, PriceSource.LAST, hits, text, trade_id, event_ms, frame)
        if not quantity or not event_ms:
            return
        closed = self.candles.on_trade(price, text, quantity, event_ms)
        if closed:
            self.on_candles(closed)

    def on_asked(
        self, text: str, event_ms: int, frame: int, now_s: float, asked_ms: int = 0
    ) -> bool:
        """Take a last price that the venue named when asked; return whether it was held back.

        It acts as a trade's price does, spike guard included, but makes no candle and does not
        count as heard. `asked_ms`: the venue's time when it was asked; 0: not known.
        """
        if asked_ms:
            self.asked_ms, self.asked_until_s = asked_ms, now_s + LATE_WITHIN_S
        self.book.asked_for = text
        self.book.asked = now_s
        price = float(text)
        if self.guard.low <= price <= self.guard.high:
            self.guard.previous = price
            self.apply(price, text, "", ASKED, event_ms, frame)
            return False
        return self._judge((price, text, "", ASKED, event_ms, frame), now_s)

    def on_asked_other(self, source: PriceSource, text: str, event_ms: int, frame: int) -> None:
        """Take a bid, an ask or a mark that the venue named when asked."""
        setattr(self.book, source.value, text)
        self._watch(source, text, ASKED, event_ms, frame)

    def on_quote(
        self, bid: str, ask: str, update_id: str, event_ms: int, frame: int, now_s: float
    ) -> None:
        """Take best bid and ask."""
        self.ticks += 1
        book = self.book
        book.on_quote(bid, ask, now_s)
        if event_ms:
            book.event_ms = event_ms
            book.stamped = now_s
        if self.others:
            self._watch(PriceSource.BID, bid, update_id, event_ms, frame)
            self._watch(PriceSource.ASK, ask, update_id, event_ms, frame)

    def on_mark(self, text: str, event_ms: int, frame: int, now_s: float) -> None:
        """Take the mark price."""
        self.ticks += 1
        self.book.mark = text
        self.book.received = self.book.marked = now_s
        if event_ms:
            self.book.event_ms = event_ms
            self.book.stamped = now_s
        if self.others:
            self._watch(PriceSource.MARK, text, str(event_ms), event_ms, frame)

    def _watch(
        self, source: PriceSource, text: str, tick_id: str, event_ms: int, frame: int
    ) -> None:
        pair = self.others.get(source)
        if pair is None:
            return
        index, interval = pair
        price = float(text)
        if not interval.low < price < interval.high:
            interval.see(price, text)
        if not index.below_at < price < index.above_at:
            hits = index.on_price(price, text)
            if hits:
                self.on_hits(self, source, hits, text, tick_id, event_ms, frame)

    # --- suspected spikes ---

    def _judge(self, tick: Held, now_s: float) -> bool:
        verdict = self.guard.judge(tick[0], self._middle(), now_s)
        held = self.held
        if verdict in {Verdict.APPLY_HELD, Verdict.APPLY_HELD_THEN_HOLD} and held is not None:
            self.apply(*held)
        self.held = None
        if verdict in {Verdict.HOLD, Verdict.APPLY_HELD_THEN_HOLD}:
            self.held = tick
            return True
        self.apply(*tick)
        return False

    def release_held(self, now_s: float) -> None:
        """Let a held trade act once its time is over."""
        held = self.held
        if held is not None and self.guard.release(now_s):
            self.held = None
            self.apply(*held)

    def _middle(self) -> float | None:
        """Return the mark, else the mid."""
        book = self.book
        if book.mark:
            return float(book.mark)
        if book.bid and book.ask:
            return (float(book.bid) + float(book.ask)) / 2
        return None
