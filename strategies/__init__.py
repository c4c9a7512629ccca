"""Trading strategies. A user's own file needs only this one import; see `docs/strategies.md`."""

from domain.candles import Candle, Timeframe
from domain.commands import ProtectionPlan, TargetPlan
from domain.instrument import Direction
from strategies.base import (
    Action,
    Decision,
    Held,
    ParameterError,
    Step,
    Strategy,
    View,
    add,
    as_price,
    close,
    enter,
    go_long,
    go_short,
    move_stop,
    no_trade,
    require,
    take_part,
    targets_at,
    watch,
)

__all__ = [
    "Action",
    "Candle",
    "Decision",
    "Direction",
    "Held",
    "ParameterError",
    "ProtectionPlan",
    "Step",
    "Strategy",
    "TargetPlan",
    "Timeframe",
    "View",
    "add",
    "as_price",
    "close",
    "enter",
    "go_long",
    "go_short",
    "move_stop",
    "no_trade",
    "require",
    "take_part",
    "targets_at",
    "watch",
]
