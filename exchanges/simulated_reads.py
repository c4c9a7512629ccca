"""What the simulated market tells when it is asked, without a network.

It runs inside the daemon, so what it printed last is what was heard last, and nothing can be
missed. It has no history: it stands still while the daemon is down, and goes on from its last
prices. So its candles are always `Unknown`, with that reason.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from domain.candles import Candle, Timeframe
from domain.ids import Symbol
from domain.instrument import Instrument, Kind, PriceSource
from domain.money import floor_to
from exchanges.market_reads import BookLevel, BookRead, FundingRead, OpenInterestRead, PriceRead
from exchanges.port import Unknown
from exchanges.simulated_market import FUNDING_EVERY_MS, FUNDING_RATE, MEAN_NOTIONAL
from runtime.ports import Clock

NO_HISTORY = "the simulated market has no history: it stands still while the daemon is down"
_NOTHING_YET = "the simulated market has printed nothing yet"


class Printed(Protocol):
    """The prices of one symbol as text; empty before the first."""

    last: str
    bid: str
    ask: str
    mark: str
    event_ms: int


class SimulatedReads:
    """Answers from what the market printed."""

    def __init__(
        self,
        clock: Clock,
        instruments: Mapping[Symbol, Instrument],
        printed: Mapping[Symbol, Printed],
    ) -> None:
        self._clock = clock
        self._instruments = instruments
        self._printed = printed

    async def last(self, symbol: Symbol) -> PriceRead | Unknown:
        """Return the last price."""
        printed = self._printed[symbol]
        if not printed.last:
            return Unknown(_NOTHING_YET)
        return PriceRead(symbol, printed.last, printed.event_ms)

    async def mark(self, symbol: Symbol) -> PriceRead | Unknown | None:
        """Return the mark price; None for spot."""
        if self._instruments[symbol].kind is Kind.SPOT:
            return None
        printed = self._printed[symbol]
        if not printed.mark:
            return Unknown(_NOTHING_YET)
        return PriceRead(symbol, printed.mark, printed.event_ms)

    def timeframes(self, source: PriceSource) -> Sequence[Timeframe]:
        """Return none."""
        del source
        return ()

    async def candles(
        self,
        symbol: Symbol,
        timeframe: Timeframe,
        begin_ms: int,
        end_ms: int,
        source: PriceSource = PriceSource.LAST,
    ) -> Sequence[Candle] | Unknown:
        """Return why there are none."""
        del symbol, timeframe, begin_ms, end_ms, source
        return Unknown(NO_HISTORY)

    async def book(self, symbol: Symbol, depth: int) -> BookRead | Unknown:
        """Return a book made up around the quote: the same notional on each of `depth` ticks."""
        printed, instrument = self._printed[symbol], self._instruments[symbol]
        if not printed.bid:
            return Unknown(_NOTHING_YET)
        bid, ask, tick = Decimal(printed.bid), Decimal(printed.ask), instrument.tick_size
        lots = floor_to(MEAN_NOTIONAL / ask, instrument.lot_size)
        quantity = max(lots, instrument.lot_size)
        return BookRead(
            symbol,
            tuple(BookLevel(bid - n * tick, quantity) for n in range(depth) if bid > n * tick),
            tuple(BookLevel(ask + n * tick, quantity) for n in range(depth)),
            printed.event_ms,
        )

    async def funding(self, symbol: Symbol) -> FundingRead | Unknown | None:
        """Return the rate that the stream prints, too; None for spot."""
        if self._instruments[symbol].kind is Kind.SPOT:
            return None
        now_ms = int(self._clock.now().timestamp() * 1000)
        next_ms = (now_ms // FUNDING_EVERY_MS + 1) * FUNDING_EVERY_MS
        return FundingRead(symbol, FUNDING_RATE, next_ms)

    async def open_interest(self, symbol: Symbol) -> OpenInterestRead | Unknown | None:
        """Return why there is none; None for spot."""
        if self._instruments[symbol].kind is Kind.SPOT:
            return None
        return Unknown("nobody else trades in the simulated market")

    async def close(self) -> None:
        """Nothing is open."""
