"""A trader: whether it may open, what its strategy remembers, what it decided."""

from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from domain.attempts import Attempt
from domain.commands import EntryRequest, ProtectionPlan, SizeBy, Source
from domain.errors import Refusal
from domain.ids import DecisionId, PositionId, Symbol, TraderName
from domain.limit_changes import TraderOverrides, applied, merged, no_sense
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


class StrategyHung(TraderEvent, frozen=True):
    """Its strategy did not come back: paused, and the strategy is not asked any more.

    While a strategy runs nothing else does, no guard either.
    """

    killed: bool  # the process ended over it; else it was interrupted
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
    part: Decimal | None = None  # of what is held, to close; None: nothing, or of an older version


class CooldownBegan(TraderEvent, frozen=True):
    """One of its positions in the symbol is over: for a while it opens none there."""

    symbol: Symbol
    at: datetime


class DecisionRefused(TraderEvent, frozen=True):
    """A decision was not carried out, and why."""

    position_id: PositionId
    rule: str
    message: str
    at: datetime
    decision_id: DecisionId | None = None  # None: of an older version; the entry's, it means then


class EntryDeclined(TraderEvent, frozen=True):
    """An entry or an addition was refused before an order existed.

    The same refusal again is counted, see `DeclinedAgain`.
    """

    number: int  # of the refusals of this trader
    request: EntryRequest  # as asked for; an addition as the entry that it is
    attempt: Attempt
    rule: str
    message: str
    remedy: str
    at: datetime
    is_addition: bool = False


class DeclinedAgain(TraderEvent, frozen=True):
    """The same was refused again for the same reason, so many times since it was last journaled."""

    number: int  # of the refusal it repeats
    times: int
    at: datetime  # of the last one


class TraderConfigured(TraderEvent, frozen=True):
    """The configuration was read again while it ran; a start takes what the file says then."""

    settings: TraderSettings
    at: datetime


class TraderLimitsChanged(TraderEvent, frozen=True):
    """A person set limits that override the configured ones, or went back to those."""

    overrides: TraderOverrides  # all that stand from now on
    previous: TraderLimits
    new: TraderLimits
    by: str
    at: datetime


AnyTraderEvent = (
    TraderPaused
    | TraderResumed
    | StrategyHung
    | StrategyAdvanced
    | DecisionMade
    | CooldownBegan
    | DecisionRefused
    | EntryDeclined
    | DeclinedAgain
    | TraderConfigured
    | TraderLimitsChanged
)


# Refusals that may repeat: of so many kinds, each for as long as it comes again within this time.
REMEMBERED_DECLINES = 32
SAME_WITHIN = timedelta(minutes=10)
SAME_BY_HAND_WITHIN = timedelta(seconds=10)  # a person looks for each attempt, and makes few


class Decline(msgspec.Struct, frozen=True):
    """A refusal, and how often it came."""

    event: EntryDeclined
    times: int
    last_at: datetime


class Trader(msgspec.Struct, frozen=True):
    """A trader as of its last event."""

    paused: bool = False
    hung: StrategyHung | None = None  # why it is paused, until it is resumed
    saved: dict[Symbol, bytes] = {}
    seen_until_ms: dict[str, int] = {}  # close of the last candle, by `series_key`
    evaluations: int = 0
    decisions: int = 0
    last_decision: DecisionMade | None = None
    closes: dict[Symbol, DecisionMade] = {}  # the last of each, unless it was refused; no parts
    last_refusal: DecisionRefused | None = None
    limits_change: TraderLimitsChanged | None = None  # the last; None: as configured
    declines: dict[str, Decline] = {}  # the last ones, by `decline_key`, oldest first
    declined: int = 0  # how many different ones there ever were
    cooling_since: dict[Symbol, datetime] = {}

    @property
    def overrides(self) -> TraderOverrides:
        """What replaces configured limits."""
        return TraderOverrides() if self.limits_change is None else self.limits_change.overrides


def change_limits(
    trader: Trader,
    configured: TraderLimits,
    wanted: TraderOverrides,
    *,
    reset: bool,
    by: str,
    now: datetime,
) -> tuple[TraderLimitsChanged, ...] | Refusal:
    """Return the event of a change of limits; none when they are so already.

    With `reset`, all overrides end before those in `wanted` begin.
    """
    overrides = merged(TraderOverrides() if reset else trader.overrides, wanted)
    try:
        new = applied(configured, overrides)
    except ValueError as error:
        return no_sense(error)
    if overrides == trader.overrides:
        return ()
    previous = applied(configured, trader.overrides)
    return (TraderLimitsChanged(overrides=overrides, previous=previous, new=new, by=by, at=now),)


def decline_key(request: EntryRequest, rule: str, *, is_addition: bool) -> str:
    """Return what makes two refusals the same."""
    what = "add" if is_addition else request.direction.value
    return f"{rule} {request.symbol} {what} {request.source.value}"


def known_decline(trader: Trader, key: str, now: datetime) -> Decline | None:
    """Return the refusal that one at `now` repeats; None when it is a new one."""
    decline = trader.declines.get(key)
    if decline is None:
        return None
    by_hand = decline.event.request.source is Source.TERMINAL
    within = SAME_BY_HAND_WITHIN if by_hand else SAME_WITHIN
    return decline if abs(now - decline.last_at) <= within else None


def _declined(trader: Trader, event: EntryDeclined) -> Trader:
    key = decline_key(event.request, event.rule, is_addition=event.is_addition)
    declines = {each: known for each, known in trader.declines.items() if each != key}
    for oldest in list(declines)[: -(REMEMBERED_DECLINES - 1)]:
        del declines[oldest]
    declines[key] = Decline(event, 1, event.at)
    return msgspec.structs.replace(trader, declines=declines, declined=event.number)


def _declined_again(trader: Trader, event: DeclinedAgain) -> Trader:
    declines = {
        key: msgspec.structs.replace(known, times=known.times + event.times, last_at=event.at)
        if known.event.number == event.number
        else known
        for key, known in trader.declines.items()
    }
    return msgspec.structs.replace(trader, declines=declines)


def _decided(trader: Trader, event: DecisionMade) -> Trader:
    closes = trader.closes
    if event.action == "CLOSE":
        closes = {**closes, event.symbol: event}
    return msgspec.structs.replace(
        trader, decisions=trader.decisions + 1, last_decision=event, closes=closes
    )


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
            return msgspec.structs.replace(trader, paused=False, hung=None)
        case StrategyHung():
            return msgspec.structs.replace(trader, paused=True, hung=event)
        case StrategyAdvanced(symbol=symbol, close_ms=close_ms, saved=saved, series=series):
            return msgspec.structs.replace(
                trader,
                saved={**trader.saved, symbol: saved},
                seen_until_ms={**trader.seen_until_ms, series_key(symbol, series): close_ms},
                evaluations=trader.evaluations + 1,
            )
        case DecisionMade():
            return _decided(trader, event)
        case CooldownBegan(symbol=symbol, at=at):
            since = {**trader.cooling_since, symbol: at}
            return msgspec.structs.replace(trader, cooling_since=since)
        case DecisionRefused():
            closes = {
                symbol: made
                for symbol, made in trader.closes.items()
                if made.decision_id != event.decision_id
            }
            return msgspec.structs.replace(trader, last_refusal=event, closes=closes)
        case EntryDeclined():
            return _declined(trader, event)
        case DeclinedAgain():
            return _declined_again(trader, event)
        case TraderConfigured():
            return trader
        case TraderLimitsChanged():
            return msgspec.structs.replace(trader, limits_change=event)
