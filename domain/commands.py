"""What people, strategies and rules ask for. Imperative, validated by the owner that receives them.

Every command names its sender: `requested_by` decides what it may do (automatic changes only
tighten), `request_id` ties the answer to the question, `expires_at` keeps an old wish from acting
on a new market.
"""

from datetime import datetime
from decimal import Decimal
from enum import Enum

import msgspec
from msgspec.structs import replace

from domain.ids import NO_REQUEST, DecisionId, ExitId, PositionId, RequestId, Symbol, TraderName
from domain.instrument import Direction, Instrument, PriceSource
from domain.money import ONE
from domain.protection import ExitReason


class RequestedBy(Enum):
    """Who wants a change."""

    AI_ANALYSIS = "AI_ANALYSIS"
    RULE_ENGINE = "RULE_ENGINE"
    USER_MANUAL = "USER_MANUAL"

    @property
    def is_manual(self) -> bool:
        """A person decided it."""
        return self is RequestedBy.USER_MANUAL


class Source(Enum):
    """Where an order comes from."""

    STRATEGY = "STRATEGY"
    LLM = "LLM"
    DCA = "DCA"
    GRID = "GRID"
    COPY = "COPY"
    TERMINAL = "TERMINAL"  # a person
    SYSTEM = "SYSTEM"  # guards and rules


class SizeBy(Enum):
    """How `EntryRequest.size` is meant."""

    QUANTITY = "quantity"  # base units
    NOTIONAL = "notional"  # quote
    EQUITY_RATIO = "equity_ratio"  # fraction of equity as notional
    RISK_RATIO = "risk_ratio"  # fraction of equity lost if the stop is hit
    VOLATILITY = "volatility"  # fraction of equity one ATR moves
    KELLY = "kelly"  # fraction of the Kelly stake, from the trader's own record


class TargetPlan(msgspec.Struct, frozen=True):
    """A target as asked for."""

    price: Decimal
    part: Decimal  # 0 < part <= 1


class ProtectionPlan(msgspec.Struct, frozen=True):
    """The guards asked for with an entry."""

    stop_price: Decimal | None = None
    targets: tuple[TargetPlan, ...] = ()
    trail_ratio: Decimal | None = None
    trail_distance: Decimal | None = None
    breakeven_price: Decimal | None = None  # reaching it moves the stop to entry plus fees
    max_holding_s: float | None = None
    watches: PriceSource = PriceSource.LAST
    stop_watches: PriceSource | None = None  # stop, trail and breakeven's stop; None: as `watches`
    target_watches: PriceSource | None = None  # targets and breakeven's trigger; None: likewise

    def on_tick(self, instrument: Instrument, direction: Direction) -> "ProtectionPlan":
        """Return it with every price on the venue's grid; a strategy computes them as it likes."""
        stop, even = self.stop_price, self.breakeven_price
        return replace(
            self,
            stop_price=None if stop is None else instrument.stop_on_tick(direction, stop),
            targets=tuple(
                replace(target, price=instrument.target_on_tick(direction, target.price))
                for target in self.targets
            ),
            breakeven_price=None if even is None else instrument.target_on_tick(direction, even),
        )

    @property
    def guard_source(self) -> PriceSource:
        """Return the price that limits of loss watch."""
        return self.watches if self.stop_watches is None else self.stop_watches

    @property
    def target_source(self) -> PriceSource:
        """Return the price that profits watch."""
        return self.watches if self.target_watches is None else self.target_watches


class EntryRequest(msgspec.Struct, frozen=True):
    """Open a position. The portfolio sizes it, checks it against the limits and reserves for it."""

    position_id: PositionId
    trader: TraderName
    symbol: Symbol
    direction: Direction
    size_by: SizeBy
    size: Decimal
    plan: ProtectionPlan
    limit_price: Decimal | None = None
    leverage: Decimal = ONE
    confidence: Decimal = ONE
    volatility: Decimal | None = None  # ATR in quote, for SizeBy.VOLATILITY
    requested_by: RequestedBy = RequestedBy.USER_MANUAL
    decision_id: DecisionId | None = None
    rationale: str = ""
    request_id: RequestId = NO_REQUEST
    expires_at: datetime | None = None
    source: Source = Source.TERMINAL
    user: str = ""


class AddToPosition(msgspec.Struct, frozen=True):
    """Enlarge an open position. Judged as an entry is, together with what is held."""

    position_id: PositionId
    size_by: SizeBy
    size: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None  # the stop of the whole from now on
    widen: bool = False  # a person accepts a stop further away, explicitly
    number: int | None = None  # which addition this is to be: asked again, it is made once
    confidence: Decimal = ONE
    volatility: Decimal | None = None  # ATR in quote, for SizeBy.VOLATILITY
    requested_by: RequestedBy = RequestedBy.USER_MANUAL
    decision_id: DecisionId | None = None
    rationale: str = ""
    request_id: RequestId = NO_REQUEST
    expires_at: datetime | None = None
    source: Source = Source.TERMINAL
    user: str = ""


class ClosePosition(msgspec.Struct, frozen=True):
    """Close all of a position, or `part` of what remains, at market."""

    position_id: PositionId
    part: Decimal = ONE  # of the remaining quantity, 0 < part <= 1
    reason: ExitReason = ExitReason.MANUAL_CLOSE
    requested_by: RequestedBy = RequestedBy.USER_MANUAL
    request_id: RequestId = NO_REQUEST
    decision_id: DecisionId | None = None
    expires_at: datetime | None = None  # a strategy's: for whoever asks, before asking


class WithdrawEntries(msgspec.Struct, frozen=True):
    """Cancel the entries of a position that rest at a limit; what is held stays."""

    position_id: PositionId


class ModificationType(Enum):
    """What a change of protection does."""

    MOVE_SL = "MOVE_SL"
    TRAIL_SL = "TRAIL_SL"
    ADD_TP = "ADD_TP"
    MODIFY_TP = "MODIFY_TP"
    CANCEL_TP = "CANCEL_TP"


class ModifyProtection(msgspec.Struct, frozen=True):
    """Change one rule of a position's protection."""

    position_id: PositionId
    type: ModificationType
    price: Decimal | None = None  # of the stop or target
    part: Decimal | None = None  # of a target
    exit_id: ExitId | None = None  # which target
    trail_ratio: Decimal | None = None
    trail_distance: Decimal | None = None
    requested_by: RequestedBy = RequestedBy.USER_MANUAL
    widen: bool = False  # a person accepts more risk than before, explicitly
    confidence: Decimal = ONE
    reason: str = ""
    based_on: int | None = None  # protection version seen by the sender
    request_id: RequestId = NO_REQUEST
    expires_at: datetime | None = None
