"""Candles from trades: what a strategy sees of a market.

A timeframe cuts venue time into intervals that begin at multiples of it, counted from midnight UTC.
The trades of one interval make one candle. Four rules keep a series of candles trustworthy:

- Regular: an interval without trades gives a flat candle at the previous close, so that "12 bars"
  is a time. Where more than `MAX_MISSING` would have to be invented, the series restarts instead
  and counts that in `restarts`.
- Immutable: a closed candle is never corrected. A trade that comes late for one is counted in
  `late` and ignored; inside the open interval trades may come in any order.
- Exact: prices and volume are the venue's decimals. Floats only decide, where they can, which price
  is higher; texts are parsed when a candle closes.
- Honest: a candle whose interval was not seen from its beginning says so (`whole`).

A trade inside the open interval touches one tally, however many timeframes are built; the first one
outside it shares the tally out. So the cost of a trade does not grow with the number of timeframes.
"""

from decimal import Context, Decimal, localcontext
from math import inf

import msgspec

from domain.ids import Symbol
from domain.money import ZERO

MAX_MISSING = 500  # flat candles in a row; a longer silence restarts the series
_DAY_MS = 86_400_000
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": _DAY_MS}
_MAX_DIGITS = 5  # 86400s is a day
_FOLD_AT = 256  # quantities kept as text; bounds memory and the pause when they are summed
_EXACT = Context(prec=80)  # a sum of venue quantities never rounds
_NONE: tuple["Candle", ...] = ()


class TimeframeError(ValueError):
    """Text that is no timeframe; the message names it and says what would be one."""


class Timeframe(msgspec.Struct, frozen=True, order=True, gc=False):
    """The length of a candle's interval; divides a day, so that days begin with a new candle."""

    ms: int

    @classmethod
    def parse(cls, text: str) -> "Timeframe":
        """Read "1s", "5m", "4h", "1d". Raises `TimeframeError`."""
        digits, unit = text[:-1], text[-1:]
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
            raise TimeframeError(_no_timeframe(text))
        ms = int(digits) * _UNITS_MS.get(unit, 0)
        if ms == 0:
            raise TimeframeError(_no_timeframe(text))
        if _DAY_MS % ms:
            message = f"{text!r} does not divide a day; candles would not begin at midnight UTC"
            raise TimeframeError(message)
        return cls(ms)

    def __str__(self) -> str:
        """Return it in its largest unit: "60s" reads "1m"."""
        unit = next(name for name in "dhms" if self.ms % _UNITS_MS[name] == 0)
        return f"{self.ms // _UNITS_MS[unit]}{unit}"

    def open_of(self, event_ms: int) -> int:
        """Return the beginning of the interval that holds `event_ms`."""
        return event_ms - event_ms % self.ms


def _no_timeframe(text: str) -> str:
    return f"{text!r} is not a timeframe; write a number and s, m, h or d, such as 5s, 1m, 4h or 1d"


class Candle(msgspec.Struct, frozen=True, gc=False):
    """The trades of one closed interval. Prices in quote, volume in base units."""

    symbol: Symbol
    timeframe: Timeframe
    open_ms: int  # venue time, a multiple of the timeframe
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: int  # 0: a flat candle, nobody traded
    whole: bool = True  # False: part of the interval was not seen

    @property
    def close_ms(self) -> int:
        """Return where the next interval begins (venue time)."""
        return self.open_ms + self.timeframe.ms


class _Tally:
    """The trades of an interval so far; mutable, because every trade of a market passes one."""

    __slots__ = (
        "close",
        "high",
        "high_text",
        "low",
        "low_text",
        "open",
        "quantities",
        "summed",
        "volume",
    )

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.open = self.close = self.high_text = self.low_text = ""
        self.high = -inf
        self.low = inf
        self.quantities: list[str] = []
        self.volume = ZERO
        self.summed = 0  # trades whose quantity is in `volume`

    def add(self, price: float, price_text: str, quantity_text: str) -> None:
        # Most trades at an extreme repeat the price before; the text tells that cheaply.
        if not self.low < price < self.high and price_text != self.close:
            self.stretch(price, price_text)
        self.close = price_text
        quantities = self.quantities
        quantities.append(quantity_text)
        if len(quantities) >= _FOLD_AT:
            self.fold()

    def stretch(self, price: float, price_text: str) -> None:
        """Move high and low to a price at or beyond them; decimals decide if floats are equal."""
        if not self.open:
            self.open = price_text
        if price > self.high or (
            price == self.high
            and price_text != self.high_text
            and Decimal(price_text) > Decimal(self.high_text)
        ):
            self.high, self.high_text = price, price_text
        if price < self.low or (
            price == self.low
            and price_text != self.low_text
            and Decimal(price_text) < Decimal(self.low_text)
        ):
            self.low, self.low_text = price, price_text

    def fold(self) -> None:
        with localcontext(_EXACT):
            self.volume = sum(map(Decimal, self.quantities), self.volume)
        self.summed += len(self.quantities)
        self.quantities.clear()

    def absorb(self, later: "_Tally") -> None:
        """Add another tally: not empty, its quantities folded, its trades after these."""
        self.fold()
        self.open = self.open or later.open
        self.stretch(later.low, later.low_text)
        self.stretch(later.high, later.high_text)
        self.close = later.close
        self.volume = _EXACT.add(self.volume, later.volume)
        self.summed += later.summed


class CandleBuilder:
    """Builds the candles of one symbol and timeframe. Mutable; owned by the feed.

    Texts must have been checked by the stream that read them: positive finite decimals, and `price`
    is `float(price_text)`.
    """

    __slots__ = (
        "_close",
        "_closed_end_ms",
        "_tally",
        "_whole_from_ms",
        "end_ms",
        "late",
        "open_ms",
        "restarts",
        "symbol",
        "timeframe",
    )

    def __init__(self, symbol: Symbol, timeframe: Timeframe) -> None:
        self.symbol = symbol
        self.timeframe = timeframe
        self.open_ms = 0  # the open interval; empty until the first trade
        self.end_ms = 0
        self.late = 0  # trades ignored because their candle was closed
        self.restarts = 0  # silences too long to fill
        self._tally = _Tally()
        self._close = ZERO  # of the candle before
        self._closed_end_ms = 0  # where the last closed candle ended
        self._whole_from_ms = 0  # intervals that begin before were not seen entirely

    def on_trade(
        self, price: float, price_text: str, quantity_text: str, event_ms: int
    ) -> tuple[Candle, ...]:
        """Take a trade; return the candles it closes, oldest first (at most `MAX_MISSING` + 1)."""
        if self.open_ms <= event_ms < self.end_ms:
            self._tally.add(price, price_text, quantity_text)
            return _NONE
        if event_ms < self._closed_end_ms:
            self.late += 1
            return _NONE
        closed = _NONE
        if event_ms >= self.end_ms:
            closed = self.close_until(event_ms)
        elif self._was_false_jump(event_ms):
            self.restarts += 1
            self.end_ms = 0
        else:  # a little before the first trade of a new series
            self.late += 1
            return _NONE
        if not self.end_ms:
            self._begin(event_ms)
        self._tally.add(price, price_text, quantity_text)
        return closed

    def close_until(self, event_ms: int) -> tuple[Candle, ...]:
        """Close every interval that ended by `event_ms`, a venue time before which all trades came.

        This is how a quiet market closes its candles. Trades that still come for them are late.
        """
        if event_ms < self.end_ms or not self.end_ms:
            return _NONE
        closed = [self._closed()]
        missing = (event_ms - self.end_ms) // self.timeframe.ms
        if missing > MAX_MISSING:
            self.restarts += 1
            self._tally.clear()
            self.open_ms = self.end_ms = 0
            return tuple(closed)
        for _ in range(missing):
            self._advance()
            closed.append(self._closed())
        self._advance()
        return tuple(closed)

    def unseen_until(self, event_ms: int) -> None:
        """Note that trades before `event_ms` may be missing: candles begun before are not whole."""
        self._whole_from_ms = max(self._whole_from_ms, event_ms)

    def absorb(self, tally: _Tally) -> None:
        """Add folded trades that all lie in the open interval."""
        self._tally.absorb(tally)

    def _was_false_jump(self, event_ms: int) -> bool:
        """Whether the open interval lies absurdly far ahead; one wrong stamp must not mute us."""
        return self.open_ms - event_ms > MAX_MISSING * self.timeframe.ms

    def _begin(self, event_ms: int) -> None:
        self._tally.clear()
        self.open_ms = self.timeframe.open_of(event_ms)
        self.end_ms = self.open_ms + self.timeframe.ms
        self._whole_from_ms = (
            event_ms + 1
        )  # even a trade at the boundary may not have been the first

    def _advance(self) -> None:
        self.open_ms = self.end_ms
        self.end_ms += self.timeframe.ms

    def _closed(self) -> Candle:
        """Return the open interval as a candle and empty the tally."""
        tally = self._tally
        quiet = not tally.open
        if not quiet:
            tally.fold()
            self._close = Decimal(tally.close)
        candle = Candle(
            symbol=self.symbol,
            timeframe=self.timeframe,
            open_ms=self.open_ms,
            open=self._close if quiet else Decimal(tally.open),
            high=self._close if quiet else Decimal(tally.high_text),
            low=self._close if quiet else Decimal(tally.low_text),
            close=self._close,
            volume=tally.volume,
            trades=tally.summed,
            whole=self.open_ms >= self._whole_from_ms,
        )
        tally.clear()
        self._closed_end_ms = self.end_ms
        return candle


class CandleBook:
    """Builds the candles of one symbol in several timeframes. Mutable; owned by the feed.

    Gives exactly what one `CandleBuilder` a timeframe would give.
    """

    __slots__ = ("_builders", "_from_ms", "_tally", "_until_ms", "symbol")

    def __init__(self, symbol: Symbol, *timeframes: Timeframe) -> None:
        self.symbol = symbol
        self._builders: tuple[CandleBuilder, ...] = ()
        self._tally = _Tally()  # trades not yet shared out
        self._from_ms = 0  # inside [from, until) nothing closes and nothing is late,
        self._until_ms = 0  # in any timeframe
        for timeframe in timeframes:
            self.add(timeframe)

    def add(self, timeframe: Timeframe) -> None:
        """Build `timeframe` too, from the next trade on; nothing happens if it is built already."""
        if timeframe not in self.timeframes:
            self._share()
            self._builders = (*self._builders, CandleBuilder(self.symbol, timeframe))
            self._look()

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        """Return what is built, in the order it was asked for."""
        return tuple(builder.timeframe for builder in self._builders)

    @property
    def late(self) -> int:
        """Trades ignored because their candle was closed, once for each timeframe."""
        return sum(builder.late for builder in self._builders)

    @property
    def restarts(self) -> int:
        """Silences too long to fill, once for each timeframe."""
        return sum(builder.restarts for builder in self._builders)

    def on_trade(
        self, price: float, price_text: str, quantity_text: str, event_ms: int
    ) -> tuple[Candle, ...]:
        """Take a trade; return the candles it closes: by closing time, longer timeframes first."""
        if self._from_ms <= event_ms < self._until_ms:
            self._tally.add(price, price_text, quantity_text)
            return _NONE
        self._share()
        closed: list[Candle] = []
        for builder in self._builders:
            closed += builder.on_trade(price, price_text, quantity_text, event_ms)
        self._look()
        return _in_order(closed)

    def close_until(self, event_ms: int) -> tuple[Candle, ...]:
        """Close every interval that ended by `event_ms`; see `CandleBuilder.close_until`."""
        if event_ms < self._until_ms:
            return _NONE
        self._share()
        closed: list[Candle] = []
        for builder in self._builders:
            closed += builder.close_until(event_ms)
        self._look()
        return _in_order(closed)

    def unseen_until(self, event_ms: int) -> None:
        """Note a hole in the stream; see `CandleBuilder.unseen_until`."""
        for builder in self._builders:
            builder.unseen_until(event_ms)

    def _share(self) -> None:
        """Give the tallied trades to every builder; they lie in the open interval of each."""
        if self._tally.open:
            self._tally.fold()
            for builder in self._builders:
                builder.absorb(self._tally)
            self._tally.clear()

    def _look(self) -> None:
        """Find the interval that lies within every open one; empty while a builder has none."""
        self._from_ms = max((builder.open_ms for builder in self._builders), default=0)
        self._until_ms = min((builder.end_ms for builder in self._builders), default=0)


def _in_order(closed: list[Candle]) -> tuple[Candle, ...]:
    """Longer ones first: who decides on the shorter one then knows the others of that moment."""
    if not closed:
        return _NONE
    return tuple(sorted(closed, key=lambda candle: (candle.close_ms, -candle.timeframe.ms)))
