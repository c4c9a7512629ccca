"""The port to a venue's public REST: what a stream cannot tell, or should have told.

A read answers with a value of this file, a candle, or `Unknown`: a failed read is never "nothing".
"""

from collections.abc import Awaitable, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from domain.candles import Candle, Timeframe
from domain.ids import Symbol
from domain.instrument import PriceSource
from exchanges.port import Unknown


class PriceRead(msgspec.Struct, frozen=True):
    """The last trade price, or the mark, asked for instead of waited for."""

    symbol: Symbol
    price: str  # the venue's text, a finite decimal > 0
    event_ms: int  # venue time; 0 where the venue gives none


class BookLevel(msgspec.Struct, frozen=True):
    """What rests at one price."""

    price: Decimal
    quantity: Decimal  # base units


class BookRead(msgspec.Struct, frozen=True):
    """A snapshot of the order book; the best price first on each side."""

    symbol: Symbol
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    event_ms: int  # venue time; 0 where the venue gives none


class FundingRead(msgspec.Struct, frozen=True):
    """What a swap's holders pay each other at the next settlement."""

    symbol: Symbol
    rate: Decimal  # fraction of notional, > 0: longs pay shorts
    next_ms: int  # venue time of that settlement


class OpenInterestRead(msgspec.Struct, frozen=True):
    """How much of a swap is held open, counted once for both sides."""

    symbol: Symbol
    quantity: Decimal  # base units
    event_ms: int  # venue time


class MarketReads(Protocol):
    """Public REST of one venue for one kind of instrument. Methods raise nothing a venue causes."""

    def last(self, symbol: Symbol) -> Awaitable[PriceRead | Unknown]:
        """Return the last price."""

    def mark(self, symbol: Symbol) -> Awaitable[PriceRead | Unknown | None]:
        """Return the mark price; None for spot, which has none."""

    def timeframes(self, source: PriceSource) -> Sequence[Timeframe]:
        """Return which of 1s, 1m and 1h `candles` offers for a price, shortest first."""

    def candles(
        self,
        symbol: Symbol,
        timeframe: Timeframe,
        begin_ms: int,
        end_ms: int,
        source: PriceSource = PriceSource.LAST,
    ) -> Awaitable[Sequence[Candle] | Unknown]:
        """Return the candles that open in [begin_ms, end_ms), oldest first, each once.

        Venue time. One that is still running comes last, with `whole` False. Several requests where
        the venue limits one. All of it or `Unknown`: neither end may be missing, and a price the
        venue keeps no candles of is `Unknown`. In between, a venue that halted has none.
        """

    def book(self, symbol: Symbol, depth: int) -> Awaitable[BookRead | Unknown]:
        """Return the best `depth` levels of each side."""

    def funding(self, symbol: Symbol) -> Awaitable[FundingRead | Unknown | None]:
        """Return the funding to come; None for spot, which has none."""

    def open_interest(self, symbol: Symbol) -> Awaitable[OpenInterestRead | Unknown | None]:
        """Return the open interest; None for spot."""

    def close(self) -> Awaitable[None]:
        """Let go of connections."""
