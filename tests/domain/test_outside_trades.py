"""What trades of others explain of a difference: each of its own position, each part of it once."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.ids import NO_ORDER, Symbol, TradeId
from domain.instrument import Direction, Side
from domain.reconciliation import booked_of, confirm, explain
from domain.venue import Outside
from tests.builders import NOW, D, a_fill, position_id
from tests.domain.test_reconciliation import (
    NONE,
    explained,
    held,
    sides,
    sold,
    the_side,
    told,
)

LONG, SHORT = Direction.LONG, Direction.SHORT


def of_side(seen, direction):
    return replace(seen, outside=replace(seen.outside, direction=direction))


def of_symbol(seen, symbol):
    fill = replace(seen.outside.fill, symbol=Symbol(symbol))
    return replace(seen, outside=replace(seen.outside, fill=fill))


def at_second(seconds):
    fill = replace(
        a_fill("1", "99", Side.SELL, NO_ORDER, "t1"), at=NOW + timedelta(seconds=seconds)
    )
    seen = sold("1")
    return replace(seen, outside=replace(seen.outside, fill=fill))


def pieces(found):
    return [(each.fill.trade_id, each.fill.quantity) for each in found.reductions]


# --- each part of a trade is used once ---


def test_of_a_trade_that_is_booked_in_part_the_rest_explains_something():
    """Two sold 1 each; of the first 0.6 is booked. Of 1 missing it explains 0.4, the next 0.6."""
    seen = (replace(sold("1", number=1), used=D("0.6")), sold("1", number=2, minutes=2))

    found = explained(the_side([held(1, "1")], []), *seen)

    assert pieces(found) == [("t1+0.6", D("0.4")), ("t2", D("0.6"))]
    assert [each.fill.fee.amount for each in found.reductions] == [D("0.04"), D("0.06")]
    assert found.guesses == ()


def test_what_is_left_of_the_trades_bounds_what_they_explain_and_the_rest_is_a_guess():
    seen = (replace(sold("1", number=1), used=D("0.6")), sold("0.1", number=2, minutes=2))

    found = explained(the_side([held(1, "1")], []), *seen, price="95")

    assert pieces(found) == [("t1+0.6", D("0.4")), ("t2", D("0.1"))]
    (guess,) = found.guesses
    assert (guess.fill.quantity, guess.fill.price, guess.estimated) == (D("0.5"), 95, True)
    assert guess.fill.fee.amount == 0
    assert guess.fill.side is Side.SELL


def test_pieces_booked_of_two_trades_add_up_to_each():
    side = the_side([held(1, "1"), held(2, "1", minutes=1)], [])
    found = explained(side, sold("1.5", minutes=3), sold("0.5", number=2, minutes=4))

    booked = booked_of(each.fill for each in found.reductions)

    assert booked == {TradeId("t1"): D("1.5"), TradeId("t2"): D("0.5")}
    again = [replace(sold("1.5", minutes=3), used=booked[TradeId("t1")])]
    assert explained(side, *again).reductions == ()


def test_what_was_bought_back_in_part_explains_the_net():
    found = explained(
        the_side([held(1, "1")], told("0.7")), sold("1"), sold("0.9", number=2, side=Side.BUY)
    )

    assert pieces(found) == [("t1", D("0.1"))]
    assert [each.fill.quantity for each in found.guesses] == [D("0.2")]


def test_what_was_bought_back_is_taken_from_what_is_not_booked_yet():
    """Of 1 sold 0.6 is booked, and 0.3 was bought back: 0.1 of what is missing is told."""
    seen = (replace(sold("1"), used=D("0.6")), sold("0.3", number=2, side=Side.BUY))

    assert pieces(explained(the_side([held(1, "1")], []), *seen)) == [("t1+0.6", D("0.1"))]


# --- each is of its own position ---


def test_a_trade_of_another_symbol_explains_nothing_and_takes_nothing_back():
    side = the_side([held(1, "1")], [])

    assert explained(side, of_symbol(sold("1"), "ETH/USDT")).reductions == ()
    bought = of_symbol(sold("1", number=2, side=Side.BUY), "ETH/USDT")
    assert pieces(explained(side, sold("1"), bought)) == [("t1", D(1))]


def test_in_hedge_mode_a_trade_of_the_other_side_explains_nothing_and_takes_nothing_back():
    """A short that somebody opened by selling has not closed the long, nor its end opened it."""
    (side,) = sides([held(1, "1")], [], hedged=True)

    assert explained(side, of_side(sold("1"), SHORT)).reductions == ()
    bought = of_side(sold("1", number=2, side=Side.BUY), SHORT)
    assert pieces(explained(side, of_side(sold("1"), LONG), bought)) == [("t1", D(1))]


def test_a_short_is_closed_by_what_was_bought():
    found = explained(the_side([held(1, "2", SHORT)], told("-0.5")), sold("1.5", side=Side.BUY))

    assert pieces(found) == [("t1", D("1.5"))]
    assert (found.surplus, found.guesses) == (0, ())


@pytest.mark.parametrize(("seconds", "explains"), [(-6, False), (-5, True), (-3, True), (0, True)])
def test_a_trade_is_older_than_a_position_when_clocks_cannot_be_so_far_apart(seconds, explains):
    found = explained(the_side([held(1, "1")], []), at_second(seconds))

    assert bool(found.reductions) is explains
    assert bool(found.guesses) is not explains


# --- a long and a short that closed each other ---


def test_without_a_price_what_closed_each_other_is_booked_at_the_entry_of_the_oldest():
    newer = replace(held(2, "1", SHORT, minutes=1), entry_price=D(7))

    found = explain(the_side([newer, held(1, "1")], told()), (), None, NOW)

    assert [each.fill.price for each in found.guesses] == [100, 100]
    assert {each.cause for each in found.guesses} == {Outside.NETTING}


# --- the two sides of one symbol ---


def test_both_sides_of_one_symbol_are_suspected_and_confirmed_apart():
    mine = [held(1, "1"), held(2, "2", SHORT)]
    long, short = sides(mine, told("0.5"), hedged=True)
    suspicions, _ = confirm({}, [long, short], NONE, began_s=0.0, ended_s=0.1)
    assert len(suspicions) == 2

    still, changed = sides(mine, told("0.5", "-1"), hedged=True)
    _, findings = confirm(suspicions, [still, changed], NONE, began_s=1.0, ended_s=1.1)

    assert [(each.side.direction, each.age_s) for each in findings] == [(LONG, 0.9)]
    assert explained(long).guesses[0].position_id == position_id(1)


def test_a_read_that_begins_as_the_first_one_ends_confirms_nothing():
    side = the_side([held(1, "1")], [])
    suspicions, _ = confirm({}, [side], NONE, began_s=0.0, ended_s=0.5)

    assert confirm(suspicions, [side], NONE, began_s=0.5, ended_s=0.7)[1] == ()
    assert len(confirm(suspicions, [side], NONE, began_s=0.75, ended_s=0.8)[1]) == 1


def test_more_of_a_side_than_ours_in_hedge_mode_closes_nothing():
    _, short = sides([held(1, "1"), held(2, "1", SHORT)], told("1", "-3"), hedged=True)

    found = explained(short, sold("2", side=Side.BUY))

    assert (found.reductions, found.guesses) == ((), ())
    assert (found.surplus, found.surplus_direction) == (2, SHORT)
