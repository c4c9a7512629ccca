"""A trader: whether it may open, what its strategy remembers, what it decided."""

from datetime import datetime
from decimal import Decimal

import msgspec

from domain.commands import ProtectionPlan, SizeBy
from domain.ids import DecisionId, PositionId, Symbol, TraderName
from domain.money import ONE
from domain.risk import TraderLimits


class TraderSettings(msgspec.Struct, frozen=True):
    """How one trader is configured."""

    name: TraderName
    symbols: tuple[Symbol, ...]
    timeframe: str = "1m"
    size_by: SizeBy = SizeBy.RISK_RATIO
    size: Decimal = Decimal("0.01")
    leverage: Decimal = ONE
    cooldown_s: float = 0.0  # after a position closed, per symbol
    limits: TraderLimits = TraderLimits()
    strategy: str = ""  # as configured; empty: a person


class TraderEvent(msgspec.Struct, frozen=True):
    """Something that happened to one trader."""


class TraderPaused(TraderEvent, frozen=True):
    """It opens nothing until resumed; its positions live on."""

    by: str
    at: datetime


class TraderResumed(TraderEvent, frozen=True):
    """It may open again."""

    by: str
    at: datetime


class StrategyAdvanced(TraderEvent, frozen=True):
    """Its strategy has seen a candle; `saved` is all it remembers of that symbol."""

    symbol: Symbol
    close_ms: int  # venue time
    saved: bytes
    at: datetime
    series: str = ""  # its timeframe, where the strategy sees more than the trader's own


class DecisionMade(TraderEvent, frozen=True):
    """Its strategy wants something; stored before anything is done about it."""

    decision_id: DecisionId
    position_id: PositionId | None  # of the entry asked for, or of the position meant
    symbol: Symbol
    action: str
    confidence: Decimal
    rationale: str
    price: Decimal  # last price it was based on
    plan: ProtectionPlan | None
    at: datetime


class DecisionRefused(TraderEvent, frozen=True):
    """A decision was not carried out, and why."""

    position_id: PositionId
    rule: str
    message: str
    at: datetime


class TraderConfigured(TraderEvent, frozen=True):
    """The configuration was read again while it ran; a start takes what the file says then."""

    settings: TraderSettings
    at: datetime


AnyTraderEvent = (
    TraderPaused
    | TraderResumed
    | StrategyAdvanced
    | DecisionMade
    | DecisionRefused
    | TraderConfigured
)


class Trader(msgspec.Struct, frozen=True):
    """A trader as of its last event."""

    paused: bool = False
    saved: dict[Symbol, bytes] = {}
    seen_until_ms: dict[str, int] = {}  # close of the last candle, by `series_key`
    evaluations: int = 0
    decisions: int = 0
    last_decision: DecisionMade | None = None
    last_refusal: DecisionRefused | None = None


def series_key(symbol: Symbol, series: str) -> str:
    """Return what tells the candles of a symbol and timeframe apart; `series` "": the own one."""
    return f"{symbol} {series}" if series else symbol


def evolve(trader: Trader | None, event: AnyTraderEvent) -> Trader:
    """Return the trader after `event`."""
    trader = trader or Trader()
    match event:
        case TraderPaused():
            return msgspec.structs.replace(trader, paused=True)
        case TraderResumed():
            return msgspec.structs.replace(trader, paused=False)
        case StrategyAdvanced(symbol=symbol, close_ms=close_ms, saved=saved, series=series):
            return msgspec.structs.replace(
                trader,
                saved={**trader.saved, symbol: saved},
                seen_until_ms={**trader.seen_until_ms, series_key(symbol, series): close_ms},
                evaluations=trader.evaluations + 1,
            )
        case DecisionMade():
            return msgspec.structs.replace(
                trader, decisions=trader.decisions + 1, last_decision=event
            )
        case DecisionRefused():
            return msgspec.structs.replace(trader, last_refusal=event)
        case TraderConfigured():
            return trader
