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
from exchanges.recording import RecordedStream, Tap
from exchanges.simulated_market import MarketShape, SimulatedMarket
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


def stream_of(
    config: Config, chance: Chance, tap: Tap | None = None
) -> Callable[[World], MarketStream]:
    """Return how to make the stream that `market.source` names; `tap` sees its frames."""
    if config.market.source == "simulated":
        return lambda world: _simulated(config, world, tap)
    return lambda world: _binance(config, world, chance, tap)


def recorded(paths: Sequence[Path]) -> Callable[[World], MarketStream]:
    """Return how to make a stream of recorded frames."""
    return lambda world: RecordedStream(
        paths, {each.venue_symbol: each.symbol for each in world.instruments.values()}
    )


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


def _binance(config: Config, world: World, chance: Chance, tap: Tap | None) -> MarketStream:
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
        tap=tap,
    )
