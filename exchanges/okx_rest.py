"""OKX's public REST (v5), spot and linear swaps: prices, candles, books, funding, open interest.

Every answer is `{"code": "0", "msg": "", "data": […]}`; another code is a refusal, and so is an
empty list. Sizes of swaps are in contracts; here they become base units. Candles come newest first
and are paged backward; the latest ones from one address, older ones from another.

The readers are pure: JSON in, a value out, `LieError` for what cannot be believed.

Source: www.okx.com/docs-v5/en (market data, public data).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from domain.candles import Candle, Timeframe
from domain.ids import Symbol
from domain.instrument import Instrument, Kind, PriceSource
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

URL = "https://www.okx.com"
DEMO_HEADERS = {"x-simulated-trading": "1"}  # without it the same address is the live venue
PAGE = 100  # candles; every address takes it
RECENT = 1440  # candles that the address of the latest ones goes back
MAX_DEPTH = 400
# Seconds are kept too, but whether the latest ones are there at once is not documented.
_TIMEFRAMES = (Timeframe(60_000), Timeframe(3_600_000))
_BARS = {60_000: "1m", 180_000: "3m", 300_000: "5m", 900_000: "15m", 1_800_000: "30m"} | {
    hours * 3_600_000: f"{hours}H" for hours in (1, 2, 4)
}
_BARS |= {21_600_000: "6Hutc", 43_200_000: "12Hutc", 86_400_000: "1Dutc"}


class OkxReads:
    """Public REST of OKX, or of whatever answers like it."""

    def __init__(self, rest: Rest, instruments: Mapping[Symbol, Instrument]) -> None:
        self._rest = rest
        self._instruments = instruments

    async def last(self, symbol: Symbol) -> PriceRead | Unknown:
        """Return the last price."""
        name = self._name(symbol)
        read = partial(read_last, symbol=symbol, name=name)
        return await self._rest.ask(read, "/api/v5/market/ticker", instId=name)

    async def mark(self, symbol: Symbol) -> PriceRead | Unknown | None:
        """Return the mark price; None for spot."""
        if not self._is_swap(symbol):
            return None
        name = self._name(symbol)
        read = partial(read_mark, symbol=symbol, name=name)
        path = "/api/v5/public/mark-price"
        return await self._rest.ask(read, path, instType="SWAP", instId=name)

    def timeframes(self, source: PriceSource) -> Sequence[Timeframe]:
        """Return the candles there are."""
        return _TIMEFRAMES if source in {PriceSource.LAST, PriceSource.MARK} else ()

    async def candles(
        self,
        symbol: Symbol,
        timeframe: Timeframe,
        begin_ms: int,
        end_ms: int,
        source: PriceSource = PriceSource.LAST,
    ) -> Sequence[Candle] | Unknown:
        """Return the candles that open in [begin_ms, end_ms), paged backward."""
        refusal = self._no_candles(symbol, timeframe, source)
        if refusal is not None:
            return refusal
        wanted = opens_in(timeframe, begin_ms, end_ms)
        read = partial(
            read_candles,
            symbol=symbol,
            timeframe=timeframe,
            contract_size=self._contract_size(symbol),
            is_mark=source is PriceSource.MARK,
        )
        found: list[Candle] = []
        until_ms, path = wanted.stop, ""
        for _ in range(MAX_PAGES):
            if until_ms <= wanted.start:
                break
            path = self._path(source, timeframe, max(wanted.start, until_ms - PAGE * timeframe.ms))
            page = await self._rest.ask(
                read,
                path,
                instId=self._name(symbol),
                bar=_BARS[timeframe.ms],
                after=until_ms,
                limit=PAGE,
            )
            if isinstance(page, Unknown):
                return page
            if not page:
                break
            found += page
            until_ms = min(page[-1].open_ms, until_ms - 1)
        try:
            candles = in_order(found, wanted)
            require_ends(candles, wanted, self._rest.now_ms)
        except LieError as lie:
            return Unknown(f"{path}: {lie}")
        return candles

    async def book(self, symbol: Symbol, depth: int) -> BookRead | Unknown:
        """Return the best `depth` levels of each side."""
        size = min(depth, MAX_DEPTH)
        read = partial(
            read_book, symbol=symbol, depth=size, contract_size=self._contract_size(symbol)
        )
        return await self._rest.ask(
            read, "/api/v5/market/books", instId=self._name(symbol), sz=size
        )

    async def funding(self, symbol: Symbol) -> FundingRead | Unknown | None:
        """Return the funding to come; None for spot."""
        if not self._is_swap(symbol):
            return None
        name = self._name(symbol)
        read = partial(read_funding, symbol=symbol, name=name)
        return await self._rest.ask(read, "/api/v5/public/funding-rate", instId=name)

    async def open_interest(self, symbol: Symbol) -> OpenInterestRead | Unknown | None:
        """Return the open interest; None for spot."""
        if not self._is_swap(symbol):
            return None
        name = self._name(symbol)
        read = partial(
            read_open_interest, symbol=symbol, name=name, contract_size=self._contract_size(symbol)
        )
        path = "/api/v5/public/open-interest"
        return await self._rest.ask(read, path, instType="SWAP", instId=name)

    async def close(self) -> None:
        """Let go of connections."""
        await self._rest.close()

    def _is_swap(self, symbol: Symbol) -> bool:
        return self._instruments[symbol].kind is Kind.SWAP

    def _name(self, symbol: Symbol) -> str:
        """Return what OKX calls it, whatever another venue's name in `venue_symbol` is."""
        instrument = self._instruments[symbol]
        name = f"{instrument.base}-{instrument.quote}"
        return f"{name}-SWAP" if self._is_swap(symbol) else name

    def _contract_size(self, symbol: Symbol) -> Decimal:
        return self._instruments[symbol].contract_size if self._is_swap(symbol) else ONE

    def _no_candles(
        self, symbol: Symbol, timeframe: Timeframe, source: PriceSource
    ) -> Unknown | None:
        if timeframe.ms not in _BARS:
            return Unknown(f"OKX keeps no candles of {timeframe}")
        if source is PriceSource.LAST or (source is PriceSource.MARK and self._is_swap(symbol)):
            return None
        return Unknown(f"OKX keeps no candles of the {source.value} price of {symbol}")

    def _path(self, source: PriceSource, timeframe: Timeframe, from_ms: int) -> str:
        is_recent = from_ms > self._rest.now_ms - (RECENT - 1) * timeframe.ms
        what = "mark-price-candles" if source is PriceSource.MARK else "candles"
        return f"/api/v5/market/{what if is_recent else f'history-{what}'}"


def data_of(answer: Any) -> list[Any]:
    """Return the list in the envelope. Raises `LieError`."""
    fields = fields_of(answer)
    if fields.get("code") != "0":
        raise LieError(f"refused: {excerpt(fields.get('code'))} {excerpt(fields.get('msg'))}")
    return rows_of(fields.get("data"))


def read_last(answer: Any, *, symbol: Symbol, name: str) -> PriceRead:
    """Read `market/ticker`. Raises `LieError`."""
    fields = _named(answer, name)
    return PriceRead(symbol, price_text(fields.get("last")), stamp_ms(fields.get("ts")))


def read_mark(answer: Any, *, symbol: Symbol, name: str) -> PriceRead:
    """Read `public/mark-price`. Raises `LieError`."""
    fields = _named(answer, name)
    return PriceRead(symbol, price_text(fields.get("markPx")), stamp_ms(fields.get("ts")))


def read_candles(
    answer: Any, *, symbol: Symbol, timeframe: Timeframe, contract_size: Decimal, is_mark: bool
) -> tuple[Candle, ...]:
    """Read candles, newest first; those of the mark have no volume. Raises `LieError`."""
    found = []
    for row in rows_of(data_of(answer), length=6):
        if row[-1] not in ("0", "1"):  # no set: it may be anything
            raise LieError(f"a candle whose confirmation is {excerpt(row[-1])}")
        volume = ZERO if is_mark else number(row[5]) * contract_size
        if volume < ZERO:
            raise LieError(f"a candle with a volume of {volume}")
        found.append(
            candle(
                symbol,
                timeframe,
                stamp_ms(row[0]),
                row[1:5],
                volume=volume,
                trades=0 if volume == ZERO else 1,  # OKX does not count them
                whole=row[-1] == "1",
            )
        )
    stamps = [each.open_ms for each in found]
    if stamps != sorted(stamps, reverse=True):
        raise LieError("candles out of order")
    return tuple(found)


def read_book(answer: Any, *, symbol: Symbol, depth: int, contract_size: Decimal) -> BookRead:
    """Read `market/books`. Raises `LieError`."""
    data = data_of(answer)
    fields = fields_of(data[0] if data else None)
    bids = levels(fields.get("bids"), contract_size)
    asks = levels(fields.get("asks"), contract_size)
    require_book(bids, asks)
    return BookRead(symbol, bids[:depth], asks[:depth], stamp_ms(fields.get("ts")))


def read_funding(answer: Any, *, symbol: Symbol, name: str) -> FundingRead:
    """Read `public/funding-rate`: what is settled next, at `fundingTime`. Raises `LieError`."""
    fields = _named(answer, name)
    return FundingRead(
        symbol, number(fields.get("fundingRate")), stamp_ms(fields.get("fundingTime"))
    )


def read_open_interest(
    answer: Any, *, symbol: Symbol, name: str, contract_size: Decimal
) -> OpenInterestRead:
    """Read `public/open-interest`, which counts contracts. Raises `LieError`."""
    fields = _named(answer, name)
    quantity = price(fields.get("oi")) * contract_size
    return OpenInterestRead(symbol, quantity, stamp_ms(fields.get("ts")))


def _named(answer: Any, name: str) -> dict[str, Any]:
    data = data_of(answer)
    if not data:
        raise LieError("an empty answer")
    fields = fields_of(data[0])
    if fields.get("instId") != name:
        raise LieError(f"the answer is about {excerpt(fields.get('instId'))}, not {name}")
    return fields
