"""Scaling in: an addition is one more entry order of the same position.

The portfolio approves, sizes and reserves it as it does a first entry, with the risk of what is
held counted in. Here is what it needs to know of the position, and what the position makes of it.
Fills of an addition mix into the average entry; stop, trail and time limit guard the whole, and
targets close their part of all that was entered.
"""

from decimal import Decimal

from domain.commands import ModificationType, ModifyProtection, ProtectionPlan, TargetPlan
from domain.effects import FreeReservation, SubmitOrder
from domain.errors import Refusal
from domain.ids import PositionId
from domain.inputs import BeginAddition, BeginEntry
from domain.instrument import Direction
from domain.modifications import validate
from domain.money import ZERO
from domain.order import AttachedStop, OrderTerms, OrderType
from domain.position import Entry, Position, PositionStatus
from domain.position_changes import apply_change, modification_of, refusal_of
from domain.position_draft import HOLDS, Draft
from domain.position_events import AdditionIntended
from domain.position_life import entry_is_working

MAX_ADDITIONS = 20


def entry_of(begin: BeginEntry | BeginAddition) -> Entry:
    """Return the entry order that was approved."""
    return Entry(
        client_order_id=begin.client_order_id,
        type=OrderType.MARKET if begin.limit_price is None else OrderType.LIMIT,
        quantity=begin.quantity,
        limit_price=begin.limit_price,
    )


def entry_terms(position: Position, entry: Entry) -> OrderTerms:
    """Return the order that opens this position or adds to it."""
    return OrderTerms(
        client_order_id=entry.client_order_id,
        position_id=position.id,
        symbol=position.instrument.symbol,
        side=position.direction.entry_side,
        type=entry.type,
        quantity=entry.quantity,
        price=entry.limit_price,
        leverage=position.leverage,
        attached=_stop_with(position, entry),
    )


def _stop_with(position: Position, entry: Entry) -> AttachedStop | None:
    plan = position.plan
    if entry.attached is None or plan.stop_price is None:
        return None
    target = plan.targets[0].price if entry.with_target else None
    return AttachedStop(entry.attached, plan.stop_price, plan.guard_source, target)


def addition_problem(position: Position, number: int | None = None) -> Refusal | None:
    """Return why nothing can be added to the position now; None when it can.

    `number` is which addition the sender wants it to be; None: the next.
    """
    if position.is_closed:
        return Refusal("POSITION_CLOSED", f"Position {position.id} is closed.", "Open a new one.")
    following = len(position.additions) + 1
    if number is not None and number != following:
        return Refusal(
            "ADDITION_NUMBER",
            f"The next addition to position {position.id} is number {following}, not {number}.",
            "Look at it first: holdfast position ID.",
            actual=str(number),
            limit=str(following),
        )
    if position.status is PositionStatus.ENTRY_PENDING:
        return Refusal(
            "NOT_OPEN",
            f"The entry of position {position.id} has not filled.",
            "Wait for its fill, or close it and open a larger one.",
        )
    if position.status is PositionStatus.QUARANTINED:
        return quarantined(position.id)
    if position.status not in HOLDS or position.outstanding_exits > ZERO or _is_retried(position):
        return Refusal(
            "EXIT_UNDER_WAY",
            f"An exit of position {position.id} is under way.",
            "Wait until it has ended: `holdfast position ID` shows it.",
        )
    if entry_is_working(position):
        return Refusal(
            "ADDITION_UNDER_WAY",
            f"An entry order of position {position.id} may still fill.",
            "Wait for its end: `holdfast orders` shows it.",
        )
    if following > MAX_ADDITIONS:
        return Refusal(
            "TOO_MANY_ADDITIONS",
            f"Position {position.id} was added to {MAX_ADDITIONS} times.",
            "Open another position.",
            actual=str(following),
            limit=str(MAX_ADDITIONS),
        )
    if position.status is PositionStatus.OPEN_UNPROTECTED and position.protection.guards_loss:
        return Refusal(
            "UNPROTECTED",
            f"The guard of position {position.id} is not in force.",
            "Wait until it is: `holdfast position ID` shows where the stop lives.",
        )
    return None


def quarantined(position_id: PositionId) -> Refusal:
    """Refuse what only the owner of a position can do, while it rests."""
    return Refusal(
        "QUARANTINED",
        f"Position {position_id} is quarantined: nothing guards it.",
        "Restart the daemon, then close it; see the runbook.",
    )


def _is_retried(position: Position) -> bool:
    """Whether an exit of the whole failed and is to be tried again."""
    last = {order.exit_id: order for order in position.exits}
    return any(
        order.whole and order.done and order.filled < order.quantity for order in last.values()
    )


def plan_with(position: Position, stop_price: Decimal | None) -> ProtectionPlan:
    """Return the rules that an addition will stand under; `stop_price` replaces the stop."""
    now = position.protection
    stop = stop_price if now.stop is None or stop_price is not None else now.stop.price
    even = now.breakeven
    return ProtectionPlan(
        stop_price=stop,
        targets=tuple(TargetPlan(target.price, target.part) for target in now.open_targets()),
        trail_ratio=None if now.trail is None else now.trail.ratio,
        trail_distance=None if now.trail is None else now.trail.distance,
        breakeven_price=None if even is None or even.done else even.trigger_price,
    )


def risk_of_held(position: Position, plan: ProtectionPlan, last: Decimal) -> Decimal:
    """Return what is lost, in quote, of what is held if `plan` stops it out; 0 when nothing is.

    A gain that the stop secures is none that an addition could lose. Without any stop the loss has
    no bound, and no rule about it applies.
    """
    trail = position.protection.trail
    level = plan.stop_price
    if level is None and trail is not None:
        better = max if position.direction is Direction.LONG else min
        best = better(trail.anchor, last)
        level = trail.level(position.direction, best)
    if level is None:
        return ZERO
    loss = (position.entry_price - level) * position.direction.sign
    return max(ZERO, loss) * position.remaining


def add(decision: Draft, begin: BeginAddition) -> None:
    """Intend an approved addition, or let its reservation go: much may have happened meanwhile."""
    if decision.position.entry_of(begin.client_order_id) is not None:
        return  # told twice
    refusal = addition_problem(decision.position) or _move_stop(decision, begin)
    if refusal is not None:
        decision.then(FreeReservation(decision.position.id, begin.client_order_id, refusal.message))
        decision.answer(begin.request_id, refusal)
        return
    entry = entry_of(begin)
    decision.record(
        AdditionIntended(
            entry=entry,
            requested_by=begin.requested_by,
            at=decision.now,
            decision_id=begin.decision_id,
            rationale=begin.rationale,
        )
    )
    terms = entry_terms(decision.position, entry)
    decision.then(SubmitOrder(terms, expires_at=begin.expires_at))
    decision.answer(begin.request_id)


def _move_stop(decision: Draft, begin: BeginAddition) -> Refusal | None:
    """Move the stop that the addition was sized for, or say why it may not be there."""
    position, price = decision.position, begin.stop_price
    stop = position.protection.stop
    if price is None or (stop is not None and stop.price == price):
        return None
    command = ModifyProtection(
        position.id,
        ModificationType.MOVE_SL,
        price=price,
        widen=begin.widen,
        requested_by=begin.requested_by,
        reason="with an addition",
    )
    rules = decision.rules.modifications
    validation = validate(position, command, decision.now, rules, decision.market)
    if not validation.passed:
        return refusal_of(validation)
    apply_change(decision, modification_of(decision, command, validation))
    return None
