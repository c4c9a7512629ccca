"""A venue's public REST that says what the test tells it to say, in virtual time."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

from domain.candles import Candle, Timeframe
from domain.ids import Symbol
from domain.instrument import PriceSource
from exchanges.market_reads import BookLevel, BookRead, FundingRead, OpenInterestRead, PriceRead
from exchanges.port import Unknown
from tests.actors.box import BTC

MINUTE = Timeframe(60_000)


class Asked:
    """Answers after `latency_s`; what it has no price of it does not know."""

    def __init__(self, *, latency_s: float = 0.05, **prices: str) -> None:
        self.latency_s = latency_s
        self.prices: dict[Symbol, str | Unknown] = {
            Symbol(f"{base}/USDT"): price for base, price in prices.items()
        }
        self.marks: dict[Symbol, str] = {}
        self.books: dict[Symbol, tuple[str, str]] = {}
        self.history: dict[tuple[Symbol, PriceSource], Sequence[Candle] | Unknown] = {}
        self.lengths: tuple[Timeframe, ...] = (MINUTE,)
        self.asked: list[tuple[float, str, Symbol]] = []
        self.is_closed = False

    async def last(self, symbol: Symbol) -> PriceRead | Unknown:
        await self._wait("last", symbol)
        price = self.prices.get(symbol, Unknown("nobody answers"))
        return price if isinstance(price, Unknown) else PriceRead(symbol, price, 0)

    async def mark(self, symbol: Symbol) -> PriceRead | Unknown | None:
        await self._wait("mark", symbol)
        return PriceRead(symbol, self.marks[symbol], 0) if symbol in self.marks else None

    def timeframes(self, source: PriceSource) -> Sequence[Timeframe]:
        return self.lengths if source in {PriceSource.LAST, PriceSource.MARK} else ()

    async def candles(
        self,
        symbol: Symbol,
        timeframe: Timeframe,
        begin_ms: int,
        end_ms: int,
        source: PriceSource = PriceSource.LAST,
    ) -> Sequence[Candle] | Unknown:
        await self._wait(f"{timeframe} candles of {source.value}", symbol)
        found = self.history.get((symbol, source), Unknown("nobody answers"))
        if isinstance(found, Unknown):
            return found
        return [
            each
            for each in found
            if begin_ms <= each.open_ms < end_ms and each.timeframe == timeframe
        ]

    async def book(self, symbol: Symbol, depth: int) -> BookRead | Unknown:
        await self._wait("book", symbol)
        if symbol not in self.books:
            return Unknown("nobody answers")
        bid, ask = (BookLevel(Decimal(price), Decimal(1)) for price in self.books[symbol])
        return BookRead(symbol, (bid,) * depth, (ask,) * depth, 0)

    async def funding(self, symbol: Symbol) -> FundingRead | Unknown | None:
        await self._wait("funding", symbol)
        return FundingRead(symbol, Decimal("0.0001"), 1_800_000_000_000)

    async def open_interest(self, symbol: Symbol) -> OpenInterestRead | Unknown | None:
        await self._wait("open interest", symbol)
        return OpenInterestRead(symbol, Decimal(1234), 1_700_000_000_000)

    async def close(self) -> None:
        self.is_closed = True

    def count(self, what: str = "last", symbol: Symbol = BTC) -> int:
        return sum(1 for _, asked, about in self.asked if (asked, about) == (what, symbol))

    async def _wait(self, what: str, symbol: Symbol) -> None:
        self.asked.append((asyncio.get_running_loop().time(), what, symbol))
        await asyncio.sleep(self.latency_s)
