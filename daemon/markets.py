"""Which market a configuration means: the simulated one, a venue's stream, or a recording."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from actors import names
from actors.world import World
from daemon.config_models import Config
from daemon.config_venues import Venue
from daemon.instruments import venue_symbol
from domain.feed_state import FeedState
from domain.ids import Symbol
from domain.instrument import Kind
from exchanges import binance_frames, okx_frames
from exchanges.market import MarketStream
from exchanges.market_reads import MarketReads
from exchanges.okx_frames import Listed
from exchanges.recording import RecordedStream, Tap
from exchanges.simulated_market import MarketShape, SimulatedMarket
from exchanges.simulated_reads import SimulatedReads
from runtime.ports import Chance

if TYPE_CHECKING:
    from exchanges.rest import Rest

_START_PRICES = {
    "BTC": Decimal(61_800),
    "ETH": Decimal(2_680),
    "SOL": Decimal(155),
    "XRP": Decimal("0.62"),
    "DOGE": Decimal("0.105"),
    "BNB": Decimal(515),
}
_OTHER_START = Decimal(100)


def stream_of(
    config: Config, chance: Chance, tap: Tap | None = None
) -> Callable[[World], MarketStream]:
    """Return how to make the stream that `market.source` names; `tap` sees its frames."""
    if config.market.source == "simulated":
        return lambda world: _simulated(config, world, tap)
    if config.market.source == "okx":
        return lambda world: _okx(config, world, chance, tap)
    return lambda world: _binance(config, world, chance, tap)


def recorded(paths: Sequence[Path], venue: str) -> Callable[[World], MarketStream]:
    """Return how to make a stream of frames that were recorded at `venue`."""

    def stream(world: World) -> MarketStream:
        if venue == "okx":
            listed = _listed(world)
            return RecordedStream(
                paths, lambda sink: lambda raw: okx_frames.read_frame(raw, listed, sink)
            )
        symbols = _symbols(world)
        return RecordedStream(
            paths, lambda sink: lambda raw: binance_frames.read_frame(raw, symbols, sink)
        )

    return stream


def _symbols(world: World) -> dict[str, Symbol]:
    return {venue_symbol("binance", each): each.symbol for each in world.instruments.values()}


def _listed(world: World) -> dict[str, Listed]:
    return {venue_symbol("okx", each): Listed.of(each) for each in world.instruments.values()}


def _simulated(config: Config, world: World, tap: Tap | None) -> MarketStream:
    """The simulated market, which goes on from the last prices that are journaled."""
    held = world.states.durable.get(names.feed(world.venue))
    state: FeedState = FeedState() if held is None else held[1]
    start = {
        symbol: state.lasts.get(symbol) or _start_price(symbol) for symbol in world.instruments
    }
    return SimulatedMarket(
        world.clock,
        seed=config.market.seed,
        instruments=tuple(world.instruments.values()),
        start_prices=start,
        shape=MarketShape(ticks_per_second=config.market.ticks_per_second),
        tap=tap,
    )


def _start_price(symbol: Symbol) -> Decimal:
    return _START_PRICES.get(symbol.partition("/")[0], _OTHER_START)


def address_of(config: Config) -> str:
    """Return where the venue's stream is."""
    if config.market.url is not None:
        return config.market.url
    if config.venue is not None and config.market.source == config.venue.exchange:
        return _stream_of_venue(config.venue)
    from exchanges import binance_stream, okx_stream  # noqa: PLC0415 - only if used

    if config.market.source == "okx":
        return okx_stream.URL
    is_spot = config.market.kind is Kind.SPOT
    return binance_stream.SPOT_URL if is_spot else binance_stream.USDM_URL


def _stream_of_venue(venue: Venue) -> str:
    """Return where the account's own venue tells its prices: stops rest there, and see those."""
    from exchanges import okx_stream  # noqa: PLC0415 - only if used

    if venue.urls is not None:
        return venue.urls.stream_base
    return okx_stream.URL if venue.is_live else okx_stream.DEMO_URL


def _binance(config: Config, world: World, chance: Chance, tap: Tap | None) -> MarketStream:
    from exchanges.binance_stream import BinanceStream  # noqa: PLC0415
    from exchanges.real_net import RealNet  # noqa: PLC0415
    from exchanges.session import LineSettings  # noqa: PLC0415 - websockets: only if used

    return BinanceStream(
        RealNet(),
        world.clock,
        chance,
        base_url=address_of(config),
        kind=config.market.kind,
        symbols=_symbols(world),
        settings=LineSettings(max_silence_s=config.market.max_silence_s),
        tap=tap,
    )


def _okx(config: Config, world: World, chance: Chance, tap: Tap | None) -> MarketStream:
    from exchanges.okx_stream import SETTINGS, OkxStream  # noqa: PLC0415 - as above
    from exchanges.real_net import RealNet  # noqa: PLC0415

    return OkxStream(
        RealNet(),
        world.clock,
        chance,
        base_url=address_of(config),
        kind=config.market.kind,
        listed=_listed(world),
        settings=msgspec.structs.replace(SETTINGS, max_silence_s=config.market.max_silence_s),
        tap=tap,
    )


def reads_of(config: Config) -> Callable[[World], MarketReads | None]:
    """Return how to ask the venue that `market.source` names.

    A recording cannot be asked, and neither can a stream from elsewhere that says nothing of REST:
    the venue's real prices would contradict it.
    """
    market = config.market
    if market.source == "simulated":
        return lambda world: SimulatedReads(world.clock, world.instruments, world.prices.prices)
    if market.source == "recorded" or (market.url and not market.rest_url):
        return lambda _world: None
    reads = _binance_reads if market.source == "binance" else _okx_reads
    return lambda world: reads(config, world)


def _binance_reads(config: Config, world: World) -> MarketReads:
    from exchanges import binance_rest  # noqa: PLC0415 - only if used

    kind = config.market.kind
    url = binance_rest.SPOT_URL if kind is Kind.SPOT else binance_rest.USDM_URL
    names_of = {symbol: venue_symbol("binance", each) for symbol, each in world.instruments.items()}
    return binance_rest.BinanceReads(_rest(config, world, url), kind, names_of)


def _okx_reads(config: Config, world: World) -> MarketReads:
    from exchanges import okx_rest  # noqa: PLC0415 - only if used

    venue = config.venue
    url = okx_rest.URL if venue is None or venue.urls is None else venue.urls.rest
    headers = {} if venue is None or venue.is_live else okx_rest.DEMO_HEADERS
    return okx_rest.OkxReads(_rest(config, world, url, headers), world.instruments)


def _rest(
    config: Config, world: World, url: str, headers: Mapping[str, str] | None = None
) -> "Rest":
    from exchanges.real_http import RealHttp  # noqa: PLC0415 - only if used
    from exchanges.rest import Rest  # noqa: PLC0415

    return Rest(RealHttp(headers=headers), world.clock, config.market.rest_url or url)
