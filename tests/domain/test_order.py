"""The life of an order: what may follow what, and what each event leaves behind.

The table below is written down a second time on purpose, from the architecture, and not taken from
`TRANSITIONS`: the two must agree.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from domain import order as orders
from domain.attempts import Attempt
from domain.commands import Source
from domain.errors import InvariantError
from domain.ids import MANUAL, TradeId, VenueOrderId, client_order_id
from domain.instrument import Kind, PriceSource, Side
from domain.money import ZERO, Fee
from domain.order import (
    TERMINAL,
    TRANSITIONS,
    Fill,
    Order,
    OrderAccepted,
    OrderAdopted,
    OrderBecameUnknown,
    OrderCanceled,
    OrderCancelRequested,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderFoundAbsent,
    OrderIntended,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderTerms,
    OrderType,
    evolve,
    is_entry,
)
from tests.builders import ACCOUNT, BTC, NOW, D, position_id

S = OrderStatus
LATER = NOW + timedelta(seconds=3)
TERMS = OrderTerms(
    client_order_id=client_order_id(ACCOUNT, position_id(1), "entry-0", 0),
    position_id=position_id(1),
    symbol=BTC,
    side=Side.BUY,
    type=OrderType.MARKET,
    quantity=D("2"),
)

# What a venue may report, or we may do, in each state, as the architecture draws it.
MAY_BECOME = {
    S.INTENT: {S.SENDING, S.DENIED, S.UNKNOWN},
    S.SENDING: {S.OPEN, S.PARTIAL, S.FILLED, S.REJECTED, S.CANCELED, S.EXPIRED, S.UNKNOWN},
    S.OPEN: {
        S.PARTIAL, S.FILLED, S.CANCELED, S.EXPIRED, S.TRIGGERED, S.CANCEL_PENDING,
        S.AMEND_PENDING, S.UNKNOWN,
    },
    S.TRIGGERED: {S.PARTIAL, S.FILLED, S.REJECTED, S.UNKNOWN},
    S.UNKNOWN: set(S) - {S.INTENT, S.SENDING, S.DENIED},
}  # fmt: skip
MAY_BECOME[S.PARTIAL] = MAY_BECOME[S.OPEN]
MAY_BECOME[S.CANCEL_PENDING] = MAY_BECOME[S.AMEND_PENDING] = MAY_BECOME[S.OPEN] | {S.OPEN}
LATE_FILL = {S.CANCELED, S.EXPIRED, S.REJECTED, S.ABSENT, S.DENIED}


def order(status: OrderStatus = S.OPEN, **changes: Any) -> Order:
    return replace(Order(terms=TERMS, status=status, intended_at=NOW, updated_at=NOW), **changes)


def fill(quantity: str = "1", price: str = "100", trade: str = "t1", asset: str = "USDT") -> Fill:
    return Fill(
        trade_id=TradeId(trade),
        client_order_id=TERMS.client_order_id,
        symbol=BTC,
        side=Side.BUY,
        quantity=D(quantity),
        price=D(price),
        fee=Fee(amount=D("0.1"), asset=asset),
        at=LATER,
    )


def filled(before: Order, *fills: Fill) -> Order:
    for each in fills:
        before = evolve(before, OrderFilled(fill=each))
    return before


PLAIN = {
    S.SENDING: OrderSent(at=LATER),
    S.DENIED: OrderDenied(rule="MAX", message="3 of 3", at=LATER),
    S.REJECTED: OrderRejected(code="51008", text="no money", at=LATER),
    S.TRIGGERED: orders.OrderTriggered(at=LATER),
    S.CANCEL_PENDING: OrderCancelRequested(at=LATER),
    S.AMEND_PENDING: orders.OrderAmendRequested(terms=TERMS, at=LATER),
    S.CANCELED: OrderCanceled(at=LATER),
    S.EXPIRED: OrderExpired(at=LATER),
    S.UNKNOWN: OrderBecameUnknown(why="no answer", at=LATER),
    S.ABSENT: OrderFoundAbsent(evidence="nowhere", at=LATER),
}


@pytest.mark.parametrize("after", PLAIN, ids=lambda status: status.value)
@pytest.mark.parametrize("before", S, ids=lambda status: status.value)
def test_only_what_the_table_allows_may_follow(before: OrderStatus, after: OrderStatus) -> None:
    if after is before or after in MAY_BECOME.get(before, set()):
        changed = evolve(order(before), PLAIN[after])
        assert (changed.status, changed.updated_at) == (after, LATER)
    else:
        with pytest.raises(InvariantError, match=f"{before.value} cannot become {after.value}"):
            evolve(order(before), PLAIN[after])


def test_the_table_is_the_architectures() -> None:
    late = {status: ({S.FILLED} if status in LATE_FILL else set()) for status in TERMINAL}

    assert {status: set(after) for status, after in TRANSITIONS.items() if after} == {
        status: after for status, after in (MAY_BECOME | late).items() if after
    }


@pytest.mark.parametrize("status", S, ids=lambda status: status.value)
def test_an_order_is_over_when_the_venue_does_nothing_more_with_it(status: OrderStatus) -> None:
    over = {S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED, S.ABSENT, S.DENIED}
    assert order(status).is_terminal == (status in over)


ATTEMPT = Attempt(source=Source.TERMINAL, trader=MANUAL, venue="paper", market_type=Kind.SPOT)


def test_an_intent_is_the_birth_of_an_order() -> None:
    born = evolve(None, OrderIntended(terms=TERMS, at=NOW, attempt=ATTEMPT))

    assert born == Order(
        terms=TERMS, status=S.INTENT, intended_at=NOW, updated_at=NOW, attempt=ATTEMPT
    )


def test_an_order_of_the_venues_is_adopted_in_doubt() -> None:
    born = evolve(None, OrderAdopted(terms=TERMS, at=NOW, attempt=ATTEMPT))

    assert born == Order(
        terms=TERMS, status=S.UNKNOWN, intended_at=NOW, updated_at=NOW, attempt=ATTEMPT, doubts=1
    )


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (OrderIntended(terms=TERMS, at=LATER), "intended twice"),
        (OrderAdopted(terms=TERMS, at=LATER), "adopted though known"),
    ],
)
def test_an_order_is_born_once(event: Any, why: str) -> None:
    with pytest.raises(InvariantError, match=why):
        evolve(order(), event)


def test_nothing_happens_before_an_intent() -> None:
    with pytest.raises(InvariantError, match="OrderSent before any intent"):
        evolve(None, OrderSent(at=NOW))


def test_a_request_that_left_is_stamped() -> None:
    assert evolve(order(S.INTENT), OrderSent(at=LATER)).sent_at == LATER


# --- what the venue says


def accepted(before: Order, after_s: float | None = None) -> Order:
    event = OrderAccepted(venue_order_id=VenueOrderId("v1"), at=LATER, after_s=after_s)
    return evolve(before, event)


def test_an_accepted_order_rests_and_knows_its_name_at_the_venue() -> None:
    after = accepted(order(S.SENDING), 0.25)

    assert (after.status, after.venue_order_id, after.answered_s) == (S.OPEN, "v1", 0.25)
    assert after.updated_at == LATER


@pytest.mark.parametrize("status", [S.SENDING, S.UNKNOWN, S.CANCEL_PENDING])
def test_an_accepted_order_with_fills_is_partly_filled(status: OrderStatus) -> None:
    assert accepted(order(status, filled=D(1))).status is S.PARTIAL


@pytest.mark.parametrize("status", [S.OPEN, S.TRIGGERED, *sorted(TERMINAL, key=str)])
def test_an_acknowledgement_that_comes_late_changes_no_status(status: OrderStatus) -> None:
    assert accepted(order(status)).status is status
    assert accepted(order(status)).venue_order_id == "v1"


def test_a_later_word_without_a_time_keeps_the_time_of_the_answer() -> None:
    assert accepted(order(answered_s=0.5)).answered_s == 0.5
    assert evolve(order(S.SENDING, answered_s=0.5), PLAIN[S.REJECTED]).answered_s == 0.5
    answered = OrderRejected(code="1", text="no", at=LATER, after_s=0.7, remedy="Wait.")
    assert evolve(order(S.SENDING, answered_s=0.5), answered).answered_s == 0.7
    assert evolve(order(S.SENDING), answered).remedy == "Wait."


@pytest.mark.parametrize(
    ("before", "event", "reason"),
    [
        (S.INTENT, PLAIN[S.DENIED], "MAX: 3 of 3"),
        (S.SENDING, PLAIN[S.REJECTED], "51008: no money"),
        (S.SENDING, PLAIN[S.UNKNOWN], "no answer"),
        (S.UNKNOWN, PLAIN[S.ABSENT], "nowhere"),
        (S.AMEND_PENDING, orders.OrderAmendRefused(code="9", text="late", at=LATER), "9: late"),
    ],
)
def test_the_reason_says_why(before: OrderStatus, event: Any, reason: str) -> None:
    assert evolve(order(before), event).reason == reason


def test_every_lost_answer_counts() -> None:
    doubted = order(S.SENDING)
    for _ in range(3):
        doubted = evolve(doubted, PLAIN[S.UNKNOWN])
    assert doubted.doubts == 3


# --- changes of a resting order

MOVED = replace(TERMS, trigger_price=D("95"))


def test_a_change_is_asked_for_and_only_then_made() -> None:
    asked = evolve(order(), orders.OrderAmendRequested(terms=MOVED, at=LATER))
    assert (asked.status, asked.asked, asked.terms) == (S.AMEND_PENDING, MOVED, TERMS)

    done = evolve(asked, orders.OrderAmended(terms=MOVED, at=LATER))
    assert (done.status, done.asked, done.terms) == (S.OPEN, None, MOVED)


def test_a_refused_change_leaves_the_order_as_it_was() -> None:
    asked = evolve(order(), orders.OrderAmendRequested(terms=MOVED, at=LATER))

    refused = evolve(asked, orders.OrderAmendRefused(code="1", text="no", at=LATER))

    assert (refused.status, refused.asked, refused.terms) == (S.OPEN, None, TERMS)


@pytest.mark.parametrize(
    ("status", "done", "after"),
    [
        (S.AMEND_PENDING, "0", S.OPEN),
        (S.AMEND_PENDING, "1", S.PARTIAL),
        (S.UNKNOWN, "0", S.OPEN),
        (S.UNKNOWN, "1", S.PARTIAL),
        (S.CANCEL_PENDING, "0", S.CANCEL_PENDING),
        (S.PARTIAL, "1", S.PARTIAL),
    ],
)
def test_an_answered_change_lets_the_order_rest(
    status: OrderStatus, done: str, after: OrderStatus
) -> None:
    changed = evolve(order(status, filled=D(done)), orders.OrderAmended(terms=MOVED, at=LATER))

    assert changed.status is after
    assert changed.terms == MOVED


def test_a_stop_that_fired_forgets_the_change_that_was_asked() -> None:
    fired = evolve(order(S.AMEND_PENDING, asked=MOVED), PLAIN[S.TRIGGERED])

    assert (fired.status, fired.asked) == (S.TRIGGERED, None)


# --- fills


def test_a_part_and_the_rest_are_counted_at_their_prices() -> None:
    part = filled(order(), fill("0.5", "100"))
    assert (part.status, part.filled, part.remaining) == (S.PARTIAL, D("0.5"), D("1.5"))
    assert part.average_price == 100
    assert part.updated_at == LATER

    whole = filled(part, fill("1.5", "104", "t2"))
    assert (whole.status, whole.filled, whole.remaining) == (S.FILLED, D(2), ZERO)
    assert whole.average_price == 103
    assert [each.trade_id for each in whole.fills] == ["t1", "t2"]
    assert not whole.over_fill
    assert not whole.late_fill


def test_a_fill_that_comes_twice_counts_once() -> None:
    once = filled(order(), fill())
    assert once.has(TradeId("t1"))
    assert not once.has(TradeId("t2"))
    assert filled(once, fill()) == once


def test_fees_add_up_for_each_asset() -> None:
    after = filled(
        order(), fill("0.1"), fill("0.1", trade="t2", asset="BNB"), fill("0.1", trade="t3")
    )

    assert after.fees == (Fee(Decimal("0.2"), "USDT"), Fee(Decimal("0.1"), "BNB"))


@pytest.mark.parametrize("status", [S.CANCEL_PENDING, S.AMEND_PENDING])
def test_a_part_does_not_end_what_is_asked_of_the_venue(status: OrderStatus) -> None:
    assert filled(order(status), fill()).status is status
    assert filled(order(status), fill("2")).status is S.FILLED


@pytest.mark.parametrize("status", sorted(LATE_FILL, key=str))
def test_a_fill_after_the_end_stands_and_raises_an_alarm(status: OrderStatus) -> None:
    part = filled(order(status), fill())
    assert (part.status, part.filled, part.late_fill) == (status, D(1), True)

    whole = filled(part, fill(trade="t2"))
    assert (whole.status, whole.late_fill) == (S.FILLED, True)


@pytest.mark.parametrize(("asked", "is_over"), [("2.4", True), ("2.5", False), ("1", True)])
def test_what_a_change_asked_for_whose_answer_is_not_known_may_be_filled(asked, is_over) -> None:
    before = order(S.OPEN)
    changing = evolve(
        before, orders.OrderAmendRequested(replace(before.terms, quantity=D(asked)), LATER)
    )
    lost = evolve(changing, OrderBecameUnknown("no answer", LATER))
    assert filled(lost, fill("2.5")).over_fill is is_over
    assert not filled(lost, fill("2")).over_fill


def test_a_refused_change_may_have_been_made_by_one_before_that_nobody_noted() -> None:
    before = order(S.OPEN)
    wanted = replace(before.terms, quantity=D("2.5"))
    asked = evolve(before, orders.OrderAmendRequested(wanted, LATER))
    refused = evolve(asked, orders.OrderAmendRefused("51503", "filled, or gone", LATER))
    assert not filled(refused, fill("2.5")).over_fill
    assert filled(refused, fill("2.6")).over_fill
    smaller = evolve(refused, orders.OrderAmendRequested(replace(wanted, quantity=D("1")), LATER))
    assert not filled(smaller, fill("2.5")).over_fill
    made = evolve(smaller, orders.OrderAmended(before.terms, LATER))
    assert filled(made, fill("2.5")).over_fill  # it is known again what it is for


def test_more_than_was_asked_for_is_counted_and_raises_an_alarm() -> None:
    over = filled(order(), fill("2.5"))
    assert (over.status, over.filled, over.over_fill) == (S.FILLED, D("2.5"), True)

    later = filled(over, fill("0.5", trade="t2"))
    assert (later.status, later.over_fill, later.late_fill) == (S.FILLED, True, True)


@pytest.mark.parametrize("quantity", ["2", "2.5"])
def test_a_triggered_stop_is_filled_by_its_child(quantity: str) -> None:
    stop = replace(TERMS, type=OrderType.STOP, trigger_price=D(95), watches=PriceSource.MARK)
    assert filled(order(S.TRIGGERED, terms=stop), fill(quantity)).status is S.FILLED


@pytest.mark.parametrize("kind", OrderType)
def test_what_neither_reduces_nor_waits_for_a_trigger_is_an_entry(kind: OrderType) -> None:
    rests = kind in {OrderType.STOP, OrderType.TARGET, OrderType.TRAIL}
    opening = replace(TERMS, type=kind, reduce_only=False)
    assert is_entry(opening) is not rests
    assert not is_entry(replace(opening, reduce_only=True))
