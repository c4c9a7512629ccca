"""What a strategy sees of its position, and the commands that its decisions mean."""

from datetime import datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace

from domain.commands import (
    AddToPosition,
    ClosePosition,
    EntryRequest,
    ModificationType,
    ModifyProtection,
    ProtectionPlan,
    RequestedBy,
    Source,
)
from domain.ids import DecisionId, PositionId
from domain.instrument import Direction, Instrument
from domain.money import ONE, ZERO
from domain.position import Position
from domain.protection import ExitReason
from domain.trader_state import TraderSettings
from strategies.base import Action, Decision, Held, View

DECISION_EXPIRES_S = 5.0


def on_grid(decision: Decision, instrument: Instrument, held: Position | None) -> Decision:
    """Return a decision with its prices where the venue can hold them."""
    direction = Direction.LONG if held is None else held.direction
    if decision.action in {Action.LONG, Action.SHORT}:
        direction = Direction.LONG if decision.action is Action.LONG else Direction.SHORT
    plan, limit, stop = decision.plan, decision.limit_price, decision.stop_price
    return replace(
        decision,
        plan=None if plan is None else plan.on_tick(instrument, direction),
        limit_price=None if limit is None else instrument.on_tick_for(direction.entry_side, limit),
        stop_price=None if stop is None else instrument.stop_on_tick(direction, stop),
    )


def seen(position: Position, last: Decimal) -> Held:
    """Return what a strategy sees of its position."""
    price = position.entry_price
    gain = ZERO if price == ZERO else (last - price) / price * position.direction.sign
    stop = position.protection.stop
    return Held(
        position_id=position.id,
        direction=position.direction,
        entry_price=price,
        quantity=position.remaining,
        stop_price=None if stop is None else stop.price,
        unrealized=gain,
        additions=len(position.additions),
    )


def entry(
    settings: TraderSettings,
    decision: Decision,
    view: View,
    position_id: PositionId,
    decision_id: DecisionId,
) -> EntryRequest:
    """Return the entry that a decision means."""
    long = decision.action is Action.LONG
    return EntryRequest(
        position_id=position_id,
        trader=settings.name,
        symbol=view.symbol,
        direction=Direction.LONG if long else Direction.SHORT,
        size_by=settings.size_by,
        size=settings.size,
        plan=decision.plan or ProtectionPlan(),
        limit_price=decision.limit_price,
        leverage=settings.leverage,
        confidence=decision.confidence,
        volatility=decision.volatility,
        requested_by=RequestedBy.RULE_ENGINE,
        decision_id=decision_id,
        rationale=decision.rationale,
        expires_at=view.now + timedelta(seconds=DECISION_EXPIRES_S),
        source=Source.STRATEGY,
    )


def addition(
    settings: TraderSettings,
    decision: Decision,
    view: View,
    position_id: PositionId,
    decision_id: DecisionId,
) -> AddToPosition:
    """Return the addition that a decision means."""
    return AddToPosition(
        position_id=position_id,
        size_by=settings.size_by,
        size=settings.size,
        limit_price=decision.limit_price,
        confidence=decision.confidence,
        volatility=decision.volatility,
        requested_by=RequestedBy.RULE_ENGINE,
        decision_id=decision_id,
        rationale=decision.rationale,
        expires_at=view.now + timedelta(seconds=DECISION_EXPIRES_S),
        source=Source.STRATEGY,
    )


def change(
    decision: Decision,
    view: View,
    position_id: PositionId,
    position: Position | None,
    decision_id: DecisionId,
) -> ClosePosition | ModifyProtection | None:
    """Return the command that a decision about an open position means."""
    part = part_of(decision)
    if part is not None:
        return closing(position_id, decision_id, view.now, part)
    if decision.action is Action.MOVE_SL and position is not None:
        return ModifyProtection(
            position_id,
            ModificationType.MOVE_SL,
            price=decision.stop_price,
            requested_by=RequestedBy.RULE_ENGINE,
            confidence=decision.confidence,
            reason=decision.rationale,
            based_on=position.protection.version,
        )
    return None


def part_of(decision: Decision) -> Decimal | None:
    """Return how much of what is held a decision closes; None where it closes nothing."""
    if decision.action is Action.CLOSE:
        return ONE
    return decision.part if decision.action is Action.PARTIAL_TP else None


def closing(
    position_id: PositionId, decision_id: DecisionId, decided_at: datetime, part: Decimal = ONE
) -> ClosePosition:
    """Return the close of a position, or of a part of it, that was decided at some time."""
    return ClosePosition(
        position_id,
        part=part,
        reason=ExitReason.DECISION_CLOSE,
        requested_by=RequestedBy.RULE_ENGINE,
        decision_id=decision_id,
        expires_at=decided_at + timedelta(seconds=DECISION_EXPIRES_S),
    )
