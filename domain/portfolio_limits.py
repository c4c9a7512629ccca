"""Whether a person's change of an account's limits is taken, and what it leads to."""

from datetime import datetime
from decimal import Decimal

from domain import modes
from domain.errors import Refusal
from domain.limit_changes import AccountOverrides, applied, merged, no_sense, too_many_said
from domain.portfolio_events import AccountLimitsChanged
from domain.portfolio_state import (
    Marks,
    Portfolio,
    daily_drawdown,
    daily_loss,
    drawdown,
    equity,
    exposure,
    limits_of,
    unpriced,
    unvalued,
)
from domain.risk import AccountLimits, percent, shown


def change_limits(
    portfolio: Portfolio,
    configured: AccountLimits,
    wanted: AccountOverrides,
    marks: Marks,
    *,
    reset: bool,
    by: str,
    now: datetime,
    despite_holes: bool = False,
) -> tuple[AccountLimitsChanged, ...] | Refusal:
    """Return the event of a change of limits; none when they are so already.

    With `reset`, all overrides end before those in `wanted` begin. A total drawdown limit that has
    been passed already is refused: it would close everything, and that is asked for by its name.
    `despite_holes` as in `portfolio.mark`: what has no price counts as it does there.
    """
    change = portfolio.limits_change
    before = AccountOverrides() if change is None else change.overrides
    overrides = merged(AccountOverrides() if reset else before, wanted)
    previous = limits_of(portfolio, configured)
    try:
        new = applied(configured, overrides)
    except ValueError as error:
        return no_sense(error)
    if overrides == before:
        return ()
    if new.total_drawdown_ratio < previous.total_drawdown_ratio:
        refusal = _closes_everything(
            portfolio, new.total_drawdown_ratio, marks, despite_holes=despite_holes
        )
        if refusal is not None:
            return refusal
    return (AccountLimitsChanged(overrides=overrides, previous=previous, new=new, by=by, at=now),)


def reload_problem(
    portfolio: Portfolio,
    before: AccountLimits,
    configured: AccountLimits,
    marks: Marks,
    *,
    despite_holes: bool = False,
) -> Refusal | None:
    """Return why other configured limits may not be put in force now; None when they may.

    A kill switch below the present drawdown would close everything within the second.
    """
    new = limits_of(portfolio, configured).total_drawdown_ratio
    if new >= limits_of(portfolio, before).total_drawdown_ratio:
        return None
    return _closes_everything(portfolio, new, marks, despite_holes=despite_holes)


def consequences(portfolio: Portfolio, limits: AccountLimits, marks: Marks) -> str:
    """Say what new limits stop at once; empty when nothing. They close nothing."""
    said = []
    too_many = too_many_said(len(portfolio.holdings), limits.max_positions)
    if too_many:
        said.append(too_many)
    worth = equity(portfolio, marks)
    if exposure(portfolio, marks) > limits.max_leverage * worth:
        said.append("the exposure is above the limit: nothing is closed, and nothing opened")
    loss, cap = daily_loss(portfolio, marks), limits.daily_loss_cap
    if daily_drawdown(portfolio, marks) >= limits.daily_drawdown_ratio or (
        cap is not None and loss >= cap
    ):
        said.append("today's loss is beyond the limit: entries stop until 00:01 UTC")
    codes = {cause.code for cause in portfolio.causes}
    if codes & {modes.DAILY_DRAWDOWN, modes.DAILY_LOSS}:
        said.append("entries stay stopped until 00:01 UTC by the limit that was reached")
    return "; ".join(said)


def _closes_everything(
    portfolio: Portfolio, limit: Decimal, marks: Marks, *, despite_holes: bool
) -> Refusal | None:
    """Return why the kill switch may not be set to `limit`; None when it would not trip."""
    if any(cause.code == modes.KILL_SWITCH for cause in portfolio.causes):
        return None
    missing = unvalued(portfolio, marks) if despite_holes else unpriced(portfolio, marks)
    if missing:
        return Refusal(
            rule="NO_PRICE",
            message=f"Without a price of {', '.join(missing)} the drawdown is not known.",
            remedy="Wait for the feed: `holdfast status` shows its age.",
        )
    now = drawdown(portfolio, marks)
    if now < limit:
        return None
    return Refusal(
        rule="LIMIT_PASSED",
        message=f"Equity is {percent(round(now, 4))} below its peak: a kill switch at "
        f"{percent(limit)} would close everything at once.",
        remedy=f"Set it above {percent(round(now, 4))}; to close everything: holdfast close --all.",
        actual=shown(now),
        limit=shown(limit),
    )
