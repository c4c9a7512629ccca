"""Limits that a person sets while the daemon runs: they override what is configured.

Only what is given is overridden; the rest stays as configured, also when the configuration changes
later. Nothing that is open is ever closed by it: what exceeds a lowered limit stays, guarded, and
nothing is opened or added until there is room again.
"""

from decimal import Decimal
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from domain.errors import Refusal
from domain.risk import AccountLimits, TraderLimits


class TraderOverrides(msgspec.Struct, frozen=True):
    """Limits of a trader that replace the configured ones; None: as configured."""

    max_positions: int | None = None
    max_risk_ratio: Decimal | None = None
    min_confidence: Decimal | None = None
    max_position_ratio: Decimal | None = None


class AccountOverrides(msgspec.Struct, frozen=True):
    """Limits of an account that replace the configured ones; None: as configured."""

    max_positions: int | None = None
    max_leverage: Decimal | None = None
    daily_loss_cap: Decimal | None = None  # quote
    daily_drawdown_ratio: Decimal | None = None
    total_drawdown_ratio: Decimal | None = None
    balance_buffer_ratio: Decimal | None = None


Overrides = TypeVar("Overrides", TraderOverrides, AccountOverrides)
Limits = TypeVar("Limits", TraderLimits, AccountLimits)


def given(overrides: TraderOverrides | AccountOverrides) -> dict[str, int | Decimal]:
    """Return what is overridden, by its name in the configuration."""
    fields = msgspec.structs.asdict(overrides)
    return {name: value for name, value in fields.items() if value is not None}


def merged(before: Overrides, wanted: Overrides) -> Overrides:
    """Return `before` with what `wanted` gives in its place."""
    return replace(before, **given(wanted))


def applied(configured: Limits, overrides: TraderOverrides | AccountOverrides) -> Limits:
    """Return the limits in force. Raises `ValueError` when one makes no sense."""
    changes = given(overrides)
    return replace(configured, **changes) if changes else configured


def too_many_said(held: int, most: int) -> str:
    """Say what a limit on positions stops at once; empty when there is room."""
    if held < most:
        return ""
    if not held:
        return "nothing is opened"
    closed = f"{held} of at most {most} positions are held: nothing is closed"
    until = {0: "", 1: " until none is held"}.get(most, f" until fewer than {most} are held")
    return f"{closed}, and nothing opened{until}"


def no_sense(error: ValueError) -> Refusal:
    """Return the refusal of a limit out of bounds; the error says what would pass."""
    return Refusal("LIMIT_OUT_OF_BOUNDS", f"{error}.", "Give a limit within these bounds.")
