"""The venue's holdings against ours: what counts as a difference, and what it comes down to."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.adoption import emergency_plan
from domain.ids import NO_ORDER, TradeId
from domain.instrument import Direction, Kind, Side
from domain.order import Order, OrderStatus, OrderTerms, OrderType
from domain.reconciliation import (
    CONFIRM_S,
    UNEXPLAINED_S,
    Held,
    Seen,
    booked_of,
    compare,
    confirm,
    explain,
    is_in_flight,
    whole_trade,
)
from domain.venue import Outside, OutsideFill, VenuePosition
from tests.builders import BTC, NOW, D, a_fill, position_id, swap

LONG, SHORT = Direction.LONG, Direction.SHORT
SWAP, SPOT = {BTC: swap()}, {BTC: swap(kind=Kind.SPOT)}
NONE = frozenset()
lots = st.integers(1, 5000).map(lambda count: Decimal(count) / 1000)


def held(number, quantity, direction=LONG, minutes=0):
    return Held(
        position_id(number), BTC, direction, D(quantity), D(100), NOW + timedelta(minutes=minutes)
    )


def told(*quantities):
    return [VenuePosition(BTC, D(quantity), D(101)) for quantity in quantities]


def sides(mine, theirs, instruments=None, dust=None, *, hedged=False):
    return compare(mine, theirs, instruments or SWAP, dust or {}, hedged=hedged)


def the_side(mine, theirs, **others):
    (side,) = sides(mine, theirs, **others)
    return side


def sold(quantity, price="99", number=1, minutes=1, side=Side.SELL, cause=Outside.PERSON):
    fill = a_fill(str(quantity), price, side, NO_ORDER, f"t{number}", fee="0.1")
    return Seen(OutsideFill(replace(fill, at=NOW + timedelta(minutes=minutes)), cause))


def explained(side, *seen, price="98"):
    return explain(side, seen, D(price), NOW + timedelta(minutes=2))


# --- comparing ---


def test_both_sides_of_one_symbol_are_one_quantity_in_net_mode():
    side = the_side([held(1, "3"), held(2, "1", SHORT)], told("2"))
    assert (side.ours, side.venue, side.lacks_or_exceeds) == (2, 2, False)


def test_a_long_and_a_short_of_ours_have_closed_each_other_in_net_mode():
    side = the_side([held(1, "3"), held(2, "0.4", SHORT), held(3, "0.6", SHORT)], told("2"))
    found = explained(side)
    assert (side.differs, found.reductions, found.surplus) == (True, (), 0)
    booked = [(each.position_id, each.fill.quantity, each.fill.price) for each in found.guesses]
    assert booked == [
        (position_id(1), D(1), D(98)),
        (position_id(2), D("0.4"), D(98)),
        (position_id(3), D("0.6"), D(98)),
    ]
    assert {(each.cause, each.estimated) for each in found.guesses} == {(Outside.NETTING, True)}


def test_what_closed_each_other_is_booked_at_one_price_even_if_none_is_known():
    side = the_side([held(1, "1"), replace(held(2, "1", SHORT), entry_price=D(7))], told())
    first, second = explain(side, (), None, NOW).guesses
    assert first.fill.price == second.fill.price


def test_beside_a_long_and_a_short_what_the_sum_lacks_comes_first():
    side = the_side([held(1, "3"), held(2, "1", SHORT)], told("1"))
    (guess,) = explained(side).guesses
    assert (guess.position_id, guess.fill.quantity, guess.cause) == (
        position_id(1),
        1,
        Outside.PERSON,
    )


@pytest.mark.parametrize(
    ("theirs", "others"),
    [(("3", "-1"), {}), (("3", "-1"), {"hedged": True}), (("2",), {"instruments": SPOT})],
)
def test_a_long_and_a_short_that_the_venue_shows_both_stay(theirs, others):
    mine = [held(1, "3"), held(2, "1", SHORT)]
    assert not any(side.is_crossed or side.differs for side in sides(mine, told(*theirs), **others))


def by_margin(cross, isolated):
    pairs = (("cross", cross), ("isolated", isolated))
    return [VenuePosition(BTC, D(each), D(101), margin=name) for name, each in pairs]


@pytest.mark.parametrize(("isolated", "differs"), [("-3", True), ("1", True), ("0", False)])
@pytest.mark.parametrize("hedged", [False, True])
def test_held_in_both_margin_modes_it_differs_whatever_the_sum_is(isolated, differs, hedged):
    first, *_ = sides([held(1, "3")], by_margin("3", isolated), hedged=hedged)
    assert (first.in_both_margins, first.differs) == (differs, differs)


@pytest.mark.parametrize(
    ("mine", "direction", "theirs", "lacks", "shared"),
    [
        ("2", LONG, "2", False, False),
        ("2", LONG, "1.9", True, False),
        ("2", LONG, "-2", True, False),
        ("2", LONG, "-3", True, True),
        ("2", LONG, "2.1", False, True),
        ("2", SHORT, "-1.9", True, False),
        ("2", SHORT, "-2.1", False, True),
    ],
)
def test_less_than_ours_is_missing_and_more_is_shared(mine, direction, theirs, lacks, shared):
    side = the_side([held(1, mine, direction)], told(theirs))
    assert (side.lacks, side.is_shared) == (lacks, shared)


def test_where_nothing_is_ours_nothing_is_missing():
    assert not the_side([], told("2")).lacks


def test_less_than_a_lot_neither_misses_nor_shares():
    side = the_side([held(1, "2")], told("1.9995"))
    assert (side.lacks, side.is_shared) == (False, False)


@pytest.mark.parametrize("unclear", ["in_both_margins", "is_crossed"])
def test_what_cannot_be_told_apart_counts_as_shared(unclear):
    side = replace(the_side([held(1, "2")], told("2")), **{unclear: True})
    assert side.is_shared


def test_both_sides_of_one_symbol_are_two_in_hedge_mode():
    long, short = sides([held(1, "3"), held(2, "1", SHORT)], told("2", "-1"), hedged=True)
    assert (long.direction, long.gap, long.differs) == (LONG, -1, True)
    assert (short.direction, short.gap, short.differs) == (SHORT, 0, False)


def test_less_than_a_lot_is_no_difference():
    assert not the_side([held(1, "1")], told("0.9995")).differs
    assert the_side([held(1, "1")], told("0.999")).differs


def test_more_coins_than_ours_are_somebody_elses():
    side = the_side([held(1, "1")], told("5"), instruments=SPOT)
    assert not side.differs
    assert explained(side).surplus == 0


def test_dust_may_be_missing_on_spot():
    side = the_side([held(1, "1")], told("1"), instruments=SPOT, dust={BTC: D("0.0004")})
    assert not side.differs


def test_a_symbol_that_is_not_configured_differs_by_anything():
    (side,) = compare([], told("0.0001"), {}, {}, hedged=False)
    assert side.differs


# --- what counts ---


def order(status, type_=OrderType.LIMIT, filled="0"):
    terms = OrderTerms("o1", position_id(), BTC, Side.BUY, type_, D(1))
    return Order(terms, status, NOW, filled=D(filled))


@pytest.mark.parametrize(
    ("status", "type_", "resting", "expected"),
    [
        (OrderStatus.SENDING, OrderType.LIMIT, {"o1": D(0)}, True),
        (OrderStatus.UNKNOWN, OrderType.LIMIT, {"o1": D(0)}, True),
        (OrderStatus.CANCEL_PENDING, OrderType.STOP, {"o1": D(0)}, True),
        (OrderStatus.TRIGGERED, OrderType.STOP, {"o1": D(0)}, True),
        (OrderStatus.OPEN, OrderType.MARKET, {"o1": D(0)}, True),
        (OrderStatus.OPEN, OrderType.LIMIT, {"o1": D(0)}, False),
        (OrderStatus.OPEN, OrderType.STOP, {"o1": D(0)}, False),
        (OrderStatus.OPEN, OrderType.LIMIT, {}, True),  # gone from the venue's list
        (OrderStatus.OPEN, OrderType.LIMIT, {"o1": D("0.5")}, True),  # fills on their way
        (OrderStatus.FILLED, OrderType.LIMIT, {}, False),
    ],
)
def test_an_order_in_flight_may_have_changed_the_holdings(status, type_, resting, expected):
    assert is_in_flight(order(status, type_), resting) is expected


def test_one_read_is_only_a_suspicion():
    side = the_side([held(1, "1")], [])
    suspicions, findings = confirm({}, [side], NONE, began_s=0.0, ended_s=0.1)
    assert list(suspicions) == [side.key]
    assert findings == ()


def test_two_reads_that_agree_are_a_finding():
    side = the_side([held(1, "1")], [])
    suspicions, _ = confirm({}, [side], NONE, began_s=0.0, ended_s=0.1)
    _, (finding,) = confirm(suspicions, [side], NONE, began_s=0.6, ended_s=0.7)
    assert finding.age_s == pytest.approx(0.5)


def test_reads_at_the_same_time_are_one():
    side = the_side([held(1, "1")], [])
    suspicions, _ = confirm({}, [side], NONE, began_s=0.0, ended_s=0.5)
    assert confirm(suspicions, [side], NONE, began_s=0.4, ended_s=0.7)[1] == ()


@pytest.mark.parametrize("mine", ["0.5", "2"])
def test_what_changed_between_two_reads_begins_anew(mine):
    side, other = the_side([held(1, "1")], []), the_side([held(1, mine)], [])
    suspicions, _ = confirm({}, [side], NONE, began_s=0.0, ended_s=0.1)
    suspicions, findings = confirm(suspicions, [other], NONE, began_s=9.0, ended_s=9.1)
    assert findings == ()
    assert suspicions[other.key].since_s == 9.1


def test_while_something_is_in_flight_nothing_is_confirmed_and_the_suspicion_stays():
    side = the_side([held(1, "1")], [])
    first, _ = confirm({}, [side], NONE, began_s=0.0, ended_s=0.1)
    second, findings = confirm(first, [side], frozenset({BTC}), began_s=9, ended_s=9.1)
    assert (second, findings) == (first, ())
    _, (finding,) = confirm(second, [side], NONE, began_s=10.1, ended_s=10.2)
    assert finding.age_s == pytest.approx(10)


def test_what_is_read_otherwise_while_something_is_in_flight_ends_a_suspicion():
    mine = [held(1, "1")]
    side, other = the_side(mine, []), the_side(mine, told("0.5"))
    suspicions, _ = confirm({}, [side], NONE, began_s=0.0, ended_s=0.1)
    for each in (other, side):
        suspicions, _ = confirm(suspicions, [each], frozenset({BTC}), began_s=9, ended_s=9.1)
        assert suspicions == {}


reads = st.lists(
    st.tuples(
        st.sampled_from(["right", "wrong", "other"]), st.booleans(), st.floats(0.01, 10), lots
    ),
    max_size=30,
)


@given(reads)
def test_a_finding_was_read_alike_ever_since_with_nothing_in_flight_first_and_last(script):
    """A model: since the first read that counts after the last one that said otherwise."""
    mine = [held(1, "1")]
    answers = {"right": told("1"), "wrong": [], "other": told("0.5")}
    suspicions, now, stood_since = {}, 0.0, None
    for what, is_in_flight_now, pause, _ in script:
        began, ended = now + pause, now + pause + 0.05
        now = ended
        side = the_side(mine, answers[what])
        unsettled = frozenset({BTC}) if is_in_flight_now else NONE
        suspicions, findings = confirm(suspicions, [side], unsettled, began_s=began, ended_s=ended)
        if not side.differs or (stood_since is not None and stood_since[0] != side.venue):
            stood_since = None
        if not side.differs or is_in_flight_now:
            assert findings == ()
        elif stood_since is None:
            stood_since = (side.venue, ended)
            assert findings == ()
        else:
            (finding,) = findings
            assert finding.age_s == pytest.approx(began - stood_since[1])


def test_what_fills_explain_counts_sooner_than_what_nothing_does():
    assert CONFIRM_S < 1 < UNEXPLAINED_S


# --- what it comes down to ---


def test_the_oldest_position_goes_first():
    side = the_side([held(2, "1", minutes=0), held(1, "1", minutes=-5)], told("0.5"))
    found = explained(side, sold("1.5"))
    assert [(each.position_id, each.fill.quantity) for each in found.reductions] == [
        (position_id(1), D(1)),
        (position_id(2), D("0.5")),
    ]
    assert (found.guesses, found.surplus) == ((), 0)


def test_what_others_opened_goes_before_the_oldest():
    adopted = replace(held(2, "0.5", minutes=5), is_adopted=True)
    side = the_side([held(1, "1"), adopted], told("0.7"))
    found = explained(side)
    assert [(each.position_id, each.fill.quantity) for each in found.guesses] == [
        (position_id(2), D("0.5")),
        (position_id(1), D("0.3")),
    ]


def test_pieces_of_one_trade_have_ids_of_their_own_and_share_its_fee():
    side = the_side([held(1, "1"), held(2, "1", minutes=1)], [])
    first, second = explained(side, sold("2", minutes=3)).reductions
    assert (first.fill.trade_id, second.fill.trade_id) == ("t1", "t1+1")
    assert first.fill.fee.amount + second.fill.fee.amount == D("0.1")
    assert booked_of([first.fill, second.fill]) == {TradeId("t1"): D(2)}
    assert whole_trade(second.fill.trade_id) == "t1"


def test_a_liquidation_keeps_its_name():
    side = the_side([held(1, "1")], [])
    (reduction,) = explained(side, sold("1", cause=Outside.LIQUIDATION)).reductions
    assert reduction.cause is Outside.LIQUIDATION


def test_without_a_fill_the_price_is_that_of_the_moment():
    (guess,) = explained(the_side([held(1, "1")], []), price="95").guesses
    assert (guess.fill.price, guess.estimated) == (95, True)


def test_a_trade_older_than_the_position_explains_nothing():
    side = the_side([held(1, "1", minutes=5)], [])
    found = explained(side, sold("1", minutes=1))
    assert found.reductions == ()
    assert len(found.guesses) == 1


def test_what_was_sold_and_bought_back_explains_nothing():
    side = the_side([held(1, "1")], [])
    found = explained(side, sold("1"), sold("1", number=2, side=Side.BUY))
    assert found.reductions == ()


def test_a_trade_that_was_booked_explains_nothing_again():
    side = the_side([held(1, "1")], [])
    assert explained(side, replace(sold("1"), used=D(1))).reductions == ()


def test_more_than_ours_is_a_surplus_of_its_own():
    found = explained(the_side([held(1, "1")], told("1.5")))
    assert (found.reductions, found.surplus, found.surplus_direction) == ((), D("0.5"), LONG)


def test_a_position_turned_around_is_closed_and_the_rest_is_a_surplus():
    found = explained(the_side([held(1, "1")], told("-2")), sold("3"))
    assert [each.fill.quantity for each in found.reductions] == [1]
    assert (found.surplus, found.surplus_direction) == (2, SHORT)


def test_in_hedge_mode_the_other_side_is_left_alone():
    mine = [held(1, "1"), held(2, "1", SHORT)]
    long, short = sides(mine, told("-1"), hedged=True)
    assert [each.position_id for each in explained(long, sold("1")).reductions] == [position_id(1)]
    assert not short.differs


quantities = st.lists(lots, min_size=1, max_size=5)


@given(
    quantities,
    st.sampled_from([LONG, SHORT]),
    st.integers(-6000, 6000).map(lambda count: Decimal(count) / 1000),
    st.lists(st.tuples(lots, st.booleans()), max_size=5),
    st.booleans(),
)
def test_all_of_a_difference_is_accounted_for_and_no_position_loses_more_than_it_has(
    mine, direction, venue, trades, hedged
):
    ours = [held(number, quantity, direction) for number, quantity in enumerate(mine, 1)]
    if hedged:
        venue = abs(venue) * direction.sign
    theirs = told(venue) if venue else []
    seen = [
        sold(quantity, number=number, side=Side.SELL if sells else Side.BUY)
        for number, (quantity, sells) in enumerate(trades)
    ]
    side = next(each for each in sides(ours, theirs, hedged=hedged) if each.held)
    if not side.differs:
        return
    found = explained(side, *seen)
    gone = {each.position_id: D(0) for each in ours}
    for each in (*found.reductions, *found.guesses):
        gone[each.position_id] += each.fill.quantity
        assert each.fill.side is direction.exit_side
    assert all(gone[each.position_id] <= each.remaining for each in ours)
    left = sum(each.remaining - gone[each.position_id] for each in ours) * direction.sign
    assert left + found.surplus * found.surplus_direction.sign == side.venue
    for one in seen:
        used = [
            each.fill.quantity
            for each in found.reductions
            if whole_trade(each.fill.trade_id) == one.outside.fill.trade_id
        ]
        assert sum(used) <= one.outside.fill.quantity
    ids = [(each.position_id, each.fill.trade_id) for each in found.reductions]
    assert len(ids) == len(set(ids))


@given(quantities, st.lists(lots, max_size=4))
def test_the_same_facts_in_another_order_say_the_same(mine, trades):
    ours = [held(number, quantity) for number, quantity in enumerate(mine, 1)]
    seen = [sold(quantity, number=number) for number, quantity in enumerate(trades)]
    side, other = the_side(ours, []), the_side(ours[::-1], [])
    assert explained(side, *seen) == explained(other, *seen[::-1])


# --- the emergency stop ---


def test_the_emergency_stop_is_at_its_distance_from_the_market():
    assert emergency_plan(swap(), LONG, D(100), None, D("0.05")).stop_price == 95
    assert emergency_plan(swap(), SHORT, D(100), None, D("0.05")).stop_price == 105


def test_the_emergency_stop_comes_before_liquidation():
    assert emergency_plan(swap(), LONG, D(100), D(97), D("0.05")).stop_price == D("98.5")
    assert emergency_plan(swap(), SHORT, D(100), D(102), D("0.05")).stop_price == 101
    assert emergency_plan(swap(), LONG, D(100), D(80), D("0.05")).stop_price == 95
