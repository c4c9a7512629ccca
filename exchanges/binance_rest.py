"""Binance's public REST, spot and USD-M: prices, candles, books, funding, open interest.

The readers are pure: JSON in, a value out, `LieError` for what cannot be believed. Where the venue
names the symbol in its answer it is compared; candles and books carry none.

Sources: github.com/binance/binance-spot-api-docs (rest-api), developers.binance.com (USD-M market
data).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from domain.candles import Candle, Timeframe
from domain.ids import Symbol
from domain.instrument import Kind, PriceSource
from domain.money import ONE, ZERO
from exchanges.candle_pages import MAX_PAGES, in_order, opens_in, require_ends
from exchanges.market_reads import BookRead, FundingRead, OpenInterestRead, PriceRead
from exchanges.port import Unknown
from exchanges.rest import (
    LieError,
    Rest,
    candle,
    excerpt,
    fields_of,
    levels,
    number,
    price,
    price_text,
    require_book,
    rows_of,
    stamp_ms,
)

SPOT_URL = "https://api.binance.com"
USDM_URL = "https://fapi.binance.com"
PAGE = 1000  # candles; both venues take it
DEPTHS = (5, 10, 20, 50, 100, 500, 1000)  # USD-M takes only these
_SECOND, _MINUTE, _HOUR = Timeframe(1_000), Timeframe(60_000), Timeframe(3_600_000)
_COLUMNS = 9  # of a candle, as far as they are read


class BinanceReads:
    """Public REST of one kind of instrument at Binance, or at whatever answers like it."""

    def __init__(self, rest: Rest, kind: Kind, names: Mapping[Symbol, str]) -> None:
        """`names`: how the venue calls our symbols ("BTCUSDT")."""
        self._rest = rest
        self._is_swap = kind is Kind.SWAP
        self._base = "/fapi/v1" if self._is_swap else "/api/v3"
        self._names = names

    async def last(self, symbol: Symbol) -> PriceRead | Unknown:
        """Return the last price."""
        name = self._names[symbol]
        read = partial(read_last, symbol=symbol, name=name)
        return await self._rest.ask(read, f"{self._base}/ticker/price", symbol=name)

    async def mark(self, symbol: Symbol) -> PriceRead | Unknown | None:
        """Return the mark price; None for spot."""
        if not self._is_swap:
            return None
        name = self._names[symbol]
        read = partial(read_mark, symbol=symbol, name=name)
        return await self._rest.ask(read, f"{self._base}/premiumIndex", symbol=name)

    def timeframes(self, source: PriceSource) -> Sequence[Timeframe]:
        """Return the candles there are: seconds for spot only."""
        if source is PriceSource.LAST and not self._is_swap:
            return (_SECOND, _MINUTE, _HOUR)
        return (_MINUTE, _HOUR) if self._path_of(source) else ()

    async def candles(
        self,
        symbol: Symbol,
        timeframe: Timeframe,
        begin_ms: int,
        end_ms: int,
        source: PriceSource = PriceSource.LAST,
    ) -> Sequence[Candle] | Unknown:
        """Return the candles that open in [begin_ms, end_ms), page after page."""
        path = self._path_of(source)
        if not path:
            return Unknown(f"Binance keeps no candles of the {source.value} price")
        wanted = opens_in(timeframe, begin_ms, end_ms)
        found: list[Candle] = []
        at_ms = wanted.start
        for _ in range(MAX_PAGES):
            if at_ms >= wanted.stop:
                break
            page = await self._rest.ask(
                partial(read_candles, symbol=symbol, timeframe=timeframe, now_ms=self._rest.now_ms),
                self._base + path,
                symbol=self._names[symbol],
                interval=str(timeframe),
                startTime=at_ms,
                endTime=wanted.stop - 1,
                limit=PAGE,
            )
            if isinstance(page, Unknown):
                return page
            if not page:
                break
            found += page
            at_ms = max(page[-1].open_ms + timeframe.ms, at_ms + timeframe.ms)
        try:
            candles = in_order(found, wanted)
            require_ends(candles, wanted, self._rest.now_ms)
        except LieError as lie:
            return Unknown(f"{self._base}{path}: {lie}")
        return candles

    async def book(self, symbol: Symbol, depth: int) -> BookRead | Unknown:
        """Return the best `depth` levels of each side."""
        limit = next((each for each in DEPTHS if each >= depth), DEPTHS[-1])
        read = partial(read_book, symbol=symbol, depth=depth)
        name = self._names[symbol]
        return await self._rest.ask(read, f"{self._base}/depth", symbol=name, limit=limit)

    async def funding(self, symbol: Symbol) -> FundingRead | Unknown | None:
        """Return the funding to come; None for spot."""
        if not self._is_swap:
            return None
        name = self._names[symbol]
        read = partial(read_funding, symbol=symbol, name=name)
        return await self._rest.ask(read, f"{self._base}/premiumIndex", symbol=name)

    async def open_interest(self, symbol: Symbol) -> OpenInterestRead | Unknown | None:
        """Return the open interest; None for spot."""
        if not self._is_swap:
            return None
        name = self._names[symbol]
        read = partial(read_open_interest, symbol=symbol, name=name)
        return await self._rest.ask(read, f"{self._base}/openInterest", symbol=name)

    async def close(self) -> None:
        """Let go of connections."""
        await self._rest.close()

    def _path_of(self, source: PriceSource) -> str:
        if source is PriceSource.LAST:
            return "/klines"
        return "/markPriceKlines" if source is PriceSource.MARK and self._is_swap else ""


def read_last(answer: Any, *, symbol: Symbol, name: str) -> PriceRead:
    """Read `ticker/price`; spot gives no time. Raises `LieError`."""
    fields = _named(answer, name)
    time = fields.get("time", 0)
    return PriceRead(symbol, price_text(fields.get("price")), stamp_ms(time) if time else 0)


def read_mark(answer: Any, *, symbol: Symbol, name: str) -> PriceRead:
    """Read the mark in `premiumIndex`. Raises `LieError`."""
    fields = _named(answer, name)
    return PriceRead(symbol, price_text(fields.get("markPrice")), stamp_ms(fields.get("time")))


def read_candles(
    answer: Any, *, symbol: Symbol, timeframe: Timeframe, now_ms: int
) -> tuple[Candle, ...]:
    """Read `klines` or `markPriceKlines`. Raises `LieError`."""
    found = []
    for row in rows_of(answer, length=_COLUMNS):
        trades = row[8]
        if type(trades) is not int or trades < 0:
            raise LieError(f"a candle with {excerpt(trades)} trades")
        volume = number(row[5])
        if volume < ZERO:
            raise LieError(f"a candle with a volume of {volume}")
        found.append(
            candle(
                symbol,
                timeframe,
                stamp_ms(row[0]),
                row[1:5],
                volume=volume,
                trades=trades,
                whole=stamp_ms(row[6]) < now_ms,
            )
        )
    return tuple(found)


def read_book(answer: Any, *, symbol: Symbol, depth: int) -> BookRead:
    """Read `depth`; spot gives no time. Raises `LieError`."""
    fields = fields_of(answer)
    bids, asks = levels(fields.get("bids"), ONE), levels(fields.get("asks"), ONE)
    require_book(bids, asks)
    time = fields.get("T", 0)
    return BookRead(symbol, bids[:depth], asks[:depth], stamp_ms(time) if time else 0)


def read_funding(answer: Any, *, symbol: Symbol, name: str) -> FundingRead:
    """Read `premiumIndex`. Raises `LieError`."""
    fields = _named(answer, name)
    next_ms = stamp_ms(fields.get("nextFundingTime"))
    return FundingRead(symbol, number(fields.get("lastFundingRate")), next_ms)


def read_open_interest(answer: Any, *, symbol: Symbol, name: str) -> OpenInterestRead:
    """Read `openInterest`. Raises `LieError`."""
    fields = _named(answer, name)
    return OpenInterestRead(symbol, price(fields.get("openInterest")), stamp_ms(fields.get("time")))


def _named(answer: Any, name: str) -> dict[str, Any]:
    fields = fields_of(answer)
    if fields.get("symbol") != name:
        raise LieError(f"the answer is about {excerpt(fields.get('symbol'))}, not {name}")
    return fields
