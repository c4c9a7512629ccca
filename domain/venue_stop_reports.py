"""What a position makes of what it hears of its stop at the venue: confirmed, fired, gone."""

from datetime import datetime
from decimal import Decimal

from msgspec.structs import replace

from domain.commands import ModificationType, RequestedBy
from domain.effects import (
    Alarm,
    AmendOrder,
    AskOrders,
    CancelOrder,
    Disarm,
    PositionEffect,
    WakeAfter,
)
from domain.ids import ExitId, identity_of
from domain.inputs import Crossed, ExitLocked, FillReported, OrderEnded, OrderReported
from domain.instrument import Direction
from domain.order import OrderStatus, OrderTerms
from domain.position import (
    ExitOrder,
    Modification,
    Position,
    PositionStatus,
    Validation,
)
from domain.position_draft import HOLDS, Draft, OutsideChanges, PositionRules
from domain.position_events import ExitEnded, ExitFired, ProtectionModified, ProtectionSet
from domain.position_exits import (
    armed_exits,
    arming,
    cancel_entries,
    exit_timer,
    fire_all,
    fire_target,
    reason_of,
)
from domain.protection import STOP, TRAIL, Stop, has_crossed, is_tighter
from domain.venue_stop import Resting, StopState, VenueStop
from domain.venue_stop_align import (
    drop,
    is_settled,
    leads,
    release_exits,
    should_rest,
    stop_terms,
    waiting_exits,
)
from domain.venue_stop_events import (
    ExitHeldBack,
    ExitReleased,
    VenueStopChangeRefused,
    VenueStopConfirmed,
    VenueStopEnded,
    VenueStopFailed,
    VenueStopMissing,
    VenueStopTried,
    VenueStopTriggered,
)

_S = OrderStatus
_IN_A_ROW_S = 60.0  # a failure this long after the one before is a first one again
_GOING = HOLDS | {PositionStatus.CLOSING}


def stop_reported(decision: Draft, report: OrderReported) -> None:
    """Take what the venue says of the stop, or of one that nobody here knows any more."""
    position = decision.position
    stop = position.at_venue.find(report.terms.client_order_id)
    if position.is_closed or position.status not in _GOING or stop is None:
        _forgotten(decision, report)
    elif report.status is _S.TRIGGERED:
        triggered(decision, stop, at_target=report.at_target)
    elif stop.state in {StopState.CANCELING, StopState.TRIGGERED}:
        return  # it is going
    elif stop.state is StopState.AMENDING and report.change != stop.changes:
        return  # told before our change was known there; its outcome follows
    elif report.refused:
        _not_changed(decision, stop, report.refused)
    else:
        _confirmed(decision, stop, report)


def _forgotten(decision: Draft, report: OrderReported) -> None:
    position, order_id = decision.position, report.terms.client_order_id
    if order_id == position.entry.attached and not position.fills:
        return  # told before the fill of its entry, with which it is asked for
    if report.status is _S.OPEN and position.at_venue.find(order_id) is None:
        decision.then(CancelOrder(order_id, position.instrument.symbol))


def _confirmed(decision: Draft, stop: VenueStop, report: OrderReported) -> None:
    terms = report.terms
    held = Resting(
        exit_id=stop.asked.exit_id,
        quantity=terms.quantity,
        trigger_price=terms.trigger_price,
        trail_ratio=terms.trail_ratio,
        watches=stop.asked.watches,
        target_id=None if terms.target_price is None else stop.asked.target_id,
        target_price=terms.target_price,
    )
    if report.outside:
        smaller = held.quantity < stop.asked.quantity
        may_be_ours = smaller and replace(held, quantity=stop.asked.quantity) == stop.asked
        _say_changed(
            decision,
            f"stop {stop.client_order_id} was changed at the venue: {_says(held)}, "
            f"instead of {_says(stop.asked)}",
            may_be_ours=report.at_start and may_be_ours,
        )
        if not _adopt(decision, held):
            _failed(decision, "changed outside")
    settled = held == should_rest(decision.position, decision.rules)
    decision.record(VenueStopConfirmed(stop.client_order_id, held, settled, decision.now))


def _say_changed(decision: Draft, text: str, *, may_be_ours: bool) -> None:
    """Say that nobody here knows of a change at the venue, and who may have asked for it.

    What frees units for an exit is asked for before the disk has it: a crash may take the memory.
    """
    code = "STOP_CHANGED_OUTSIDE"
    if may_be_ours:
        code, text = "STOP_CHANGED_WHILE_DOWN", f"{text}; the daemon may have asked for it last"
    decision.then(Alarm(code, text, decision.position.id))


def _says(resting: Resting) -> str:
    if resting.trail_ratio is not None:
        return f"{resting.quantity} trailing by {resting.trail_ratio}"
    beside = "" if resting.target_price is None else f" or {resting.target_price}"
    return f"{resting.quantity} at {resting.trigger_price}{beside}"


def _adopt(decision: Draft, held: Resting) -> bool:
    """Let the position say what a person did at the venue, where the policy and the price allow."""
    position, price = decision.position, held.trigger_price
    stop, last = position.protection.stop, decision.market.last
    if decision.rules.outside_changes is not OutsideChanges.ADOPT or stop is None or price is None:
        return False
    if price == stop.price or position.status not in HOLDS:
        return False
    if last is not None and not is_tighter(position.direction, new=last, old=price):
        return False
    version = position.protection.version + 1
    new = replace(position.protection, stop=Stop(price, stop.watches), version=version)
    change = Modification(
        type=ModificationType.MOVE_SL,
        requested_by=RequestedBy.USER_MANUAL,
        reason="moved at the venue",
        previous=position.protection,
        new=new,
        validation=Validation(),
        at=decision.now,
    )
    decision.record(ProtectionModified(change))
    decision.record(ProtectionSet(new, armed_exits(position, new), decision.now))
    decision.then(arming(decision.position))
    return True


def _not_changed(decision: Draft, stop: VenueStop, why: str) -> None:
    """Note a refused change; one that nobody judged is asked for again, not made by another stop.

    Two stops would rest until the first has gone, and a gap through both sells twice.
    """
    for_good = _code_of(why) not in decision.rules.passing_codes
    decision.record(VenueStopChangeRefused(stop.client_order_id, why, decision.now, for_good))
    if not _leave_if_crossed(decision, stop, why):
        _failed(decision, why)


def triggered(
    decision: Draft, stop: VenueStop, price: Decimal | None = None, *, at_target: bool = False
) -> None:
    """Note that the stop fired: an exit under way, which closes what it covers.

    What it does not cover leaves at market: the level was crossed. Whether it was the stop or the
    target beside it says the venue (`at_target`), or the `price` of a fill.
    """
    if not stop.is_live:
        return
    position = decision.position
    decision.record(VenueStopTriggered(stop.client_order_id, decision.now))
    resting = stop.held or stop.asked
    if at_target and resting.target_id is not None:
        price = resting.target_price
    exit_id = resting.rule_at(price)
    level = resting.trigger_price if exit_id == resting.exit_id else resting.target_price
    order = ExitOrder(
        exit_id=exit_id,
        client_order_id=stop.client_order_id,
        reason=reason_of(exit_id),
        quantity=stop.may_sell,
        frame=decision.market.frame,
        price=level or decision.market.last,
        at_venue=True,
    )
    decision.record(ExitFired(order, decision.now))
    decision.then(Disarm(position.id, position.instrument.symbol))
    for waiting in waiting_exits(decision.position):
        drop(decision, waiting, "the stop at the venue came first")
    _fire_the_rest(decision, order)


def booked_by_stop(decision: Draft, report: FillReported) -> ExitId | None:
    """Return the exit that a fill of the stop belongs to; None when it is no fill of one.

    A fill may be the first that is heard of a trigger. It may also come after the end of the order
    it belongs to: the money moved, so it is booked, with an alarm.
    """
    position, fill = decision.position, report.fill
    known = next(
        (each for each in position.exits if each.client_order_id == fill.client_order_id), None
    )
    if known is not None:
        return known.exit_id if known.at_venue else None
    stop = position.at_venue.find(fill.client_order_id)
    if stop is not None:
        triggered(decision, stop, fill.price)
        return _exit_of(decision.position, stop).exit_id
    identity = identity_of(fill.client_order_id)
    if identity is None or identity.position_id != position.id or identity.leg != "guard-0":
        return None
    order = ExitOrder(
        exit_id=STOP,
        client_order_id=fill.client_order_id,
        reason=reason_of(STOP),
        quantity=fill.quantity,
        whole=False,
        at_venue=True,
    )
    decision.record(ExitFired(order, decision.now))
    text = f"{fill.quantity} filled of stop {fill.client_order_id}, which was over"
    decision.then(Alarm("LATE_FILL", text, position.id))
    return STOP


def stop_ended(decision: Draft, ended: OrderEnded) -> bool:
    """Take the end of a stop; return whether it was one of this position."""
    position = decision.position
    stop = position.at_venue.find(ended.client_order_id)
    if stop is None:
        return False
    decision.record(VenueStopEnded(stop.client_order_id, ended.status, ended.why, decision.now))
    if not stop.is_live:
        _fired_and_ended(decision, stop, ended)
    elif ended.status is _S.REJECTED and stop.held is not None:
        last = decision.market.last if decision.market.is_fresh else None
        _child_refused(decision, stop.held.rule_at(last), ended.why)
    elif stop.state is StopState.CANCELING or _closes_beside(position):
        pass  # as asked, or because nothing is left there for it
    elif ended.status in {_S.CANCELED, _S.EXPIRED}:
        text = f"stop {stop.client_order_id} was taken out at the venue, and is placed again"
        _say_changed(decision, text, may_be_ours=ended.at_start and ended.status is _S.CANCELED)
        _failed(decision, "taken out at the venue")
    elif not _leave_if_crossed(decision, stop, ended.why):
        if ended.status is _S.REJECTED:
            text = f"the venue holds no stop: {ended.why}"
            decision.then(Alarm("VENUE_STOP_REFUSED", text, position.id))
        _failed(decision, ended.why or ended.status.value)
    return True


def _closes_beside(position: Position) -> bool:
    """Whether an exit that closes it all is under way while the stop rests."""
    return position.status is PositionStatus.CLOSING and leads(position)


def _fired_and_ended(decision: Draft, stop: VenueStop, ended: OrderEnded) -> None:
    order = _exit_of(decision.position, stop)
    if order.done:
        return
    decision.record(ExitEnded(stop.client_order_id, ended.status, ended.why, decision.now))
    if ended.status is not _S.FILLED:
        _child_refused(decision, order.exit_id, ended.why)
    elif decision.position.free_quantity > 0:  # it had been made smaller before it fired
        _fire_the_rest(decision, order)


def _fire_the_rest(decision: Draft, order: ExitOrder) -> None:
    """Send what the order at the venue did not cover of the rule that it stood for."""
    if decision.position.protection.target(order.exit_id) is None:
        fire_all(decision, order.exit_id, order.reason, armed=True)
        return
    fire_target(decision, order.exit_id, None, None)
    position = decision.position
    if not position.instrument.whole_lots(position.free_quantity):  # it closes all
        decision.then(*cancel_entries(position))
    if decision.position.status in HOLDS:
        decision.then(arming(decision.position))


def _exit_of(position: Position, stop: VenueStop) -> ExitOrder:
    """Return the exit that a stop which fired has become."""
    return next(each for each in position.exits if each.client_order_id == stop.client_order_id)


def _child_refused(decision: Draft, exit_id: ExitId, why: str) -> None:
    """Leave at market at once: the stop fired, and its order came to nothing."""
    position = decision.position
    if position.instrument.whole_lots(position.free_quantity) > 0:  # else another exit sells it
        text = f"the stop at the venue fired, its order failed: {why or 'no reason given'}"
        decision.then(Alarm("STOP_FAILED", text, position.id))
    fire_all(decision, exit_id, reason_of(exit_id), armed=True)
    if decision.position.status in HOLDS:  # an exit of a part claims all: watch what it leaves
        decision.then(arming(decision.position))


def _leave_if_crossed(decision: Draft, stop: VenueStop, why: str) -> bool:
    """Leave at market when the venue says that the stop would fire at once, or the price does.

    Not when an exit has failed already: that is tried again, ever slower.
    """
    position, price = decision.position, stop.asked.trigger_price
    if position.status not in HOLDS:
        return True
    last = decision.market.last if decision.market.is_fresh else None
    crossed = _code_of(why) in decision.rules.wrong_side_codes or (
        price is not None
        and last is not None
        and has_crossed(level=price, below=position.direction is Direction.LONG, price=last)
    )
    if not crossed or position.failed_exits:
        return False
    exit_id = stop.asked.exit_id
    fire_all(decision, exit_id, reason_of(exit_id), armed=True)
    return True


def _code_of(why: str) -> str:
    """Return the venue's code, with which a refusal begins."""
    return why.partition(":")[0].strip()


def _failed(decision: Draft, why: str) -> None:
    """Count a failure; after the first it is tried again at once, then ever slower."""
    at_venue, rules = decision.position.at_venue, decision.rules
    failures = 1
    if at_venue.failed_at is not None:
        passed = (decision.now - at_venue.failed_at).total_seconds()
        failures = at_venue.failures + 1 if passed < _IN_A_ROW_S else 1
    decision.record(VenueStopFailed(why, failures, decision.now))
    if failures > 1:
        delay = min(rules.retry_first_s * 2 ** min(failures - 1, 16), rules.retry_max_s)
        decision.then(WakeAfter(delay, "venue_stop_retry"))


def may_trigger(decision: Draft, crossed: Crossed) -> bool:
    """Whether the venue's stop should be firing, too, at the price that crossed ours."""
    return fires_at_venue(decision, crossed.exit_id, crossed.price)


def fires_at_venue(decision: Draft, exit_id: ExitId, price: Decimal) -> bool:
    """Whether a stop rests at the venue that fires at this price, as far as is known."""
    position = decision.position
    stop = position.at_venue.current
    if stop is None or stop.state is not StopState.OPEN or stop.held is None:
        return False
    if stop.held.trail_ratio is not None:
        return exit_id == TRAIL
    below = position.direction is Direction.LONG
    level = stop.held.trigger_price
    if exit_id == stop.held.target_id:
        level, below = stop.held.target_price, not below
    return level is not None and has_crossed(level=level, below=below, price=price)


def wake_stop(decision: Draft, purpose: str, exit_id: ExitId | None, version: int) -> None:
    """Do what a timer of the stop was set for."""
    position, rules = decision.position, decision.rules
    match purpose:
        case "release_exit":
            release_exits(decision, overdue=exit_id)
        case "venue_stop_retry" if position.at_venue.pausing:
            decision.record(VenueStopTried(decision.now))
        case "venue_stop" if version == position.at_venue.round:
            if position.status in HOLDS and not is_settled(position, rules):
                _too_late(decision)
        case _:
            pass  # `align` follows every decision


def _too_late(decision: Draft) -> None:
    position = decision.position
    if position.at_venue.missing:
        return
    why = "the venue has not confirmed the stop in time"
    decision.record(VenueStopMissing(why, decision.now))
    is_armed = position.acknowledged_version == position.protection.version
    alone = "the daemon alone guards" if is_armed else "nothing guards"
    decision.then(Alarm("VENUE_STOP_MISSING", f"{why}: {alone}", position.id))
    if not is_armed:
        decision.then(WakeAfter(decision.rules.exit_after_s, "overdue"))


def exit_locked(decision: Draft, locked: ExitLocked) -> None:
    """Let the stop go first, where an exit may not leave beside it."""
    position = decision.position
    for order in position.exits:
        if order.client_order_id == locked.client_order_id and order.beside and not order.done:
            decision.record(ExitHeldBack(order.client_order_id, decision.now))
            decision.then(*exit_timer(decision.rules, position, order))


def left_before_the_crash(position: Position, now: datetime) -> tuple[ExitReleased, ...]:
    """Return that exits which waited have left, when the process died: they may have.

    The venue is asked for them as for any exit under way; one that never left is found absent.
    """
    return tuple(
        ExitReleased(order.client_order_id, order.quantity, now)
        for order in waiting_exits(position)
        if not position.is_closed
    )


def resume_stops(position: Position, rules: PositionRules) -> tuple[PositionEffect, ...]:
    """Return what a restarted position asks about its stop at the venue."""
    if not rules.stops_at_venue and not position.at_venue.stops:
        return ()
    at_venue = position.at_venue
    effects: list[PositionEffect] = []
    if at_venue.stops:
        ids = tuple(stop.client_order_id for stop in at_venue.stops)
        terms: tuple[OrderTerms, ...] = tuple(stop_terms(position, stop) for stop in at_venue.stops)
        effects.append(AskOrders(position.id, ids, terms))
    effects.extend(
        CancelOrder(stop.client_order_id, position.instrument.symbol)
        for stop in at_venue.live
        if stop.state is StopState.CANCELING
    )
    effects.extend(
        AmendOrder(stop_terms(position, stop), stop.changes)
        for stop in at_venue.live
        if stop.state is StopState.AMENDING
    )
    for order in waiting_exits(position):
        effects.extend(exit_timer(rules, position, order))
    if at_venue.pausing:
        effects.append(WakeAfter(rules.retry_first_s, "venue_stop_retry"))
    if position.status in HOLDS and not at_venue.settled:
        effects.append(WakeAfter(rules.unprotected_after_s, "venue_stop", version=at_venue.round))
    effects.append(WakeAfter(0.0, "align"))
    return tuple(effects)
