"""Keeps at the venue what should rest there: `align` compares and asks, after every decision.

What should rest is the stop, else the trail, for all that no exit under way has claimed. A
difference is amended in place where the venue can; else, where orders only reduce, another is
placed before the old one goes; else (spot, where the stop locks the balance) the old one goes
first, while the daemon itself watches.

An exit of a swap leaves beside the stop, which stays as it is until the exit is over: what is held
is never without one. On spot, and where others hold the symbol too, the exit waits until the stop
has let go of its units; see `exit_timer` for how long.
"""

from decimal import Decimal

from msgspec.structs import replace

from domain.effects import AmendOrder, CancelOrder, SubmitOrder, WakeAfter
from domain.ids import ExitId, client_order_id
from domain.instrument import Kind
from domain.money import ONE, ZERO
from domain.order import OrderStatus, OrderTerms, OrderType
from domain.position import ArmedExit, ExitOrder, Position, PositionStatus
from domain.position_draft import HOLDS, Draft, PositionRules
from domain.position_events import ExitEnded
from domain.position_exits import exit_terms
from domain.protection import STOP, TRAIL
from domain.venue_stop import GUARD, Resting, StopState, VenueStop
from domain.venue_stop_events import (
    ExitReleased,
    VenueStopCancelOrdered,
    VenueStopChangeOrdered,
    VenueStopConfirmed,
    VenueStopOrdered,
    VenueStopOutdated,
)
from domain.venue_stop_life import epoch_of

_GOING = HOLDS | {PositionStatus.CLOSING}


def should_rest(position: Position, rules: PositionRules) -> Resting | None:
    """Return what should rest at the venue for this position; None: nothing.

    A trail by a distance, or at a venue that cannot trail, rests as a stop where it began: the
    daemon follows the price, and the venue holds the worst case.
    """
    if not rules.stops_at_venue or position.status not in HOLDS:
        return None
    instrument, stop = position.instrument, position.protection.stop
    trail = position.protection.trail
    quantity = instrument.whole_lots(position.free_quantity)
    current = position.at_venue.current
    if current is not None and leads(position):
        quantity = max(quantity, current.asked.quantity)
    if not instrument.can_be_ordered(quantity):
        return None
    if stop is not None:
        resting = Resting(STOP, quantity, trigger_price=stop.price, watches=stop.watches)
        return _with_target(resting, position, rules)
    if trail is None:
        return None
    if rules.trails_at_venue and trail.ratio is not None:
        return Resting(TRAIL, quantity, trail_ratio=trail.ratio, watches=trail.watches)
    level = trail.level(position.direction, trail.anchor)
    price = instrument.stop_on_tick(position.direction, level)
    return Resting(TRAIL, quantity, trigger_price=price, watches=trail.watches)


def _with_target(stop: Resting, position: Position, rules: PositionRules) -> Resting:
    """Add the target, if one is left that closes all of it and watches the same price.

    Not while an exit waits for a stop without one, which is made smaller where it rests, at once;
    nor beside one that is under way.
    """
    targets, current = position.protection.open_targets(), position.at_venue.current
    under_way = leads(position) or waiting_exits(position)
    if under_way and (current is None or current.asked.target_id is None):
        return stop
    is_refused = position.at_venue.alone_at == position.protection.version
    if not rules.targets_at_venue or is_refused or len(targets) != 1:
        return stop
    target = targets[0]
    parts = sum((each.part for each in position.protection.targets), ZERO)
    if target.watches is not stop.watches or parts < ONE:
        return stop  # else what it closes now is less than all as soon as more fills
    return replace(stop, target_id=target.exit_id, target_price=target.price)


def leads(position: Position) -> bool:
    """Whether an exit is under way beside the stop."""
    return any(order.beside and not order.done for order in position.exits)


def is_settled(position: Position, rules: PositionRules) -> bool:
    """Whether what should rest at the venue does; also when nothing should."""
    wanted = should_rest(position, rules)
    stop = position.at_venue.current
    return wanted is None or (
        stop is not None and stop.state is StopState.OPEN and stop.held == wanted
    )


def stop_terms(position: Position, stop: VenueStop) -> OrderTerms:
    """Return the order that holds a stop at the venue."""
    asked = stop.asked
    return OrderTerms(
        client_order_id=stop.client_order_id,
        position_id=position.id,
        symbol=position.instrument.symbol,
        side=position.direction.exit_side,
        type=OrderType.STOP if asked.trail_ratio is None else OrderType.TRAIL,
        quantity=asked.quantity,
        trigger_price=asked.trigger_price,
        reduce_only=True,
        leverage=position.leverage,
        watches=asked.watches,
        trail_ratio=asked.trail_ratio,
        target_price=asked.target_price,
    )


def align(decision: Draft) -> None:
    """Let exits go that need not wait any more, and ask the venue for what should rest there."""
    if not decision.is_born or decision.position.status not in _GOING:
        return
    at_venue = decision.position.at_venue
    if not decision.rules.stops_at_venue and not at_venue.stops:
        return
    release_exits(decision)
    _ask(decision)
    _note_what_is_outdated(decision)
    _set_deadline(decision)


def _note_what_is_outdated(decision: Draft) -> None:
    """Say so where what should rest does not, and nothing can be asked at this moment."""
    position = decision.position
    counts = position.status is PositionStatus.OPEN_PROTECTED and not position.at_venue.missing
    if position.status not in HOLDS or is_settled(position, decision.rules):
        return
    if counts or position.at_venue.settled:
        decision.record(VenueStopOutdated(decision.now))


def release_exits(decision: Draft, overdue: ExitId | None = None) -> None:
    """Send exits that waited, for what is left to close; one that is `overdue` waits no more.

    What may be closed already, by whatever is under way, is not closed again.
    """
    for order in waiting_exits(decision.position):
        position = decision.position
        resting = ZERO if order.exit_id == overdue else locked(position)
        sent = sum((each.outstanding for each in position.exits if not each.waits), ZERO)
        room = position.instrument.whole_lots(position.remaining - sent - resting)
        if resting > ZERO and room < order.quantity:
            continue
        _release(decision, order, min(order.quantity, room))


def waiting_exits(position: Position) -> tuple[ExitOrder, ...]:
    """Return the exits that were decided and have not been sent."""
    return tuple(order for order in position.exits if order.waits and not order.done)


def locked(position: Position) -> Decimal:
    """Return base units that stops at the venue may close."""
    return sum((stop.may_sell for stop in position.at_venue.live), ZERO)


def _release(decision: Draft, order: ExitOrder, quantity: Decimal) -> None:
    if quantity <= ZERO:
        drop(decision, order, "the stop at the venue came first")
        return
    position = decision.position
    known = ArmedExit(order.exit_id, order.client_order_id) in position.armed
    decision.record(ExitReleased(order.client_order_id, quantity, decision.now))
    sent = next(
        each for each in decision.position.exits if each.client_order_id == order.client_order_id
    )
    terms = exit_terms(position, sent)
    decision.then(SubmitOrder(terms, armed=known, decided_at=decision.now))


def drop(decision: Draft, order: ExitOrder, why: str) -> None:
    """End an exit that has not left."""
    decision.record(ExitEnded(order.client_order_id, OrderStatus.DENIED, why, decision.now))


def _ask(decision: Draft) -> None:
    position, rules = decision.position, decision.rules
    at_venue = position.at_venue
    wanted = should_rest(position, rules)
    fired = any(not stop.is_live for stop in at_venue.stops)
    if wanted is None and not fired and _rests_on(position):
        return
    if wanted is None or fired:
        for stop in at_venue.live:
            cancel(decision, stop)
        return
    current = at_venue.current
    if current is None:
        _place_if_possible(decision, wanted)
    elif current.state is StopState.OPEN:
        for stop in at_venue.live:
            if stop is not current:
                cancel(decision, stop)
        if current.held != wanted:
            _change(decision, current, wanted)
        elif not at_venue.settled:
            decision.record(
                VenueStopConfirmed(current.client_order_id, wanted, settled=True, at=decision.now)
            )


def _rests_on(position: Position) -> bool:
    """Whether a position that closes keeps its stop until nothing is held but dust."""
    return (
        position.status is PositionStatus.CLOSING
        and position.instrument.kind is not Kind.SPOT
        and position.instrument.can_be_ordered(position.remaining)
        and not waiting_exits(position)
    )


def cancel(decision: Draft, stop: VenueStop) -> None:
    """Ask the venue, once, to let a stop go."""
    if stop.state is StopState.CANCELING:
        return
    decision.record(VenueStopCancelOrdered(stop.client_order_id, decision.now))
    position = decision.position
    urgent = bool(waiting_exits(position)) or position.status is PositionStatus.CLOSING
    symbol = position.instrument.symbol
    decision.then(CancelOrder(stop.client_order_id, symbol, at_once=urgent))


def _place_if_possible(decision: Draft, wanted: Resting) -> None:
    position = decision.position
    if position.at_venue.pausing:
        return
    if position.at_venue.live and position.instrument.kind is Kind.SPOT:
        return  # the balance is locked until the one before has gone
    if any(
        isinstance(each, WakeAfter) and each.purpose == "retry_exit" and not each.delay_s
        for each in decision.effects
    ):
        return  # the exit that failed is tried again at once, and would have to wait for it
    place(decision, wanted)


def place(decision: Draft, wanted: Resting) -> None:
    """Ask the venue to hold a stop."""
    position = decision.position
    order_id = client_order_id(position.account, position.id, GUARD, epoch_of(position, GUARD))
    decision.record(VenueStopOrdered(order_id, wanted, decision.now))
    decision.then(SubmitOrder(stop_terms(position, VenueStop(order_id, wanted))))


def _change(decision: Draft, current: VenueStop, wanted: Resting) -> None:
    position = decision.position
    if not position.at_venue.pausing:
        if decision.rules.amends_stops and current.may_amend and _is_alike(current.asked, wanted):
            decision.record(VenueStopChangeOrdered(current.client_order_id, wanted, decision.now))
            asked = decision.position.at_venue.find(current.client_order_id) or current
            urgent = bool(waiting_exits(position))
            decision.then(AmendOrder(stop_terms(position, asked), asked.changes, at_once=urgent))
            return
        if position.instrument.kind is not Kind.SPOT:
            place(decision, wanted)
            return
        is_armed = position.acknowledged_version == position.protection.version
        if is_armed or waiting_exits(position):
            cancel(decision, current)
            return


def _is_alike(one: Resting, other: Resting) -> bool:
    """Whether one order can become the other.

    Neither trails, both watch the same price, and both have a target or neither has.
    """
    has_target = one.target_price is not None
    if has_target is not (other.target_price is not None) or one.watches is not other.watches:
        return False
    return one.trail_ratio is None and other.trail_ratio is None


def _set_deadline(decision: Draft) -> None:
    """Wake later if what should rest did so before, and does not now."""
    before = 0 if decision.before is None else decision.before.at_venue.round
    at_venue = decision.position.at_venue
    if at_venue.round != before and not at_venue.settled:
        delay_s = decision.rules.unprotected_after_s
        decision.then(WakeAfter(delay_s, "venue_stop", version=at_venue.round))
