"""Limits as people and programs see them: what is in force, and what of it a person has set."""

from decimal import Decimal

from daemon.view_text import View, exact, pct, time_text
from domain.limit_changes import applied, given
from domain.portfolio_events import AccountLimitsChanged
from domain.risk import AccountLimits, TraderLimits
from domain.trader_state import TraderLimitsChanged

_PERCENT = "_ratio"


def trader_limits_view(configured: TraderLimits, change: TraderLimitsChanged | None) -> View:
    """Return a trader's limits in force, the configured value of each overridden, and by whom."""
    limits = configured if change is None else applied(configured, change.overrides)
    names = ("max_positions", "max_risk_ratio", "min_confidence", "max_position_ratio")
    return _view(limits, configured, change, names)


def account_limits_view(configured: AccountLimits, change: AccountLimitsChanged | None) -> View:
    """Return the account's limits in the same shape."""
    limits = configured if change is None else applied(configured, change.overrides)
    names = (
        "max_positions",
        "max_leverage",
        "daily_loss_cap",
        "daily_drawdown_ratio",
        "total_drawdown_ratio",
        "balance_buffer_ratio",
    )
    return _view(limits, configured, change, names)


def _view(
    limits: TraderLimits | AccountLimits,
    configured: TraderLimits | AccountLimits,
    change: TraderLimitsChanged | AccountLimitsChanged | None,
    names: tuple[str, ...],
) -> View:
    overridden = {} if change is None else given(change.overrides)
    return {
        "limits": {_name(name): _value(name, getattr(limits, name)) for name in names},
        "configured_limits": {
            _name(name): _value(name, getattr(configured, name)) for name in overridden
        },
        "limits_changed": None if change is None else {"by": change.by, "at": time_text(change.at)},
    }


def _name(name: str) -> str:
    return f"{name.removesuffix(_PERCENT)}_pct" if name.endswith(_PERCENT) else name


def _value(name: str, value: int | Decimal | None) -> object:
    if isinstance(value, Decimal):
        return pct(value) if name.endswith(_PERCENT) else exact(value)
    return value
