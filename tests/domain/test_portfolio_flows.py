"""Which money that moves is booked, and whose funding it is: exact figures."""

import pytest
from msgspec.structs import replace

from domain.ids import Symbol
from domain.instrument import Direction, Side
from domain.portfolio import FillBooked, HoldingAdopted
from domain.portfolio_cash import correct_cash, funding_shares, is_opened, move_cash, open_cash
from domain.portfolio_events import AccountMoved, CashMoved
from domain.portfolio_state import cash
from domain.venue import CashKind
from tests.builders import BTC, NOW, D, a_fill, position_id, swap
from tests.domain.test_portfolio_cash import LATER, MINUTE, NOTHING, account, after, flow, holding

LONG, SHORT = Direction.LONG, Direction.SHORT
ETH = Symbol("ETH/USDT")


def shares(state, amount, **others):
    return funding_shares(state, flow(amount, **others))


def of_eth(number, quantity):
    fill = replace(a_fill(quantity, "100", Side.BUY, f"o{number}"), symbol=ETH)
    traded = swap(symbol=ETH, venue_symbol="ETHUSDT", base="ETH")
    return (
        HoldingAdopted(position_id(number), "manual", traded, LONG, leverage=D(1), at=NOW),
        FillBooked(position_id(number), fill, is_entry=True, at=NOW),
    )


# --- opening ---


def test_the_first_balance_of_a_venue_opens_an_account_and_moving_elsewhere_ends_that():
    state = account(balance="0")
    assert not is_opened(state)

    state = after(state, open_cash(state, D(5000), now=NOW))
    assert is_opened(state)

    assert not is_opened(after(state, AccountMoved("okx", D(0), LATER)))


def test_an_account_that_had_a_balance_of_its_own_opens_with_the_venues():
    state = account(balance="1000")

    opening = open_cash(state, D(400), now=NOW)

    assert opening.amount == -600
    assert cash(after(state, opening)) == 400


def test_what_the_first_balance_does_not_contain_yet_is_booked():
    state = account(balance="0")
    state = after(state, open_cash(state, D(5000), now=LATER, until=NOW))

    assert move_cash(state, flow("-2", number=1, at=NOW), NOTHING) == ()
    (moved,) = move_cash(state, flow("-2", number=2, at=NOW + MINUTE / 2), NOTHING)
    assert after(state, moved).balance == 4998


# --- funding ---


def test_funding_is_shared_by_what_is_held_and_the_last_takes_what_rounding_leaves():
    state = account(*holding(1, "1"), *holding(2, "2"), *holding(3, "3", direction=SHORT))

    assert shares(state, "-3", direction=LONG) == ((position_id(1), D(-1)), (position_id(2), D(-2)))
    assert shares(state, "0.000000000002", direction=LONG) == (
        (position_id(1), D("0.000000000001")),
        (position_id(2), D("0.000000000001")),
    )


def test_funding_is_shared_by_those_of_its_symbol_that_hold_something():
    sold = FillBooked(position_id(2), a_fill("1", "100", Side.SELL, "x"), is_entry=False, at=NOW)
    state = account(*holding(1, "1"), *holding(2, "1"), sold, *of_eth(3, "5"))

    assert shares(state, "-4") == ((position_id(1), D(-4)),)
    assert shares(state, "-4", at=LATER, direction=SHORT) == ()


def test_funding_in_net_mode_is_the_shorts_where_they_outweigh_the_longs():
    state = account(*holding(1, "1"), *holding(2, "3", direction=SHORT))

    assert shares(state, "4") == ((position_id(2), D(4)),)


def test_funding_of_a_long_and_a_short_that_outweigh_each_other_is_of_both():
    state = account(*holding(1, "2"), *holding(2, "2", direction=SHORT))

    assert shares(state, "-4") == ((position_id(1), D(-2)), (position_id(2), D(-2)))


@pytest.mark.parametrize(
    ("amount", "size", "of"),
    [
        ("-6", "2", 1),
        ("6", "2", 1),  # the rate was below zero
        ("3", "1", 2),
        ("-3", "1", 2),
        ("-6", "1.8", 1),  # a part was sold since
        ("3", "1.2", 2),
        ("-3", "1.5", 1),  # as near to one as to the other: longs mostly pay
        ("3", "1.5", 2),
    ],
)
def test_funding_in_hedge_mode_is_of_the_side_that_is_as_large_as_what_was_paid_for(
    amount, size, of
):
    state = account(*holding(1, "2"), *holding(2, "1", direction=SHORT))

    assert shares(state, amount, size=D(size)) == ((position_id(of), D(amount)),)


@pytest.mark.parametrize(("amount", "of"), [("-4", 1), ("4", 2)])
def test_of_two_sides_of_one_size_the_long_is_taken_to_have_paid(amount, of):
    state = account(*holding(1, "2"), *holding(2, "2", direction=SHORT))

    assert shares(state, amount, size=D(2)) == ((position_id(of), D(amount)),)


def test_funding_in_hedge_mode_is_of_the_only_side_that_is_held_whatever_its_size():
    state = account(*holding(1, "2", direction=SHORT))

    assert shares(state, "-4", size=D(3)) == ((position_id(1), D(-4)),)


# --- transfers and corrections keep what the account was worth before them ---


def test_a_transfer_counts_from_equity_and_funding_does_not():
    state = account(*holding(1, "2"))
    marks = {BTC: D(50)}

    (transfer,) = move_cash(state, flow("900", CashKind.TRANSFER), marks)
    (funding,) = move_cash(state, flow("-3"), marks)

    assert transfer == CashMoved(
        "f1", CashKind.TRANSFER, "USDT", D(900), None, "", LATER, equity=D(900)
    )
    assert (funding.equity, funding.shares) == (None, ((position_id(1), D(-3)),))


def test_a_correction_after_a_loss_keeps_the_drawdown_a_fraction():
    """900 of 1000 are left, 90 of them go: the peak goes from 1000 to 900 with them."""
    state = account(*holding(1, "2"))
    (corrected,) = correct_cash(state, D(-90), {BTC: D(50)}, "no flow explains it", now=LATER)

    state = after(state, corrected)

    assert corrected.equity == 900
    assert (state.balance, state.high_water_mark, state.day_start_equity) == (910, 900, 900)
