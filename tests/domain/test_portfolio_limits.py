"""Changed limits of an account: what is taken, what is refused, what they stop at once."""

import pytest

from domain import modes
from domain.limit_changes import AccountOverrides
from domain.portfolio import (
    EntriesStopped,
    EquityMarked,
    KillSwitchTripped,
)
from domain.portfolio_events import CashMoved
from domain.portfolio_limits import change_limits, consequences, reload_problem
from domain.risk import AccountLimits
from domain.venue import CashKind
from tests.builders import BTC, NOW, D
from tests.domain.test_portfolio_cash import account, after, holding

LIMITS = AccountLimits()
FREE = AccountLimits(daily_drawdown_ratio=D(1), total_drawdown_ratio=D(1))
TIGHT = AccountLimits(total_drawdown_ratio=D("0.1"))
TOO_MUCH = "the exposure is above the limit: nothing is closed, and nothing opened"


def lost(amount):
    return CashMoved("f1", CashKind.OTHER, "USDT", -D(amount), None, "", NOW)


def change(state, *, marks=None, configured=LIMITS, **wanted):
    return change_limits(
        state,
        configured,
        AccountOverrides(**wanted),
        marks or {},
        reset=False,
        by="ada",
        now=NOW,
    )


# --- a person's change ---


def test_a_limit_of_an_account_that_makes_no_sense_is_refused():
    refusal = change(account(), total_drawdown_ratio=D("1.5"))

    assert refusal.rule == "LIMIT_OUT_OF_BOUNDS"
    assert "total_drawdown_ratio" in refusal.message


def test_a_limit_of_an_account_that_is_so_already_changes_nothing():
    state = account(*change(account(), max_positions=2))

    assert change(state, max_positions=2) == ()


def test_while_a_drawdown_is_unknown_a_lower_kill_switch_waits_and_other_limits_do_not():
    state = account(*holding(1, "1"))

    assert change(state, total_drawdown_ratio=D("0.1")).rule == "NO_PRICE"
    (event,) = change(state, total_drawdown_ratio=D("0.2"), max_positions=1)
    assert event.new == AccountLimits(max_positions=1), "the kill switch stays where it was"
    (event,) = change(state, total_drawdown_ratio=D("0.3"))
    assert event.new.total_drawdown_ratio == D("0.3"), "a higher one closes nothing"
    (event,) = change(state, marks={BTC: D(100)}, total_drawdown_ratio=D("0.1"))
    assert event.new.total_drawdown_ratio == D("0.1")


# --- another configuration ---


def test_a_configured_kill_switch_below_the_present_drawdown_is_not_put_in_force():
    state = account(lost(100))

    assert reload_problem(state, LIMITS, TIGHT, {}).rule == "LIMIT_PASSED"
    above = AccountLimits(total_drawdown_ratio=D("0.11"))
    assert reload_problem(state, LIMITS, above, {}) is None


@pytest.mark.parametrize("before", [TIGHT, AccountLimits(total_drawdown_ratio=D("0.05"))])
def test_a_configured_kill_switch_that_is_no_lower_is_put_in_force_whatever_is_lost(before):
    assert reload_problem(account(lost(100)), before, TIGHT, {}) is None


def test_what_is_configured_below_a_persons_kill_switch_changes_nothing():
    state = account(*change(account(), total_drawdown_ratio=D("0.5")), lost(100))

    assert reload_problem(state, LIMITS, TIGHT, {}) is None


def test_a_kill_switch_that_has_fired_may_be_configured_to_anything_beside_another_cause():
    day = modes.operator_stop("ada")
    tripped = KillSwitchTripped(drawdown=D("0.2"), limit=D("0.2"), equity=D(800), at=NOW)
    state = account(lost(200), EntriesStopped(cause=day, at=NOW))

    assert reload_problem(state, LIMITS, TIGHT, {}).rule == "LIMIT_PASSED", "it has not fired"
    assert reload_problem(after(state, tripped), LIMITS, TIGHT, {}) is None


# --- what new limits stop ---


@pytest.mark.parametrize(("most", "said"), [("2", ""), ("1.99", TOO_MUCH)])
def test_an_exposure_above_a_new_limit_is_said(most, said):
    """2000 held with an equity of 1000 is twice that, and may be."""
    state = account(*holding(1, "20"))
    limits = AccountLimits(max_leverage=D(most))

    assert consequences(state, limits, {BTC: D(100)}) == said


@pytest.mark.parametrize(
    ("limits", "is_beyond"),
    [
        ({"daily_drawdown_ratio": D("0.1")}, True),
        ({"daily_drawdown_ratio": D("0.11")}, False),
        ({"daily_drawdown_ratio": D(1), "daily_loss_cap": D(100)}, True),
        ({"daily_drawdown_ratio": D(1), "daily_loss_cap": D("100.01")}, False),
    ],
)
def test_a_loss_of_today_is_beyond_a_new_limit_as_soon_as_it_is_as_large(limits, is_beyond):
    said = consequences(account(lost(100)), AccountLimits(**limits), {})

    assert said.startswith("today's loss is beyond the limit") is is_beyond
    assert bool(said) is is_beyond


@pytest.mark.parametrize("code", [modes.DAILY_DRAWDOWN, modes.DAILY_LOSS])
def test_a_wider_daily_limit_does_not_lift_what_was_stopped_by_the_one_before(code):
    stop = modes.ModeCause(code=code, mode=modes.Mode.NO_ENTRY, message="", way_out="")

    said = consequences(account(EntriesStopped(cause=stop, at=NOW)), FREE, {})

    assert said.startswith("entries stay stopped until")


def test_all_that_new_limits_stop_is_said():
    state = account(*holding(1, "20"), EquityMarked(D(1000), D(1000), NOW))
    limits = AccountLimits(max_positions=1, max_leverage=D(1))

    many, exposed, loss = consequences(state, limits, {BTC: D(95)}).split("; ")

    assert many.startswith("1 of at most 1 positions are held: nothing is closed")
    assert exposed == TOO_MUCH
    assert loss.startswith("today's loss is beyond the limit")
