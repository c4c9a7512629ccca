"""The strategies that a configuration names, or everything that is wrong with how it names them."""

from collections.abc import Iterator

from daemon.config import Fault, Loaded
from daemon.config_models import Trader
from daemon.plugins import StrategyError, load_strategy
from domain.candles import Timeframe, TimeframeError
from domain.ids import TraderName
from strategies.base import Strategy


def strategies_of(loaded: Loaded) -> dict[TraderName, Strategy]:
    """Return each trader's strategy with its parameters.

    A strategy in a file is run to get it. Raises `ConfigError`, with the line of the key at fault.
    """
    found: dict[TraderName, Strategy] = {}
    faults: list[Fault] = []
    for index, trader in enumerate(loaded.config.traders):
        try:
            strategy = load_strategy(trader.strategy, trader.parameters, loaded.file.base)
            found[TraderName(trader.name)] = strategy
            faults += [
                (("traders", index, "timeframe"), why) for why in _series_faults(trader, strategy)
            ]
        except StrategyError as error:
            # The message names the parameter that it is about.
            blamed = [name for name in trader.parameters if _names(error.message, name)]
            where = ("parameters", blamed[0]) if blamed else ("strategy",)
            faults.append((("traders", index, *where), str(error)))
    if faults:
        raise loaded.error(*faults)
    return found


def _series_faults(trader: Trader, strategy: Strategy) -> Iterator[str]:
    """Say what is wrong with the further timeframes that a strategy wants to see."""
    for text in strategy.timeframes:
        try:
            timeframe = Timeframe.parse(text)
        except TimeframeError as error:
            yield f"strategy {trader.strategy!r} asks for another timeframe: {error}"
            continue
        if timeframe <= trader.timeframe:
            yield (
                f"strategy {trader.strategy!r} looks at {text} besides; the trader's own timeframe"
                f" must be shorter than that, not {trader.timeframe}"
            )


def _names(message: str, parameter: str) -> bool:
    about = message.partition(": ")[2] or message
    return f"'{parameter}'" in message or parameter in about.replace(":", " ").split()
