"""Which market a configuration means: the simulated one, a venue's stream, or a recording."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

from actors import names
from actors.world import World
from daemon.config_models import Config
from domain.feed_state import FeedState
from domain.ids import Symbol
from domain.instrument import Kind
from exchanges.market import MarketStream
from exchanges.market_reads import MarketReads
from exchanges.recording import RecordedStream
from exchanges.simulated_market import MarketShape, SimulatedMarket
from exchanges.simulated_reads import SimulatedReads
from runtime.ports import Chance

_START_PRICES = {
    "BTC": Decimal(61_800),
    "ETH": Decimal(2_680),
    "SOL": Decimal(155),
    "XRP": Decimal("0.62"),
    "DOGE": Decimal("0.105"),
    "BNB": Decimal(515),
}
_OTHER_START = Decimal(100)
USDM_URL = "wss://fstream.binance.com"
SPOT_URL = "wss://stream.binance.com:9443"


def stream_of(config: Config, chance: Chance) -> Callable[[World], MarketStream]:
    """Return how to make the stream that `market.source` names."""
    if config.market.source == "simulated":
        return lambda world: _simulated(config, world)
    return lambda world: _binance(config, world, chance)


def recorded(paths: Sequence[Path]) -> Callable[[World], MarketStream]:
    """Return how to make a stream of recorded frames."""
    return lambda world: RecordedStream(
        paths, {each.venue_symbol: each.symbol for each in world.instruments.values()}
    )


def _simulated(config: Config, world: World) -> MarketStream:
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
    )


def _start_price(symbol: Symbol) -> Decimal:
    return _START_PRICES.get(symbol.partition("/")[0], _OTHER_START)


def _binance(config: Config, world: World, chance: Chance) -> MarketStream:
    from exchanges.binance_line import LineSettings  # noqa: PLC0415 - websockets: only if used
    from exchanges.binance_stream import BinanceStream  # noqa: PLC0415
    from exchanges.real_net import RealNet  # noqa: PLC0415

    kind = config.market.kind
    url = config.market.url or (SPOT_URL if kind is Kind.SPOT else USDM_URL)
    return BinanceStream(
        RealNet(),
        world.clock,
        chance,
        base_url=url,
        kind=kind,
        symbols={each.venue_symbol: each.symbol for each in world.instruments.values()},
        settings=LineSettings(max_silence_s=config.market.max_silence_s),
    )


def reads_of(config: Config) -> Callable[[World], MarketReads | None]:
    """Return how to ask the venue that `market.source` names.

    A recording cannot be asked, and neither can a stream from elsewhere that says nothing of REST:
    the venue's real prices would contradict it.
    """
    if config.market.source == "simulated":
        return lambda world: SimulatedReads(world.clock, world.instruments, world.prices.prices)
    market = config.market
    if market.source == "binance" and (market.rest_url or not market.url):
        return lambda world: _binance_reads(config, world)
    return lambda _world: None


def _binance_reads(config: Config, world: World) -> MarketReads:
    from exchanges.binance_rest import SPOT_URL as SPOT_REST_URL  # noqa: PLC0415 - only if used
    from exchanges.binance_rest import USDM_URL as USDM_REST_URL  # noqa: PLC0415
    from exchanges.binance_rest import BinanceReads  # noqa: PLC0415
    from exchanges.real_http import RealHttp  # noqa: PLC0415
    from exchanges.rest import Rest  # noqa: PLC0415

    kind = config.market.kind
    url = config.market.rest_url or (SPOT_REST_URL if kind is Kind.SPOT else USDM_REST_URL)
    names_of = {symbol: each.venue_symbol for symbol, each in world.instruments.items()}
    return BinanceReads(Rest(RealHttp(), world.clock, url), kind, names_of)
