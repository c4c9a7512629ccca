"""A market made up: seeded, endless, lively enough for strategies and exits to have work.

Each symbol walks on its own seed. The logarithm of its mid makes steps of drift plus noise:

    drift      a trend, up, down or none, redrawn every minute or so, and a weak pull back to the
    starting price noise      normal; four times as wide in bursts of some seconds gaps       now
    and then a jump of 1-4 % in one step

Every step is a quote around the new mid and then a trade at its bid or ask, so a jump of the last
price is confirmed by the mid before it happens, as at a real venue. Swaps add a mark, the mid,
every second.

The steps are printed as Binance frames and go through the very parser that reads the venue. So they
can be recorded, replayed and served like real ones.
"""

import asyncio
import heapq
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from operator import itemgetter

import msgspec

from domain.ids import Symbol
from domain.instrument import Instrument, Kind
from exchanges.binance_frames import read_frame
from exchanges.market import MarketSink
from exchanges.recording import Frame, Tap, wall_ns
from runtime.ports import Clock

_NS_A_S = 1_000_000_000
_NS_A_MS = 1_000_000
_TURN_FRAMES = 256  # in a row at most, then the loop gets its turn
_MAX_BEHIND_S = 1.0  # a machine that slept longer does not make up for it
_FLOOR_TICKS = 20  # the mid never falls below
_LOWEST_START_TICKS = 10  # lower, so that a market can start where another one ended
_PULL_A_S = 1 / 86_400  # a day's worth of distance from the starting price, per second
_MARK_EVERY_NS = _NS_A_S
FUNDING_EVERY_MS = 8 * 3600 * 1000
FUNDING_RATE = Decimal("0.0001")  # of notional, each time
MEAN_NOTIONAL = Decimal(1000)  # quote, of a trade


class MarketShape(msgspec.Struct, frozen=True):
    """How lively the market is. Rates are per symbol."""

    ticks_per_second: float = 4.0  # a quote and a trade count as one each; marks come on top
    volatility: float = 0.0004  # of the logarithm of the price, per square root of a second
    trend: float = 0.0001  # drift of the logarithm, per second, while a trend lasts
    trend_s: float = 60.0  # mean length of a trend
    burst_factor: float = 4.0
    burst_s: float = 5.0  # mean length of a burst
    calm_s: float = 60.0  # mean time between two
    gap_every_s: float = 600.0  # mean time between two gaps
    gap_low: float = 0.01
    gap_high: float = 0.04
    spread_ticks: int = 3  # drawn from 1 to this


_USUAL = MarketShape()


class _Grid:
    """Prints multiples of a step (tick size, lot size) without a Decimal each time."""

    def __init__(self, step: Decimal) -> None:
        exponent = step.as_tuple().exponent
        self._decimals = max(0, -int(exponent))
        self._scale = 10**self._decimals
        self._units = int(step * self._scale)

    def text(self, steps: int) -> str:
        """Return `steps` times the step: 617325 ticks of 0.10 are "61732.50"."""
        units = steps * self._units
        if self._decimals == 0:
            return str(units)
        return f"{units // self._scale}.{units % self._scale:0{self._decimals}d}"


class _Walk:
    """The path of one symbol's price."""

    def __init__(self, seed: str, start_ticks: float, shape: MarketShape) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a market, not a secret
        self._shape = shape
        self._home = self._log = math.log(start_ticks)
        self._floor = math.log(_FLOOR_TICKS)
        self._now_s = 0.0
        self._drift = 0.0
        self._width = shape.volatility
        self._trend_until_s = 0.0
        self._burst_until_s = self.chance.expovariate(1 / shape.calm_s)
        self._in_burst = False
        self._gap_at_s = self.chance.expovariate(1 / shape.gap_every_s)

    def step(self, seconds: float) -> int:
        """Go on for so long; return the mid in whole ticks."""
        self._now_s += seconds
        if self._now_s >= min(self._trend_until_s, self._burst_until_s, self._gap_at_s):
            self._turn()
        pull = (self._home - self._log) * _PULL_A_S
        noise = self.chance.gauss(0.0, self._width) * math.sqrt(seconds)
        self._log = max(self._floor, self._log + (self._drift + pull) * seconds + noise)
        return round(math.exp(self._log))

    def _turn(self) -> None:
        """Begin or end a trend or a burst, or jump."""
        shape, chance, now_s = self._shape, self.chance, self._now_s
        if now_s >= self._trend_until_s:
            self._trend_until_s = now_s + chance.expovariate(1 / shape.trend_s)
            self._drift = shape.trend * chance.choice((-1, 0, 1)) * chance.uniform(0.5, 1.5)
        if now_s >= self._burst_until_s:
            self._in_burst = not self._in_burst
            mean_s = shape.burst_s if self._in_burst else shape.calm_s
            self._burst_until_s = now_s + chance.expovariate(1 / mean_s)
            self._width = shape.volatility * (shape.burst_factor if self._in_burst else 1.0)
        if now_s >= self._gap_at_s:
            self._gap_at_s = now_s + chance.expovariate(1 / shape.gap_every_s)
            jump = chance.uniform(shape.gap_low, shape.gap_high)
            self._log += math.log1p(jump if chance.random() < 0.5 else -jump)  # noqa: PLR2004


class _Ticker:
    """Prints one symbol's walk as Binance frames. `start_ns` places it in wall time."""

    def __init__(
        self, seed: int, instrument: Instrument, start: Decimal, shape: MarketShape
    ) -> None:
        start_ticks = float(start / instrument.tick_size)
        if start_ticks < _LOWEST_START_TICKS:
            least = instrument.tick_size * _LOWEST_START_TICKS
            raise ValueError(
                f"{instrument.symbol}: a start price of {start} is below {least},"
                f" {_LOWEST_START_TICKS} ticks of {instrument.tick_size}"
            )
        self._walk = _Walk(f"{seed}/{instrument.symbol}", start_ticks, shape)
        self._shape = shape
        self._name = instrument.venue_symbol
        self._stream = self._name.lower()
        self._is_swap = instrument.kind is Kind.SWAP
        self._prices = _Grid(instrument.tick_size)
        self._lots = _Grid(instrument.lot_size)
        self._mean_lots = max(1.0, float(MEAN_NOTIONAL / start / instrument.lot_size))
        self.start_ns = 0

    def frames(self) -> Iterator[Frame]:
        """Yield (time since the start in ns, raw frame), for ever: a quote, then a trade inside."""
        chance, walk = self._walk.chance, self._walk
        pause_ns = 2 * _NS_A_S / self._shape.ticks_per_second
        # Taken from the wall clock, so that ids rise over restarts too, as they do at a venue.
        number = self.start_ns // 1000
        now_ns, next_mark_ns = 0, 0
        middle = walk.step(0.0)
        while True:
            if self._is_swap and next_mark_ns <= now_ns:
                yield next_mark_ns, self._mark(middle, next_mark_ns)
                next_mark_ns += _MARK_EVERY_NS
                continue
            spread = 1 + int(chance.random() * self._shape.spread_ticks)
            bid = max(1, middle - spread // 2)
            is_buy = chance.random() < 0.5  # noqa: PLR2004
            number += 1
            yield now_ns, self._quote(bid, bid + spread, number, now_ns)
            yield now_ns, self._trade(bid + spread * is_buy, number, now_ns, is_buy=is_buy)
            wait_ns = int(pause_ns * chance.uniform(0.5, 1.5))
            now_ns += wait_ns
            middle = walk.step(wait_ns / _NS_A_S)

    def _lots_text(self) -> str:
        return self._lots.text(1 + int(self._walk.chance.expovariate(1 / self._mean_lots)))

    def _quote(self, bid: int, ask: int, number: int, now_ns: int) -> bytes:
        stamp = (self.start_ns + now_ns) // _NS_A_MS
        head, tail = "", ""
        if self._is_swap:  # spot sends neither event type nor time
            head, tail = '"e":"bookTicker",', f',"T":{stamp},"E":{stamp}'
        return (
            f'{{"stream":"{self._stream}@bookTicker","data":{{{head}"u":{number},"s":"{self._name}",'
            f'"b":"{self._prices.text(bid)}","B":"{self._lots_text()}",'
            f'"a":"{self._prices.text(ask)}","A":"{self._lots_text()}"{tail}}}}}'
        ).encode()

    def _trade(self, price: int, number: int, now_ns: int, *, is_buy: bool) -> bytes:
        stamp = (self.start_ns + now_ns) // _NS_A_MS
        market = '"X":"MARKET",' if self._is_swap else ""
        return (
            f'{{"stream":"{self._stream}@trade","data":{{"e":"trade","E":{stamp},"T":{stamp},'
            f'"s":"{self._name}","t":{number},"p":"{self._prices.text(price)}",'
            f'"q":"{self._lots_text()}",{market}"m":{"false" if is_buy else "true"}}}}}'
        ).encode()

    def _mark(self, price: int, now_ns: int) -> bytes:
        stamp = (self.start_ns + now_ns) // _NS_A_MS
        text = self._prices.text(price)
        funding = (stamp // FUNDING_EVERY_MS + 1) * FUNDING_EVERY_MS
        return (
            f'{{"stream":"{self._stream}@markPrice@1s","data":{{"e":"markPriceUpdate","E":{stamp},'
            f'"s":"{self._name}","p":"{text}","i":"{text}","P":"{text}","r":"{FUNDING_RATE:.8f}",'
            f'"T":{funding}}}}}'
        ).encode()


def _tickers(
    seed: int,
    instruments: Sequence[Instrument],
    start_prices: Mapping[Symbol, Decimal],
    shape: MarketShape,
) -> list[_Ticker]:
    if len({one.venue_symbol for one in instruments}) < len(instruments):
        raise ValueError("two instruments have the same name at the venue")
    missing = [one.symbol for one in instruments if one.symbol not in start_prices]
    if missing or not instruments:
        raise ValueError(f"no start price for {', '.join(missing) or 'anything: no instruments'}")
    return [_Ticker(seed, one, start_prices[one.symbol], shape) for one in instruments]


def _together(tickers: Sequence[_Ticker]) -> Iterator[Frame]:
    return heapq.merge(*(ticker.frames() for ticker in tickers), key=itemgetter(0))


def simulated_frames(
    seed: int,
    instruments: Sequence[Instrument],
    start_prices: Mapping[Symbol, Decimal],
    shape: MarketShape = _USUAL,
    *,
    start_ns: int = 0,
) -> Iterator[Frame]:
    """Yield (time since the start in ns, raw frame) for ever; the same arguments, the same frames.

    `start_ns`: the wall time, ns since 1970, that the frames tell. Raises `ValueError` for
    instruments without a start price, or with one of too few ticks.
    """
    tickers = _tickers(seed, instruments, start_prices, shape)
    for ticker in tickers:
        ticker.start_ns = start_ns
    return _together(tickers)


class SimulatedMarket:
    """The simulated market as a stream, in the time of the loop it runs on."""

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int,
        instruments: Sequence[Instrument],
        start_prices: Mapping[Symbol, Decimal],
        shape: MarketShape = _USUAL,
        tap: Tap | None = None,
    ) -> None:
        """`tap` sees every frame and its wall time, to record it. Raises `ValueError`."""
        self._clock = clock
        self._tickers = _tickers(seed, instruments, start_prices, shape)
        self._symbols = {one.venue_symbol: one.symbol for one in instruments}
        self._tap = tap
        self._frames = _together(self._tickers)
        self._next: Frame | None = None

    async def run(self, sink: MarketSink) -> None:
        """Feed `sink` until canceled. Run again, it goes on where it was, in the present."""
        loop = asyncio.get_running_loop()
        at_ns, raw = self._next or self._begin()
        start_s = loop.time() - at_ns / _NS_A_S
        start_ns = self._place(at_ns)
        sink.on_connected()
        in_a_row = 0
        while True:
            late_s = loop.time() - start_s - at_ns / _NS_A_S
            if late_s > _MAX_BEHIND_S:  # the machine slept: go on from now, without a flood
                start_s += late_s
                start_ns = self._place(at_ns)
            if late_s < 0 or in_a_row >= _TURN_FRAMES:
                await asyncio.sleep(max(0.0, -late_s))
                in_a_row = 0
            in_a_row += 1
            frame, frame_ns = raw, start_ns + at_ns
            self._next = at_ns, raw = next(self._frames)
            read_frame(frame, self._symbols, sink)
            if self._tap is not None:
                self._tap(frame_ns, frame)

    def _begin(self) -> Frame:
        self._place(0)
        self._next = next(self._frames)
        return self._next

    def _place(self, at_ns: int) -> int:
        """Let the frame at `at_ns` tell the present time; return the wall time of the start."""
        start_ns = wall_ns(self._clock) - at_ns
        for ticker in self._tickers:
            ticker.start_ns = start_ns
        return start_ns
