"""What an account becomes: its days, its marks, its limits, entries under way."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain import modes
from domain.errors import InvariantError
from domain.instrument import Direction, Side
from domain.limit_changes import AccountOverrides
from domain.portfolio import (
    DayRolled,
    EntryReserved,
    EquityMarked,
    FillBooked,
    comes_too_early,
    mark,
)
from domain.portfolio_events import (
    AccountLimitsChanged,
    AccountMoved,
    CashMoved,
    LimitsConfigured,
)
from domain.portfolio_state import limits_of, lost_today
from domain.risk import AccountLimits
from domain.venue import CashKind
from tests.builders import BTC, NOW, D, a_fill, position_id, swap
from tests.domain.test_portfolio_cash import account, after, holding

LIMITS = AccountLimits()
DAY = timedelta(days=1)
DAY_2, DAY_3 = (NOW + DAY).date(), (NOW + 2 * DAY).date()


def reserved(order, quantity="1"):
    return EntryReserved(
        position_id=position_id(),
        client_order_id=order,
        trader="manual",
        instrument=swap(),
        direction=Direction.LONG,
        quantity=D(quantity),
        price=D(100),
        amount=D(quantity) * 100,
        leverage=D(1),
        risk=None,
        at=NOW,
    )


def moved(amount, kind=CashKind.OTHER, asset="USDT", flow_id="f1", **others):
    return CashMoved(flow_id, kind, asset, D(amount), None, "", NOW, **others)


# --- days and marks ---


def test_a_day_without_a_mark_gives_the_next_one_nothing_to_start_with():
    """Prices had holes all day: what was marked two days ago is not what that day ended with."""
    state = account(EquityMarked(D(1000), D(1000), NOW), DayRolled(DAY_2, D(1000), NOW + DAY))
    state = after(state, moved("-100"))

    rolled, *_ = mark(state, {}, LIMITS, NOW + 2 * DAY)

    assert rolled == DayRolled(DAY_3, D(900), NOW + 2 * DAY)
    assert after(state, rolled).day_start_equity == 900


def test_a_day_that_the_clock_takes_back_is_journaled_with_the_start_that_stays():
    state = account(DayRolled(DAY_2, D(900), NOW + DAY), EquityMarked(D(950), D(950), NOW + DAY))

    rolled, *_ = mark(state, {}, LIMITS, NOW)

    assert rolled == DayRolled(NOW.date(), D(900), NOW)


MIDNIGHT = (NOW + DAY).replace(hour=0)
HOUR, MOMENT = timedelta(hours=1), timedelta(microseconds=1)


def stopped_by_the_day_and_set_back(back_at=MIDNIGHT - HOUR):
    """The second day reaches its limit, then the clock is set back over midnight."""
    state = account(EquityMarked(D(1000), D(1000), NOW), DayRolled(DAY_2, D(1000), MIDNIGHT))
    state = after(state, moved("-100"))
    state = after(state, *mark(state, {}, LIMITS, MIDNIGHT))
    return after(state, *mark(state, {}, LIMITS, back_at))


def test_a_day_that_was_taken_back_does_not_begin_a_second_time():
    state = stopped_by_the_day_and_set_back()

    rolled, *_ = mark(state, {}, LIMITS, MIDNIGHT)
    again = after(state, rolled)

    assert rolled == DayRolled(DAY_2, D(1000), MIDNIGHT)
    assert (again.day, again.day_start_equity) == (DAY_2, 1000)
    assert [cause.code for cause in again.causes] == [modes.DAILY_DRAWDOWN]
    assert again.causes == state.causes


def test_a_day_that_was_taken_back_hours_before_it_begins_as_ever():
    """The clock was wrong all along: that day was not there yet."""
    state = stopped_by_the_day_and_set_back(MIDNIGHT - HOUR - MOMENT)

    rolled, *_ = mark(state, {}, LIMITS, MIDNIGHT)
    begun = after(state, rolled)

    assert rolled == DayRolled(DAY_2, D(900), MIDNIGHT)
    assert (begun.day, begun.day_start_equity, begun.causes) == (DAY_2, 900, ())
    assert (begun.day_taken_back, begun.taken_back_at) == (None, None)


def test_a_day_of_which_an_older_snapshot_only_knows_that_it_was_taken_back_does_not_begin_again():
    state = replace(stopped_by_the_day_and_set_back(NOW), taken_back_at=None)

    state = after(state, *mark(state, {}, LIMITS, MIDNIGHT))

    assert [cause.code for cause in state.causes] == [modes.DAILY_DRAWDOWN]


def test_the_day_after_one_that_was_taken_back_begins_as_ever():
    state = stopped_by_the_day_and_set_back()
    state = after(state, *mark(state, {}, LIMITS, MIDNIGHT))

    state = after(state, *mark(state, {}, LIMITS, NOW + 2 * DAY))

    assert (state.day, state.day_start_equity, state.causes) == (DAY_3, 900, ())


def test_a_day_that_was_taken_back_long_ago_begins_like_any():
    """The clock was two days ahead for a while: the third day comes after the second."""
    state = account(DayRolled(DAY_3, D(900), NOW + 2 * DAY), DayRolled(NOW.date(), D(900), NOW))

    state = after(state, DayRolled(DAY_2, D(800), NOW + DAY), DayRolled(DAY_3, D(700), NOW))

    assert (state.day, state.day_start_equity) == (DAY_3, 700)


def test_an_account_that_moves_keeps_in_mind_which_day_was_taken_back():
    state = stopped_by_the_day_and_set_back()
    moved_on = after(state, AccountMoved("okx", D(500), NOW))

    again = after(moved_on, DayRolled(DAY_2, D(500), MIDNIGHT))

    assert moved_on.taken_back_at == state.taken_back_at == MIDNIGHT - HOUR
    assert again.causes == state.causes != ()


def test_a_mark_after_midnight_of_a_day_that_has_not_begun_is_not_its_last():
    state = account(EquityMarked(D(990), D(990), NOW), EquityMarked(D(900), D(900), NOW + DAY))

    assert (state.last_equity, state.marked_at) == (990, NOW + DAY)


def test_what_transfers_did_to_the_start_of_a_day_ends_with_it():
    """800 of 900 are withdrawn after a loss of 100: the start is 111.11, the loss of the day 100.

    On the next day the loss counts from that day's start, whatever was withdrawn before.
    """
    state = account(moved("-100"), moved("-800", CashKind.TRANSFER, flow_id="f2", equity=D(900)))
    assert round(state.day_start_equity, 2) == D("111.11")
    assert round(lost_today(state, D(100)), 9) == 100

    state = after(state, DayRolled(DAY_2, D(100), NOW + DAY))

    assert lost_today(state, D(97)) == 3


def test_where_no_symbol_held_has_a_price_nothing_is_judged_however_long_it_lasts():
    """Though a loss that is realized would reach the limit: a gain not realized may outweigh it."""
    state = account(*holding(1, "1"), moved("-100"))

    assert mark(state, {}, LIMITS, NOW, despite_holes=True) == ()
    stopped, *_ = mark(state, {BTC: D(100)}, LIMITS, NOW)
    assert stopped.cause.code == modes.DAILY_DRAWDOWN


# --- limits ---


def test_limits_that_a_person_set_stand_whatever_is_configured_later():
    overrides = AccountOverrides(max_positions=2)
    tight = AccountLimits(max_positions=2)
    state = account(AccountLimitsChanged(overrides, LIMITS, tight, "ada", NOW))

    assert limits_of(state, AccountLimits(daily_loss_cap=D(50))) == AccountLimits(
        max_positions=2, daily_loss_cap=D(50)
    )
    configured = LimitsConfigured(LIMITS, NOW)
    assert after(state, configured) == state


# --- entries under way ---


def test_while_one_of_two_entries_is_to_come_an_exit_of_more_than_is_booked_waits():
    state = account(reserved("o1"), reserved("o2"))
    state = after(
        state, FillBooked(position_id(), a_fill("1", "100", Side.BUY, "o1"), is_entry=True, at=NOW)
    )
    held = state.holdings[position_id()]

    assert (list(state.reservations), state.reserved, state.margin) == (["o2"], 100, 100)
    assert comes_too_early(held, a_fill("1.5", "110", Side.SELL, "x"))


# --- money ---


def test_money_of_another_asset_is_noted_and_moves_no_balance():
    state = account(moved("3", asset="BTC"))

    assert (state.balance, state.flows) == (1000, {"f1": NOW})


def test_an_account_does_not_move_while_something_is_held():
    with pytest.raises(InvariantError, match="open positions"):
        account(*holding(1, "1"), AccountMoved("okx", D(0), NOW))
