"""Lets prices move while the server runs: by the walk, or from a recorded file."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from domain.ids import Symbol
from exchanges import binance_frames, okx_frames
from exchanges.dialect import Notice
from exchanges.market import MarketSink
from exchanges.okx_frames import Listed
from exchanges.recording import RecordedStream, venue_of
from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.market import MINUTE_MS, Market, Trade
from exchanges.sandbox.numbers import parse
from exchanges.sandbox.walk import on_grid
from exchanges.sandbox.world import World


def prefill(world: World) -> None:
    """Give every instrument a past, flat where prices stand still."""
    settings = world.settings
    walks = world.walks
    if settings.ticks_per_second > 0:
        walks.live_through(settings.history_minutes, world.now_ms)
        return
    for quote in world.venue.market.quotes.values():
        size = quote.lot_size()
        now_ms = world.now_ms
        for minute in range(settings.history_minutes, 0, -1):
            at_ms = now_ms - minute * MINUTE_MS
            quote.count(Trade(quote.next_trade_id(), quote.last, size, "buy", at_ms))


async def tick(world: World) -> None:
    """Walk for ever."""
    pause_s = 1 / world.settings.ticks_per_second
    while True:
        await asyncio.sleep(pause_s)
        if not world.prices_frozen:
            world.advance()
            world.walks.step(pause_s)


class _Taker:
    """Takes recorded prices over into the market."""

    def __init__(self, world: World) -> None:
        self._world = world

    def on_trade(
        self, symbol: Symbol, price: str, quantity: str, trade_id: str, event_ms: int
    ) -> None:
        """Let every instrument that the recording is about trade."""
        del quantity, trade_id, event_ms
        value = parse(price)
        if value is None or self._world.prices_frozen:
            return
        self._world.advance()
        for name in symbol.split():
            market = self._world.venue.market
            market.move(name, on_grid(value, market.quotes[name].listing.tick))

    def on_quote(self, symbol: Symbol, bid: str, ask: str, update_id: str, event_ms: int) -> None:
        """Pass over: bid and ask follow the last price."""

    def on_mark(self, symbol: Symbol, price: str, event_ms: int) -> None:
        """Pass over: the mark follows the last price."""

    def on_frame(self) -> None:
        """Pass over."""

    def on_connected(self) -> None:
        """Pass over."""

    def on_disconnected(self, why: str) -> None:
        """Pass over."""

    def on_bad_frame(self, why: str) -> None:
        """Pass over."""


async def play(world: World, paths: Sequence[Path]) -> None:
    """Play recorded prices at their pace, over and over. Raises `RecordingError`.

    A recording of Binance moves spot and swap of its base, one of OKX what it names.
    """
    read = _reader_of(paths, world.venue.market)
    while True:
        await RecordedStream(paths, lambda sink: partial(read, sink)).run(_Taker(world))


def _reader_of(paths: Sequence[Path], market: Market) -> Callable[..., Notice | None]:
    if venue_of(paths) == "okx":
        listed = {name: Listed(Symbol(name)) for name in market.quotes}
        return lambda sink, raw: okx_frames.read_frame(raw, listed, sink)
    names: dict[str, list[str]] = {}
    for name, quote in market.quotes.items():
        names.setdefault(f"{quote.listing.base}{QUOTE}", []).append(name)
    symbols = {key: Symbol(" ".join(some)) for key, some in names.items()}

    def read(sink: MarketSink, raw: bytes | str) -> None:
        binance_frames.read_frame(raw, symbols, sink)

    return read
