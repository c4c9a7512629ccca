"""Scaling in: what a position makes of an addition, whatever happens meanwhile."""

from datetime import timedelta
from decimal import ROUND_UP
from decimal import Decimal as Exact
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.candles import Candle, Timeframe
from domain.commands import ClosePosition, RequestedBy
from domain.effects import Alarm, Answer, AskOrders, CancelOrder, FreeReservation, SubmitOrder
from domain.ids import RequestId, client_order_id, identity_of
from domain.inputs import BeginAddition, FillReported, Offline, OrderEnded
from domain.instrument import Direction, PriceSource
from domain.order import OrderStatus, OrderType
from domain.position import PositionStatus
from domain.position_additions import MAX_ADDITIONS, addition_problem, plan_with, risk_of_held
from domain.position_decide import resume
from domain.position_draft import PositionRules
from domain.position_events import AdditionIntended
from domain.position_exits import target_quantity
from domain.position_guards import breakeven_stop
from domain.protection import ExitReason
from tests.builders import ACCOUNT, BTC, NOW, D, Life, a_fill, opened, plan, position_id

SHORT = Direction.SHORT


def order_of(number):
    return client_order_id(ACCOUNT, position_id(), f"entry-{number}", 0)


def adding(life, quantity="1", *, limit=None, stop=None, **others):
    """Tell a position that an addition was approved."""
    begin = BeginAddition(
        position_id=life.p.id,
        client_order_id=order_of(len(life.p.additions) + 1),
        quantity=D(quantity),
        limit_price=None if limit is None else D(limit),
        expires_at=NOW + timedelta(seconds=5),
        stop_price=None if stop is None else D(stop),
        request_id=RequestId("r1"),
        **others,
    )
    return life.tell(begin)


def fill_addition(life, quantity, at, number=1, trade=None):
    side = life.p.direction.entry_side
    fill = a_fill(quantity, at, side, order_of(number), trade, at=life.now)
    return life.tell(FillReported(life.p.id, fill))


def addition_ended(life, status=OrderStatus.FILLED, number=1):
    return life.tell(OrderEnded(life.p.id, order_of(number), status, ""))


def added(life, quantity="1", at="110", number=1):
    adding(life, quantity)
    fill_addition(life, quantity, at, number)
    return addition_ended(life, number=number)


def answer(life):
    return next(each for each in life.decision.effects if isinstance(each, Answer))


def test_an_addition_is_one_more_entry_order_of_the_position_with_an_id_of_its_own():
    life = adding(opened("1", "100"), "0.5", limit="99")

    (sent,) = [each for each in life.decision.effects if isinstance(each, SubmitOrder)]
    terms = sent.terms
    assert identity_of(terms.client_order_id).leg == "entry-1"
    assert (terms.quantity, terms.price, terms.type) == (D("0.5"), D(99), OrderType.LIMIT)
    assert not terms.reduce_only
    assert not sent.armed
    assert sent.expires_at == NOW + timedelta(seconds=5)
    assert [type(event) for event in life.decision.events] == [AdditionIntended]
    assert answer(life).refusal is None


def test_its_fills_mix_into_the_average_entry_and_its_stop_covers_the_whole():
    life = added(opened("1", "100", plan("90")), "1", at="110")

    assert (life.p.remaining, life.p.entry_price) == (2, 105)
    life.cross("stop", "89")
    assert life.last_exit().terms.quantity == 2
    life.fill_exit("89")
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.realized_pnl == D(89) * 2 - D(210)


def test_a_fill_of_an_addition_that_is_told_twice_counts_once():
    life = adding(opened("1", "100"))
    fill_addition(life, "1", "110", trade="t1")

    fill_addition(life, "1", "110", trade="t1")

    assert life.p.remaining == 2


def test_targets_close_their_part_of_all_that_was_entered():
    life = opened("1", "100", plan("90", [("120", "0.5"), ("130", "0.25")]))

    added(life, "1", at="110")

    assert target_quantity(life.p, "target-1") == 1
    assert target_quantity(life.p, "target-2") == D("0.5")


def test_a_target_that_has_fired_does_not_fire_again_for_an_addition():
    life = opened("1", "100", plan("90", [("120", "0.5"), ("130", "0.5")]))
    life.cross("target-1", "120").fill_exit("120")

    added(life, "1", at="121").arm()

    assert [target.exit_id for target in life.p.protection.open_targets()] == ["target-2"]
    life.cross("target-2", "130")
    assert life.last_exit().terms.quantity == life.p.remaining == D("1.5")


def test_a_stop_that_comes_with_an_addition_is_in_force_before_its_order_leaves():
    life = adding(opened("1", "100", plan("90")), stop="95")

    kinds = [type(effect).__name__ for effect in life.decision.effects]
    assert kinds.index("Arm") < kinds.index("SubmitOrder")
    assert life.p.protection.stop.price == 95
    assert life.p.modifications[-1].reason == "with an addition"


def test_a_stop_that_moves_away_with_an_addition_needs_to_be_said():
    life = opened("1", "100", plan("90"))

    adding(life, stop="85")

    assert answer(life).refusal.rule == "WOULD_WIDEN"
    assert life.p.protection.stop.price == 90
    adding(life, stop="85", widen=True)
    assert answer(life).refusal is None
    assert life.p.protection.stop.price == 85


def test_what_is_refused_lets_its_reservation_go():
    life = adding(opened("1", "100", plan("90")), stop="85")

    assert life.decision.events == ()
    assert FreeReservation in {type(each) for each in life.decision.effects}
    assert not any(isinstance(each, SubmitOrder) for each in life.decision.effects)


def closing():
    return opened("1", "100").tell(ClosePosition(position_id()))


def partly_closing():
    life = opened("1", "100")
    return life.tell(ClosePosition(position_id(), part=D("0.5")))


def target_fired():
    return opened("1", "100", plan("90", [("120", "0.5")])).cross("target-1", "120")


def stop_failed():
    life = opened("1", "100").cross("stop", "89")
    order_id = life.last_exit().terms.client_order_id
    return life.tell(OrderEnded(position_id(), order_id, OrderStatus.REJECTED, "no"))


def waiting():
    return Life().begin("1")


def partly_filled():
    life = Life().begin("1")
    return life.fill("0.4", "100").arm()


def adding_already():
    return adding(opened("1", "100"))


def unguarded():
    life = Life().begin("1", plan("90"))
    life.fill("1", "100")
    return life.tell(OrderEnded(life.p.id, life.p.entry.client_order_id, OrderStatus.FILLED, ""))


def closed():
    return closing().fill_exit("100")


def full():
    life = opened("1", "100")
    for number in range(1, MAX_ADDITIONS + 1):
        added(life, "0.1", at="100", number=number)
    return life


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (closing, "EXIT_UNDER_WAY"),
        (partly_closing, "EXIT_UNDER_WAY"),
        (target_fired, "EXIT_UNDER_WAY"),
        (stop_failed, "EXIT_UNDER_WAY"),
        (waiting, "NOT_OPEN"),
        (partly_filled, "ADDITION_UNDER_WAY"),
        (adding_already, "ADDITION_UNDER_WAY"),
        (unguarded, "UNPROTECTED"),
        (closed, "POSITION_CLOSED"),
        (full, "TOO_MANY_ADDITIONS"),
    ],
)
def test_nothing_is_added_while(make, rule):
    life = make()
    known = len(life.p.additions)

    problem = addition_problem(life.p)
    adding(life)

    assert problem.rule == rule
    assert answer(life).refusal == problem
    assert problem.remedy
    assert len(life.p.additions) == known


def test_an_addition_by_number_is_made_once():
    life = added(opened("1", "100"))

    assert addition_problem(life.p, number=1).rule == "ADDITION_NUMBER"
    assert addition_problem(life.p, number=2) is None


def test_an_approval_told_twice_is_no_second_addition():
    life = opened("1", "100")
    begin = BeginAddition(
        position_id=life.p.id,
        client_order_id=order_of(1),
        quantity=D(1),
        limit_price=None,
        expires_at=NOW,
    )
    life.tell(begin)

    life.tell(begin)

    assert life.decision.events == ()
    assert life.decision.effects == ()


def test_a_stop_that_fires_takes_a_working_addition_out_and_sells_what_fills_all_the_same():
    life = adding(opened("1", "100", plan("90")), limit="95")

    life.cross("stop", "89")

    assert CancelOrder(order_of(1), life.p.instrument.symbol) in life.decision.effects
    life.fill_exit("89")
    assert life.p.status is PositionStatus.CLOSING  # the addition may still fill
    fill_addition(life, "1", "95")
    assert life.last_exit().terms.quantity == 1
    addition_ended(life, OrderStatus.CANCELED)
    life.fill_exit("88")
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.STOP_LOSS


def test_a_position_ends_only_when_its_addition_has():
    life = adding(opened("1", "100", plan("90")), limit="95")
    life.cross("stop", "89").fill_exit("89")

    addition_ended(life, OrderStatus.CANCELED)

    assert life.p.status is PositionStatus.CLOSED


def test_an_addition_that_never_filled_leaves_the_position_as_it_was():
    life = opened("1", "100", plan("90"))
    before = (life.p.remaining, life.p.entry_price, life.p.status, life.p.protection)

    adding(life)
    addition_ended(life, OrderStatus.ABSENT)

    assert (life.p.remaining, life.p.entry_price, life.p.status, life.p.protection) == before
    assert life.p.additions[0].status is OrderStatus.ABSENT
    assert addition_problem(life.p) is None


def test_a_fill_of_an_addition_after_its_end_counts_as_long_as_the_position_lives():
    life = adding(opened("1", "100"))
    addition_ended(life, OrderStatus.CANCELED)

    fill_addition(life, "1", "110")

    assert life.p.remaining == 2


def test_a_fill_of_an_addition_after_the_position_is_alarmed():
    life = adding(opened("1", "100"))
    addition_ended(life, OrderStatus.CANCELED)
    life.tell(ClosePosition(life.p.id)).fill_exit("100")

    fill_addition(life, "1", "110")

    assert [each.code for each in life.decision.effects if isinstance(each, Alarm)] == ["LATE_FILL"]


def test_a_restart_asks_what_became_of_a_working_addition():
    life = adding(opened("1", "100"), limit="95")

    effects = resume(life.p, life.now, PositionRules())

    (ask,) = [each for each in effects if isinstance(each, AskOrders)]
    assert ask.client_order_ids == (order_of(1),)
    assert [each.quantity for each in ask.terms] == [1]


def test_a_breakeven_to_come_follows_the_average_entry():
    rules = plan("90", breakeven_price=D(130))
    life = added(opened("1", "100", rules), "1", at="110")

    even = life.p.protection.breakeven
    assert (even.trigger_price, even.stop_price) == (130, breakeven_stop(life.p, PositionRules()))
    life.arm().cross("breakeven", "130")
    assert life.p.protection.stop.price == even.stop_price > 105


@pytest.mark.parametrize(
    ("direction", "stop", "trigger", "at"),
    [(Direction.LONG, "90", "101", "100.9"), (SHORT, "110", "99", "99.1")],
)
def test_a_breakeven_that_the_average_has_caught_up_with_moves_on(direction, stop, trigger, at):
    rules = plan(stop, breakeven_price=D(trigger))
    life = opened("1", "100", rules, direction)
    gap = life.p.protection.breakeven.trigger_price - life.p.protection.breakeven.stop_price

    added(life, "99", at=at)

    even = life.p.protection.breakeven
    assert even.trigger_price - even.stop_price == gap
    life.arm().cross("breakeven", trigger)
    assert life.p.protection.stop.price == D(stop)  # not yet, where it would fire at once


def test_a_breakeven_reached_while_an_addition_fills_is_not_set_where_it_fires_at_once():
    life = opened("1", "100", plan("90", breakeven_price=D(101)))
    adding(life, "100", limit="100.9")
    fill_addition(life, "99", "100.95")

    life.cross("breakeven", "101")

    assert life.p.protection.stop.price == 90
    assert life.p.protection.breakeven.trigger_price > 101


def minute(number, *prices):
    """Open, high, low, close of a minute of the downtime."""
    opened_ms = (int(NOW.timestamp() * 1000) // 60_000 + 1 + number) * 60_000
    return Candle(BTC, Timeframe(60_000), opened_ms, *(D(each) for each in prices), D(1), 1)


def catch_up(life, *candles):
    until = NOW + timedelta(minutes=10)
    last = {PriceSource.LAST: candles}
    return life.tell(Offline(life.p.id, NOW, until, timedelta(), last, frame=3))


def test_a_breakeven_reached_while_down_moves_the_stop_to_the_average_with_what_was_added():
    life = opened("1", "100", plan("90", breakeven_price=D(105)))
    adding(life, "2", limit="96")
    fill_addition(life, "1", "96")  # 98 on average, and the order still works

    catch_up(life, minute(0, 100, 105, 99, 104), minute(1, 104, 104, 99, 103))

    assert life.p.status is not PositionStatus.CLOSING
    assert D(98) < life.p.protection.stop.price < 99


def test_a_breakeven_that_the_average_has_caught_up_with_fires_nothing_for_a_downtime():
    life = opened("1", "100", plan("90", breakeven_price=D(101)))
    adding(life, "100", limit="100.9")
    fill_addition(life, "99", "100.95")

    catch_up(life, minute(0, "100.9", 101, "100.5", "100.6"), minute(1, "100.6", 101, 100, 100))

    assert life.p.status is not PositionStatus.CLOSING
    assert life.p.protection.stop.price == 90


def test_the_risk_of_what_is_held_counts_to_the_stop_that_is_to_be():
    life = opened("2", "100", plan("90"))

    assert risk_of_held(life.p, plan_with(life.p, None), D(100)) == 20
    assert risk_of_held(life.p, plan_with(life.p, D(96)), D(100)) == 8
    assert risk_of_held(life.p, plan_with(life.p, D(105)), D(110)) == 0


def test_a_trail_bounds_the_risk_of_what_is_held_where_no_stop_does():
    life = opened("2", "100", plan(None, trail_ratio=D("0.05")))

    assert risk_of_held(life.p, plan_with(life.p, None), D(100)) == 10
    assert risk_of_held(life.p, plan_with(life.p, None), D(102)) == 2 * (100 - D(102) * D("0.95"))


def test_without_a_stop_no_risk_is_known():
    life = opened("2", "100", plan(None))

    assert risk_of_held(life.p, plan_with(life.p, None), D(100)) == 0
    assert plan_with(life.p, None).stop_price is None


def test_an_automatic_addition_names_its_decision():
    life = adding(opened("1", "100"), requested_by=RequestedBy.RULE_ENGINE, rationale="it rises")

    (event,) = life.decision.events
    assert (event.requested_by, event.rationale) == (RequestedBy.RULE_ENGINE, "it rises")


# Whatever the order in which things happen, nothing is lost, doubled or oversold.

LOT = Exact("0.001")
sizes = st.integers(1, 2000).map(lambda lots: lots * LOT)
prices = st.integers(9_000, 12_000).map(lambda ticks: Exact(ticks) / 100)


@st.composite
def parts_of(draw, quantity):
    """Cut a quantity as a venue might, into at most five parts at prices of their own."""
    lots = int(quantity / LOT)
    cuts = sorted({0, lots, *draw(st.lists(st.integers(0, lots), max_size=4))})
    return [((end - begin) * LOT, draw(prices)) for begin, end in pairwise(cuts)]


@st.composite
def histories(draw):
    first, second = draw(sizes), draw(sizes)
    fills = [(1, *each) for each in draw(parts_of(second))]
    fills += draw(st.lists(st.sampled_from(fills), max_size=2))  # told twice
    exits = draw(
        st.lists(
            st.sampled_from([("stop", "89"), ("target-1", "121"), ("part", "0.3"), ("all", "1")]),
            max_size=3,
        )
    )
    return first, second, draw(st.permutations([*fills, *exits]))


@given(histories())
def test_whatever_the_order_nothing_is_lost_doubled_or_oversold(history):
    first, second, steps = history
    life = opened(str(first), "100", plan("90", [("120", "0.5")]))
    adding(life, str(second))
    seen, exits, spent = {}, 0, first * 100
    for step in steps:
        if step[0] == 1:
            _, quantity, at = step
            name = f"a{quantity}@{at}"
            known = name in seen
            if life.p.is_closed and not known:
                continue  # late: alarmed, the exchange actor books it
            fill_addition(life, str(quantity), str(at), trade=name)
            if not known:
                seen[name] = quantity
                spent += quantity * at
        elif step[0] == "part":
            life.tell(ClosePosition(life.p.id, part=D(step[1])))
        elif step[0] == "all":
            life.tell(ClosePosition(life.p.id))
        else:
            life.cross(*step)
        for order in life.exits_sent()[exits:]:
            assert order.terms.quantity <= life.p.remaining
        assert life.p.outstanding_exits <= life.p.remaining
        while exits < len(life.exits_sent()):
            terms = life.exits_sent()[exits].terms
            exits += 1
            life.fill(str(terms.quantity), "100", terms.client_order_id)
    entered = first + sum(seen.values())
    left = sum((each.terms.quantity for each in life.exits_sent()), Exact(0))
    assert life.p.entry_quantity == entered
    assert life.p.remaining == entered - left
    assert life.p.ledger.remaining >= 0
    if not left:
        assert abs(life.p.entry_price - spent / entered) < Exact("1e-9")
    # The ledger's cost and gains account for every unit that came and went.
    came = left * 100
    worth = life.p.ledger.cost
    assert abs(life.p.ledger.gross_pnl - (came + worth - spent)) < Exact("1e-9")


@given(parts_of(Exact("0.9")).flatmap(st.permutations))
def test_the_average_entry_does_not_depend_on_the_order_of_the_fills(parts):
    life = adding(opened("1", "100"), "0.9")
    for number, (quantity, at) in enumerate(parts):
        fill_addition(life, str(quantity), str(at), trade=f"n{number}")

    total = 1 + sum(quantity for quantity, _ in parts)
    cost = 100 + sum(quantity * at for quantity, at in parts)
    assert life.p.ledger.basis_cost == cost
    assert life.p.entry_price.quantize(Exact("1e-9"), ROUND_UP) == (cost / total).quantize(
        Exact("1e-9"), ROUND_UP
    )
