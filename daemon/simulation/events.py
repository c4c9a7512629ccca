"""What must hold of single events in the journal, whatever came of them at the venue."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from domain.money import ZERO
from domain.portfolio_events import CashMoved
from domain.portfolio_state import Portfolio
from domain.position import ExitOrder, Modification, Position, PositionStatus
from domain.position_events import ExitFired, ProtectionModified
from domain.protection import STOP, has_crossed
from domain.venue import CashKind

_CENT = Decimal("0.01")  # quote
Wrong = tuple[str, str]  # the invariant, and how it is broken


def wrong_with(event: Any, before: Any, after: Any) -> Iterator[Wrong]:
    """Yield what an event breaks, given the state of its stream before and after it."""
    match event:
        case ExitFired():
            yield from _not_crossed(event.exit, before)
            yield from _too_large(event.exit, before)
        case ProtectionModified():
            yield from _not_even(event.modification, after)
        case CashMoved(kind=CashKind.FUNDING):
            yield from _unfair(event, before)


def _not_crossed(order: ExitOrder, position: Position) -> Iterator[Wrong]:
    """I10: a stop or a target fires at a price that is beyond it."""
    trigger, stop = order.trigger, position.protection.stop
    target = position.protection.target(order.stands_for)
    rule = stop if order.stands_for == STOP else target
    if trigger is None or rule is None or order.at_venue:
        return
    below = (position.direction.sign > 0) is (rule is stop)
    if not has_crossed(level=rule.price, below=below, price=trigger.price):
        yield "I10", f"{order.client_order_id} fired at {trigger.price}, it is at {rule.price}"


def _too_large(order: ExitOrder, position: Position) -> Iterator[Wrong]:
    """I4: a target before the last closes its part, or what could not be closed after it.

    Where its order at the venue was to close all, and failed, all of the rest leaves; so it does
    when what failed is tried again once the whole closes.
    """
    target = position.protection.target(order.stands_for)
    others = [each for each in position.protection.open_targets() if each != target]
    if target is None or order.at_venue or not others:
        return
    same = [each for each in position.exits if each.stands_for == order.stands_for]
    if position.status is PositionStatus.CLOSING or any(
        each.at_venue and each.whole for each in same
    ):
        return
    instrument = position.instrument
    least = max(instrument.lot_size, instrument.min_quantity)
    due = target.part * position.entry_quantity + least
    rest = position.free_quantity - due
    is_too_little = rest < least or rest * target.price < instrument.min_notional
    if order.quantity > due and not is_too_little:
        text = f"{target.exit_id} of {position.id} closes {order.quantity}"
        yield "I4", f"{text}, {target.part} of {position.entry_quantity}"


def _not_even(change: Modification, position: Position) -> Iterator[Wrong]:
    """I14: a stop at breakeven loses nothing."""
    before, even = change.previous.breakeven, change.new.breakeven
    if before is None or even is None or before.done or not even.done:
        return
    if (even.stop_price - position.entry_price) * position.direction.sign < ZERO:
        text = f"{position.id} breaks even at {even.stop_price}"
        yield "I14", f"{text}, entered at {position.entry_price}"


def _unfair(moved: CashMoved, portfolio: Portfolio) -> Iterator[Wrong]:
    """I5: funding is of the positions of its symbol, by what each holds."""
    held = {each: portfolio.holdings[each].ledger.remaining for each, _ in moved.shares}
    total = sum(held.values(), ZERO)
    is_fair = all(
        abs(share - moved.amount * held[each] / total) < _CENT for each, share in moved.shares
    )
    is_whole = not moved.shares or sum(share for _, share in moved.shares) == moved.amount
    if not (is_fair and is_whole):
        yield "I5", f"{moved.amount} of funding for {held}: {moved.shares}"
