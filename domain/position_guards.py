"""What guards a position.

Set at the first fill, confirmed where it lives, judged when a level is reported.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace

from domain.commands import ModificationType, RequestedBy
from domain.effects import Alarm, PositionEffect, RejectCrossing, WakeAfter
from domain.ids import ExitId
from domain.inputs import Armed, Crossed, Wake
from domain.instrument import Direction
from domain.money import ONE, ceil_to, floor_to
from domain.position import Modification, Position, PositionStatus, Trigger, Validation
from domain.position_draft import HOLDS, Draft, PositionRules
from domain.position_events import (
    ProtectionAcknowledged,
    ProtectionLost,
    ProtectionModified,
    ProtectionSet,
)
from domain.position_exits import (
    armed_exits,
    arming,
    closing_reason,
    fire,
    fire_all,
    fire_target,
    parts_of,
    reason_of,
)
from domain.protection import (
    BREAKEVEN,
    CLOSE,
    STOP,
    TIME,
    TRAIL,
    Breakeven,
    ExitReason,
    Protection,
    Stop,
    Target,
    Trail,
    has_crossed,
    is_tighter,
)
from domain.venue_stop_align import is_settled
from domain.venue_stop_reports import may_trigger, wake_stop


def protect(decision: Draft) -> None:
    """Set the plan's rules at the first fill, when the entry price is known."""
    position = decision.position
    protection = planned_protection(position, decision.rules)
    decision.record(ProtectionSet(protection, armed_exits(position, protection), decision.now))
    decision.then(*guards(decision.position, decision.rules))
    if protection.guards_loss:
        decision.then(WakeAfter(decision.rules.unprotected_after_s, "unprotected", version=1))
    else:
        decision.then(Alarm("NO_STOP", "opened without a stop, as asked", position.id))
    if protection.time_exit is not None:
        decision.then(time_exit_timer(position, protection.time_exit, decision.now))


def planned_protection(position: Position, rules: PositionRules) -> Protection:
    """Return the rules a plan means, given the price of the first fill."""
    plan, price = position.plan, position.fills[0].price
    trail = None
    if plan.trail_ratio is not None or plan.trail_distance is not None:
        trail = Trail(price, plan.trail_ratio, plan.trail_distance, plan.guard_source)
    even = None
    if plan.breakeven_price is not None:
        even = Breakeven(plan.breakeven_price, breakeven_stop(position, rules), plan.target_source)
    time_exit = None
    if plan.max_holding_s is not None:
        time_exit = position.fills[0].at + timedelta(seconds=plan.max_holding_s)
    return Protection(
        stop=None if plan.stop_price is None else Stop(plan.stop_price, plan.guard_source),
        targets=tuple(
            Target(ExitId(f"target-{number}"), target.price, target.part, plan.target_source)
            for number, target in enumerate(plan.targets, start=1)
        ),
        trail=trail,
        breakeven=even,
        time_exit=time_exit,
    )


def breakeven_stop(position: Position, rules: PositionRules) -> Decimal:
    """Return the stop price at which entry and exit fees are earned back, on the tick beyond it."""
    sign = position.direction.sign
    price = position.entry_price * (ONE + sign * 2 * rules.taker_fee_ratio)
    beyond = ceil_to if position.direction is Direction.LONG else floor_to
    return beyond(price, position.instrument.tick_size)


def guards(position: Position, rules: PositionRules) -> tuple[PositionEffect, ...]:
    """Return what puts the position's levels in force where they live.

    Asked again after any restart.
    """
    del rules
    if position.is_closed or position.status is PositionStatus.ENTRY_PENDING:
        return ()
    return (arming(position),)


def confirm_armed(decision: Draft, armed: Armed) -> None:
    """Note that the feed watches the present version."""
    position = decision.position
    if armed.version != position.protection.version or position.is_closed:
        return
    if position.acknowledged_version == armed.version:
        return  # armed again after a restart: nothing new
    if position.status is PositionStatus.CLOSING:
        return
    protects = position.at_venue.missing or is_settled(position, decision.rules)
    decision.record(
        ProtectionAcknowledged(armed.version, armed.since, decision.now, protects=protects)
    )


def crossed_level(decision: Draft, crossed: Crossed, *, grace_is_over: bool = False) -> None:
    """Judge a reported crossing exactly, and fire.

    A stop that rests at the venue as well has a grace to trigger there.
    """
    position = decision.position
    if position.status not in HOLDS:
        return  # closing absorbs further triggers
    level = _level(position.protection, position, crossed)
    if level is None:
        return  # of an older version: the rule is gone
    price, below = level
    if not has_crossed(level=price, below=below, price=crossed.price):
        decision.then(
            RejectCrossing(
                position.id, position.instrument.symbol, crossed.exit_id, crossed.version
            )
        )
        return
    if crossed.exit_id == BREAKEVEN:
        to_breakeven(decision)
        return
    if not grace_is_over and may_trigger(decision, crossed):
        decision.then(
            WakeAfter(
                decision.rules.grace_s, "grace", crossed.exit_id, crossed.version, crossed=crossed
            )
        )
        return
    trigger = Trigger(
        price=crossed.price,
        level=price,
        source=crossed.source,
        frame=crossed.frame,
        tick_id=crossed.tick_id,
        at=crossed.at,
        while_down=crossed.while_down,
    )
    if position.protection.target(crossed.exit_id) is None:
        reason = reason_of(crossed.exit_id)
        fire_all(decision, crossed.exit_id, reason, trigger, crossed, armed=True)
    else:
        fire_target(decision, crossed.exit_id, trigger, crossed)


def _level(
    protection: Protection, position: Position, crossed: Crossed
) -> tuple[Decimal, bool] | None:
    """Return the level in force now for the reported exit, and its direction."""
    long = position.direction is Direction.LONG
    if crossed.exit_id == STOP and protection.stop is not None:
        return protection.stop.price, long
    if crossed.exit_id == TRAIL and protection.trail is not None:
        best = protection.trail.anchor
        if crossed.best is not None:
            best = max(best, crossed.best) if long else min(best, crossed.best)
        return protection.trail.level(position.direction, best), long
    even = protection.breakeven
    if crossed.exit_id == BREAKEVEN and even is not None and not even.done:
        return even.trigger_price, not long
    target = protection.target(crossed.exit_id)
    if target is not None and not target.fired:
        return target.price, not long
    return None


def to_breakeven(decision: Draft) -> None:
    """Move the stop to entry plus fees, once; never looser than it is."""
    position = decision.position
    protection = position.protection
    even = protection.breakeven
    assert even is not None
    price = breakeven_stop(position, decision.rules)
    caught_up = not is_tighter(position.direction, new=even.trigger_price, old=price)
    if position.additions and caught_up:  # an addition fills: it would fire at once
        keep_breakeven_apart(decision)
        return
    stop = protection.stop
    if stop is None or is_tighter(position.direction, new=price, old=stop.price):
        source = position.plan.guard_source if stop is None else stop.watches
        stop = Stop(price, source)
    new = replace(
        protection,
        stop=stop,
        breakeven=replace(even, done=True, stop_price=price),
        version=protection.version + 1,
    )
    change = Modification(
        type=ModificationType.MOVE_SL,
        requested_by=RequestedBy.RULE_ENGINE,
        reason=f"breakeven: the price reached {even.trigger_price}",
        previous=protection,
        new=new,
        validation=Validation(),
        at=decision.now,
    )
    decision.record(ProtectionSet(new, armed_exits(position, new), decision.now))
    decision.record(ProtectionModified(change))
    # At once: prices go on while the disk writes, and the stop's id has been durable all along.
    decision.then(replace(arming(decision.position), at_once=True))


def keep_breakeven_apart(decision: Draft) -> None:
    """Follow a new average entry: the stop to come lies there, the trigger stays beyond it.

    A trigger that the average has caught up with moves on, as far from it as it was before.
    """
    position = decision.position
    even = position.protection.breakeven
    if even is None or even.done or position.status not in HOLDS:
        return
    sign, tick = position.direction.sign, position.instrument.tick_size
    price = breakeven_stop(position, decision.rules)
    trigger = even.trigger_price
    if not is_tighter(position.direction, new=trigger, old=price):
        trigger = price + sign * max(tick, (trigger - even.stop_price) * sign)
    if (trigger, price) == (even.trigger_price, even.stop_price):
        return
    even = replace(even, trigger_price=trigger, stop_price=price)
    version = position.protection.version + 1
    new = replace(position.protection, breakeven=even, version=version)
    decision.record(ProtectionSet(new, armed_exits(position, new), decision.now))
    decision.then(*guards(decision.position, decision.rules))


def wake_up(decision: Draft, wake: Wake) -> None:
    """Do what a timer was set for, if it still applies."""
    position = decision.position
    if position.is_closed:
        return
    match wake.purpose:
        case "time_exit":
            _time_is_up(decision)
        case "retry_exit":
            _retry(decision, wake)
        case "grace" if wake.crossed is not None:
            crossed_level(decision, wake.crossed, grace_is_over=True)
        case "unprotected" if position.at_venue.settled:
            decision.then(*guards(position, decision.rules))  # the venue guards it meanwhile
        case "unprotected" if position.status in HOLDS:
            decision.record(ProtectionLost("no guard in time", decision.now))
            decision.then(
                Alarm("UNPROTECTED", "no guard confirmed in time", position.id),
                *guards(decision.position, decision.rules),
                WakeAfter(decision.rules.exit_after_s, "overdue", version=wake.version),
            )
        case "overdue" if position.status is PositionStatus.OPEN_UNPROTECTED:
            if not _is_guarded(position):
                fire_all(decision, CLOSE, ExitReason.UNPROTECTED, armed=True)
        case _:
            wake_stop(decision, wake.purpose, wake.exit_id, wake.version)


def _is_guarded(position: Position) -> bool:
    """Whether a stop rests at the venue, or the daemon watches while that is being put right."""
    at_venue = position.at_venue
    is_armed = position.acknowledged_version == position.protection.version
    rests = any(stop.held is not None for stop in at_venue.live)
    return at_venue.round > 0 and (is_armed or rests)


def _time_is_up(decision: Draft) -> None:
    position = decision.position
    limit = position.protection.time_exit
    if limit is None or position.status not in HOLDS:
        return
    # The timer counted the whole time; the wall clock may have been set back meanwhile.
    fire_all(decision, TIME, ExitReason.TIME_EXIT, armed=True)


def time_exit_timer(position: Position, limit: datetime, now: datetime) -> WakeAfter:
    """Return the timer for the time limit: never longer than a position may be held at all.

    This computer's clock may be behind the venue's, by which the first fill is dated.
    """
    longest_s = position.plan.max_holding_s
    assert longest_s is not None  # or there would be no limit
    left_s = min((limit - now).total_seconds(), longest_s)
    return WakeAfter(max(0.0, left_s), "time_exit")


def _retry(decision: Draft, wake: Wake) -> None:
    """Try a failed exit again: the whole at once, a part as a part, a target by arming it anew."""
    position, exit_id = decision.position, wake.exit_id
    if exit_id is None:
        return
    if position.status is PositionStatus.CLOSING:
        # What it had claimed is free again, and the others under way do not include it.
        fire_all(decision, exit_id, closing_reason(decision))
        return
    if position.status not in HOLDS:
        return
    if position.protection.target(exit_id) is None:
        _fire_again(decision, exit_id)
        return
    new = replace(position.protection, version=position.protection.version + 1)
    decision.record(ProtectionSet(new, armed_exits(position, new), decision.now))
    decision.then(*guards(decision.position, decision.rules))


def _fire_again(decision: Draft, exit_id: ExitId) -> None:
    position, instrument = decision.position, decision.position.instrument
    last = next((order for order in reversed(position.exits) if order.exit_id == exit_id), None)
    if last is None or last.whole:
        reason = ExitReason.MANUAL_CLOSE if last is None else last.reason
        fire_all(decision, exit_id, reason)
        return
    if last.reason is ExitReason.TAKE_PROFIT:
        return  # a person has taken the target away meanwhile
    free = position.free_quantity
    quantity = instrument.whole_lots(min(last.quantity - last.filled, free))
    if last.done and instrument.can_be_ordered(quantity):
        whole = free - quantity < instrument.lot_size
        for part in parts_of(instrument, quantity, decision.market.last):
            fire(decision, exit_id, last.reason, part, None, None, whole=whole, armed=False)
