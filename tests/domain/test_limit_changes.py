"""Limits that a person sets while the daemon runs."""

import pytest

from domain.errors import Refusal
from domain.ids import AccountName
from domain.limit_changes import (
    AccountOverrides,
    TraderOverrides,
    applied,
    given,
    merged,
    too_many_said,
)
from domain.modes import KILL_SWITCH
from domain.portfolio_events import DayRolled, EquityMarked, KillSwitchTripped, PortfolioOpened
from domain.portfolio_life import evolve
from domain.portfolio_limits import change_limits, consequences, reload_problem
from domain.portfolio_state import limits_of
from domain.risk import AccountLimits, TraderLimits
from domain.trader_state import Trader, TraderLimitsChanged
from domain.trader_state import change_limits as change_trader
from domain.trader_state import evolve as evolve_trader
from tests.builders import NOW, D
from tests.domain.test_portfolio import entered

CONFIGURED = TraderLimits(max_positions=3, max_risk_ratio=D("0.02"))
ACCOUNT = AccountLimits()
CLOSED = "{} of at most {} positions are held: nothing is closed, and nothing opened"


def change(trader, *, reset=False, **wanted):
    return change_trader(
        trader, CONFIGURED, TraderOverrides(**wanted), reset=reset, by="ada", now=NOW
    )


def changed(trader, **wanted):
    (event,) = change(trader, **wanted)
    return evolve_trader(trader, event)


def test_only_what_is_given_is_overridden():
    overrides = merged(TraderOverrides(max_positions=1), TraderOverrides(min_confidence=D(0)))

    assert given(overrides) == {"max_positions": 1, "min_confidence": 0}
    assert applied(CONFIGURED, overrides) == TraderLimits(max_positions=1)
    assert applied(TraderLimits(max_risk_ratio=D("0.01")), overrides).max_risk_ratio == D("0.01")


def test_a_change_says_who_what_before_and_after():
    (event,) = change(Trader(), max_positions=1)

    assert event == TraderLimitsChanged(
        overrides=TraderOverrides(max_positions=1),
        previous=CONFIGURED,
        new=TraderLimits(max_positions=1),
        by="ada",
        at=NOW,
    )


def test_changes_add_up_until_a_reset_takes_all_of_them_back():
    trader = changed(changed(Trader(), max_positions=1), max_risk_ratio=D("0.005"))

    assert given(trader.overrides) == {"max_positions": 1, "max_risk_ratio": D("0.005")}
    assert given(changed(trader, reset=True).overrides) == {}
    again = changed(trader, reset=True, min_confidence=D("0.7"))
    assert given(again.overrides) == {"min_confidence": D("0.7")}


def test_a_change_to_what_is_so_already_is_none():
    trader = changed(Trader(), max_positions=1)

    assert change(trader, max_positions=1) == ()
    assert change(Trader(), reset=True) == ()


def test_a_limit_is_overridden_though_it_is_what_is_configured():
    """Should the configuration change, it stays."""
    (event,) = change(Trader(), max_positions=3)

    assert given(event.overrides) == {"max_positions": 3}


@pytest.mark.parametrize(
    "wanted",
    [
        {"max_positions": -1},
        {"max_risk_ratio": D("1.1")},
        {"min_confidence": D("NaN")},
        {"max_position_ratio": D(-1)},
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_with_its_bounds(wanted):
    refusal = change(Trader(), **wanted)

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "LIMIT_OUT_OF_BOUNDS"
    assert next(iter(wanted)) in refusal.message


@pytest.mark.parametrize(
    ("held", "most", "said"),
    [
        (0, 1, ""),
        (0, 0, "nothing is opened"),
        (
            5,
            2,
            CLOSED.format(5, 2) + " until fewer than 2 are held",
        ),
        (3, 1, CLOSED.format(3, 1) + " until none is held"),
        (2, 0, CLOSED.format(2, 0)),
    ],
)
def test_a_limit_below_what_is_held_says_what_it_stops(held, most, said):
    assert too_many_said(held, most) == said


# --- the account ---


def account(balance="10000"):
    opened = PortfolioOpened(account=AccountName("p"), quote="USDT", balance=D(balance), at=NOW)
    return evolve(None, opened)


def fallen():
    """An account 10 % below its peak, and as much below the start of the day."""
    portfolio = account("9000")
    rolled = DayRolled(day=NOW.date(), equity=D(10_000), at=NOW)
    marked = evolve(portfolio, rolled)
    return type(marked)(
        **{name: getattr(marked, name) for name in marked.__struct_fields__}
        | {"high_water_mark": D(10_000)}
    )


def change_account(portfolio, *, reset=False, marks=None, **wanted):
    overrides = AccountOverrides(**wanted)
    return change_limits(portfolio, ACCOUNT, overrides, marks or {}, reset=reset, by="ada", now=NOW)


def test_an_account_goes_by_what_was_set_and_else_by_what_is_configured():
    portfolio = account()
    (event,) = change_account(portfolio, max_positions=2, daily_loss_cap=D(50))

    portfolio = evolve(portfolio, event)

    assert limits_of(portfolio, ACCOUNT) == AccountLimits(max_positions=2, daily_loss_cap=D(50))
    assert (event.by, event.previous, event.new.max_positions) == ("ada", ACCOUNT, 2)
    (back,) = change_account(portfolio, reset=True)
    assert limits_of(evolve(portfolio, back), ACCOUNT) == ACCOUNT


@pytest.mark.parametrize("limit", ["0.1", "0.05"])
def test_a_kill_switch_is_not_set_where_it_would_close_everything_at_once(limit):
    refusal = change_account(fallen(), total_drawdown_ratio=D(limit))

    assert refusal.rule == "LIMIT_PASSED"
    assert "10 %" in refusal.message
    assert refusal.remedy.startswith("Set it above 10 %")
    assert change_account(fallen(), total_drawdown_ratio=D("0.11"))[0].new.total_drawdown_ratio


def test_a_reset_that_lowers_the_kill_switch_below_the_drawdown_is_refused_too():
    portfolio = fallen()
    configured = AccountLimits(total_drawdown_ratio=D("0.05"))
    wide = AccountOverrides(total_drawdown_ratio=D("0.5"))
    (event,) = change_limits(portfolio, configured, wide, {}, reset=False, by="ada", now=NOW)
    portfolio = evolve(portfolio, event)

    refusal = change_limits(
        portfolio, configured, AccountOverrides(), {}, reset=True, by="ada", now=NOW
    )

    assert refusal.rule == "LIMIT_PASSED"


def test_a_kill_switch_goes_by_the_last_price_known_once_there_has_been_none_for_long():
    portfolio = entered(account())
    lower = AccountOverrides(total_drawdown_ratio=D("0.05"))
    asked = {"reset": False, "by": "ada", "now": NOW}

    refusal = change_limits(portfolio, ACCOUNT, lower, {}, **asked)
    assert refusal.rule == "NO_PRICE"
    assert reload_problem(portfolio, ACCOUNT, applied(ACCOUNT, lower), {}).rule == "NO_PRICE"

    assert change_limits(portfolio, ACCOUNT, lower, {}, **asked, despite_holes=True)
    assert not reload_problem(portfolio, ACCOUNT, applied(ACCOUNT, lower), {}, despite_holes=True)
    unknown = evolve(portfolio, EquityMarked(equity=D(10_000), balance=D(10_000), at=NOW))
    refusal = change_limits(unknown, ACCOUNT, lower, {}, **asked, despite_holes=True)
    assert refusal.rule == "NO_PRICE"


def test_a_kill_switch_that_has_fired_may_be_set_to_anything():
    tripped = KillSwitchTripped(drawdown=D("0.2"), limit=D("0.2"), equity=D(8000), at=NOW)
    portfolio = evolve(fallen(), tripped)

    assert [cause.code for cause in portfolio.causes] == [KILL_SWITCH]
    assert change_account(portfolio, total_drawdown_ratio=D("0.01"))


def test_a_daily_limit_that_was_passed_already_says_that_entries_stop():
    said = consequences(fallen(), AccountLimits(daily_drawdown_ratio=D("0.03")), {})
    assert said == "today's loss is beyond the limit: entries stop until 00:01 UTC"
    said = consequences(
        fallen(), AccountLimits(daily_drawdown_ratio=D(1), daily_loss_cap=D(999)), {}
    )
    assert said.startswith("today's loss is beyond the limit")
    assert not consequences(account(), AccountLimits(), {})
