"""What a position does about what reaches it: `decide`, pure.

Events first, then the effects they call for.

The order of precautions is the same everywhere: what is booked twice counts once, what is stale is
ignored, an exit never asks for more than what no other exit has claimed, and an exit that failed is
tried again under the next id.
"""

from datetime import datetime
from typing import assert_never

from domain.commands import ClosePosition, ModifyProtection, WithdrawEntries
from domain.effects import (
    Alarm,
    AnnounceClosed,
    AnnounceOpened,
    AskOrders,
    Disarm,
    PositionEffect,
    SubmitOrder,
    WakeAfter,
)
from domain.errors import InvariantError
from domain.ids import ClientOrderId, ExitId
from domain.inputs import (
    AdoptPosition,
    Armed,
    BeginAddition,
    BeginEntry,
    Crossed,
    ExitLocked,
    FillReported,
    FundingTold,
    GridTold,
    GuardLost,
    Offline,
    OrderEnded,
    OrderReported,
    OutsideReported,
    ResolveConflict,
    Wake,
)
from domain.modifications import Market
from domain.money import ZERO
from domain.order import OrderStatus
from domain.position import ExitOrder, Position, PositionStatus
from domain.position_additions import add, entry_terms
from domain.position_changes import close, modify, resolve, withdraw
from domain.position_draft import HOLDS, Decision, Draft, PositionRules
from domain.position_events import (
    EntryEnded,
    ExitEnded,
    ExitFired,
    PositionClosed,
    PositionFilled,
    PositionIntended,
)
from domain.position_exits import (
    arming,
    cancel_entries,
    closing_reason,
    exit_named_by,
    exit_terms,
    failed_exits,
    failed_targets,
    fire_all,
    leaves_beside,
    reason_of,
    target_quantity,
    tried_again_as,
)
from domain.position_guards import (
    confirm_armed,
    crossed_level,
    guards,
    keep_breakeven_apart,
    protect,
    time_exit_timer,
    wake_up,
)
from domain.position_life import (
    entry_filled,
    entry_is_working,
    is_known_fill,
    working_entries,
)
from domain.position_offline import judge_downtime
from domain.position_outside import ToldOfOutside, note_outside, outside_end
from domain.protection import CLOSE, ExitReason
from domain.venue_stop_align import align
from domain.venue_stop_attached import expect_attached, first_entry
from domain.venue_stop_reports import (
    booked_by_stop,
    exit_locked,
    resume_stops,
    stop_ended,
    stop_reported,
)

PositionInput = (
    BeginEntry
    | BeginAddition
    | AdoptPosition
    | OutsideReported
    | FundingTold
    | GridTold
    | FillReported
    | OrderEnded
    | OrderReported
    | ExitLocked
    | Armed
    | Crossed
    | GuardLost
    | Offline
    | Wake
    | ClosePosition
    | WithdrawEntries
    | ModifyProtection
    | ResolveConflict
)


def decide(
    position: Position | None,
    message: PositionInput,
    now: datetime,
    rules: PositionRules,
    market: Market,
) -> Decision:
    """Return the events that `message` causes and the effects they call for.

    `position` is unchanged.
    """
    decision = Draft(position, rules, now, market)
    match message:
        case BeginEntry():
            if position is None:
                _begin(decision, message)
        case BeginAddition():
            add(decision, message)
        case AdoptPosition() | OutsideReported() | FundingTold() | GridTold():
            _outside(decision, message)
        case FillReported():
            _fill(decision, message)
        case OrderEnded():
            _order_ended(decision, message)
        case OrderReported() | ExitLocked():
            _about_the_stop(decision, message)
        case Armed():
            confirm_armed(decision, message)
        case Crossed():
            crossed_level(decision, message)
        case GuardLost():
            decision.then(*guards(decision.position, rules))
        case Offline():
            judge_downtime(decision, message)
        case Wake():
            wake_up(decision, message)
        case ClosePosition() | WithdrawEntries():
            _give_up(decision, message)
        case ModifyProtection():
            modify(decision, message, market)
        case ResolveConflict():
            resolve(decision, message, market)
        case _:
            assert_never(message)
    _see_to_the_stop(decision)
    return decision.finish()


def _outside(decision: Draft, message: ToldOfOutside) -> None:
    is_birth = isinstance(message, AdoptPosition)
    if is_birth is not decision.is_born and note_outside(decision, message):
        _close_if_nothing_remains(decision)


def _give_up(decision: Draft, message: ClosePosition | WithdrawEntries) -> None:
    if isinstance(message, ClosePosition):
        close(decision, message)
    else:
        withdraw(decision)


def _about_the_stop(decision: Draft, message: OrderReported | ExitLocked) -> None:
    if isinstance(message, OrderReported):
        stop_reported(decision, message)
    else:
        exit_locked(decision, message)


def _see_to_the_stop(decision: Draft) -> None:
    """Let what rests at the venue follow what was decided."""
    align(decision)
    if decision.is_born and decision.position.at_venue.round and not decision.position.is_closed:
        _close_if_nothing_remains(decision)  # an exit may have had nothing left to do


def _begin(decision: Draft, begin: BeginEntry) -> None:
    decision.record(
        PositionIntended(
            position_id=begin.position_id,
            account=begin.account,
            trader=begin.trader,
            instrument=begin.instrument,
            direction=begin.direction,
            entry=first_entry(begin, decision.rules),
            plan=begin.plan,
            leverage=begin.leverage,
            at=decision.now,
            decision_id=begin.decision_id,
            rationale=begin.rationale,
            user=begin.user,
            paper=decision.rules.paper,
        )
    )
    terms = entry_terms(decision.position, decision.position.entry)
    decision.then(SubmitOrder(terms, expires_at=begin.expires_at))
    decision.answer(begin.request_id)


def _fill(decision: Draft, report: FillReported) -> None:
    position, fill = decision.position, report.fill
    if is_known_fill(position, fill):
        return  # venues repeat themselves after a reconnect
    if position.is_closed:
        decision.then(
            Alarm("LATE_FILL", f"{fill.quantity} filled after the position closed", position.id)
        )
        return
    if position.entry_of(fill.client_order_id) is not None:
        _entry_fill(decision, report)
        return
    if not position.fills and fill.client_order_id == position.entry.attached:
        return  # told before the fill of its entry, with which it is asked for
    exit_id = booked_by_stop(decision, report) or _exit_of(position, fill.client_order_id)
    if exit_id is None:
        decision.then(
            Alarm("FOREIGN_FILL", f"order {fill.client_order_id} is not ours", position.id)
        )
        return
    exits = decision.position.exits
    if not any(order.client_order_id == fill.client_order_id for order in exits):
        _fired_before_the_crash(decision, exit_id, report)
    if fill.quantity > position.remaining:
        text = f"{fill.quantity} closed of {position.remaining}: the rest was not this position's"
        decision.then(Alarm("OVER_FILL", text, position.id))
    decision.record(PositionFilled(fill, exit_id))
    _close_if_nothing_remains(decision)


def _entry_fill(decision: Draft, report: FillReported) -> None:
    first = not decision.position.fills
    decision.record(PositionFilled(report.fill))
    if first:
        protect(decision)
        expect_attached(decision, report.fill)
        position = decision.position
        decision.then(
            AnnounceOpened(
                position.id, position.trader, position.instrument.symbol, position.direction
            )
        )
        if position.withdrawn is not None:
            fire_all(decision, CLOSE, position.withdrawn)
    elif decision.position.status is PositionStatus.CLOSING:
        fire_all(
            decision, ExitId(f"close-{len(decision.position.exits) + 1}"), closing_reason(decision)
        )
    elif decision.position.withdrawn is not None:
        fire_all(decision, CLOSE, decision.position.withdrawn)


def _exit_of(position: Position, order_id: ClientOrderId) -> ExitId | None:
    for order in position.exits:
        if order.client_order_id == order_id:
            return order.exit_id
    for armed in position.armed:
        if armed.client_order_id == order_id:
            return armed.exit_id
    return exit_named_by(position, order_id)


def _fired_before_the_crash(decision: Draft, exit_id: ExitId, report: FillReported) -> None:
    """Note an exit that the venue executed though the journal lost its firing.

    One whose rule is gone claims no more than its order had asked for.
    """
    position = decision.position
    armed = any(each.client_order_id == report.fill.client_order_id for each in position.armed)
    whole = armed and position.protection.target(exit_id) is None
    if not armed:
        quantity = min(report.ordered or ZERO, position.free_quantity)
    elif whole:
        quantity = position.free_quantity
    else:
        quantity = target_quantity(position, exit_id)
    order = ExitOrder(
        exit_id=exit_id,
        client_order_id=report.fill.client_order_id,
        reason=reason_of(exit_id),
        quantity=max(quantity, report.fill.quantity),
        whole=whole or quantity == position.free_quantity,
        beside=leaves_beside(position),
    )
    decision.record(ExitFired(order, decision.now))
    symbol = position.instrument.symbol
    decision.then(Disarm(position.id, symbol, None if order.whole else exit_id))


def _order_ended(decision: Draft, ended: OrderEnded) -> None:
    position = decision.position
    if position.is_closed:
        return
    entry = position.entry_of(ended.client_order_id)
    if entry is not None:
        if entry in working_entries(position):
            filled = entry_filled(position, entry)
            if ended.filled > filled:  # whoever closes now leaves behind what it never heard of
                raise InvariantError(
                    f"position {position.id}: {entry.client_order_id} ended with {ended.filled}"
                    f" filled, and {filled} is known"
                )
            decision.record(
                EntryEnded(ended.client_order_id, ended.status, ended.why, decision.now)
            )
            if not _close_if_nothing_remains(decision) and entry is not position.entry:
                keep_breakeven_apart(decision)
        return
    if stop_ended(decision, ended):
        _close_if_nothing_remains(decision)
        return
    order = next(
        (each for each in position.exits if each.client_order_id == ended.client_order_id), None
    )
    if order is None or order.done:
        _close_if_nothing_remains(decision)
        return
    decision.record(ExitEnded(ended.client_order_id, ended.status, ended.why, decision.now))
    position = decision.position
    if _close_if_nothing_remains(decision):
        return
    failures, again = position.failed_exits, tried_again_as(position, order)
    pause_s = _pause_s(failures, decision.rules)
    if order.beside and failures <= 1:
        pause_s = decision.rules.retry_first_s  # the stop may have sold it, and be told of next
    elif ended.status is not OrderStatus.FILLED:  # of that, it was a part, and left before a crash
        text = f"{order.exit_id}: {ended.status.value} {ended.why}"
        decision.then(Alarm("EXIT_FAILED", text, position.id))
    decision.then(WakeAfter(pause_s, "retry_exit", again))
    if order.whole and failures > 1 and position.protection.target(again) is not None:
        # The stop must not wait for it.
        decision.then(arming(position, without=failed_targets(position)))


def _pause_s(failures: int, rules: PositionRules) -> float:
    """Return when to try again: at once, then ever later; each try is kept in state and journal."""
    if failures <= 1:
        return 0.0
    if failures > rules.retry_often:
        return rules.retry_rarely_s
    return min(rules.retry_first_s * 2.0 ** min(failures - 1, 16), rules.retry_max_s)


def _close_if_nothing_remains(decision: Draft) -> bool:
    position = decision.position
    is_working = entry_is_working(position) or position.at_venue.live
    if is_working or position.outstanding_exits > ZERO:
        if position.remaining == ZERO and position.fills:
            decision.then(*cancel_entries(position))
        return False
    if not position.fills:
        _finish(decision, PositionStatus.CLOSED, ExitReason.NEVER_FILLED)
        return True
    outside = outside_end(position)
    if outside is not None:
        _finish(decision, *outside)
        return True
    if position.remaining == ZERO:
        _finish(decision, PositionStatus.CLOSED, closing_reason(decision))
        return True
    if position.instrument.can_be_ordered(position.remaining):
        return False
    _finish(decision, PositionStatus.CLOSED_WITH_DUST, closing_reason(decision))
    return True


def _finish(decision: Draft, status: PositionStatus, reason: ExitReason) -> None:
    position = decision.position
    decision.record(
        PositionClosed(
            status=status,
            reason=reason,
            realized_pnl=position.realized_pnl,
            fees=position.fees,
            dust=position.remaining,
            at=decision.now,
        )
    )
    symbol = position.instrument.symbol
    decision.then(
        Disarm(position.id, symbol, over=True),
        AnnounceClosed(position.id, position.trader, symbol, reason, position.realized_pnl),
    )


def resume(position: Position, now: datetime, rules: PositionRules) -> tuple[PositionEffect, ...]:
    """Return what a restarted position asks.

    Its levels armed, its orders' fates told, its timers set.

    An exit that fired is asked for with its terms: its order may have left though nobody journaled
    that. Not those that still wait to leave (see `left_before_the_crash`).
    """
    if position.is_closed:
        return ()
    effects: list[PositionEffect] = [*guards(position, rules)]
    if position.exits or entry_is_working(position):
        effects.extend(_questions(position))
    effects.extend(resume_stops(position, rules))
    if position.status in HOLDS:
        if position.protection.guards_loss:
            effects.append(WakeAfter(rules.unprotected_after_s, "unprotected"))
        if position.protection.time_exit is not None:
            effects.append(time_exit_timer(position, position.protection.time_exit, now))
    if position.exits and (position.status in HOLDS or position.status is PositionStatus.CLOSING):
        effects.extend(
            WakeAfter(rules.retry_first_s, "retry_exit", exit_id)
            for exit_id in failed_exits(position)
        )
    return tuple(effects)


def _questions(position: Position) -> list[PositionEffect]:
    """Return what a restarted position asks about its orders under way."""
    working = [
        order
        for order in position.exits
        if not order.done and not order.at_venue and not order.waits
    ]
    entries = working_entries(position)
    ids = [entry.client_order_id for entry in entries]
    ids += [order.client_order_id for order in working]
    asked: list[PositionEffect] = []
    if ids:  # the exchange tells by itself what is missing of the others
        terms = [exit_terms(position, order) for order in working]
        terms += [entry_terms(position, each) for each in entries]
        asked.append(AskOrders(position.id, tuple(ids), tuple(terms)))
    if position.withdrawn is not None or position.status is PositionStatus.CLOSING:
        asked.extend(cancel_entries(position))
    return asked
