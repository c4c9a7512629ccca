"""Limits in words: what is in force, and what of it somebody has set."""

from collections.abc import Iterable

from daemon.cli.answers import mapping_of
from daemon.cli.cells import short_time
from daemon.cli.console import Row, clean
from daemon.words import short_number

_PERCENT = "_pct"


def limits_in_force(answer: Row) -> str:
    """Return every limit, with the configured one where it is overridden."""
    return _listed(answer, mapping_of(answer.get("limits")))


def limits_set(answer: Row) -> str:
    """Return the limits that override the configuration, and by whom; empty when none does."""
    overridden = mapping_of(answer.get("configured_limits"))
    change = mapping_of(answer.get("limits_changed"))
    if not overridden:
        return ""
    when = short_time(change.get("at"))
    return f"{_listed(answer, overridden)}; set by {clean(change.get('by'))} at {when}"


def _listed(answer: Row, names: Iterable[str]) -> str:
    limits = mapping_of(answer.get("limits"))
    configured = mapping_of(answer.get("configured_limits"))
    return ", ".join(
        f"{name.removesuffix(_PERCENT).replace('_', ' ')} {_said(name, limits.get(name))}"
        + (f" (configured: {_said(name, configured[name])})" if name in configured else "")
        for name in names
    )


def _said(name: str, value: object) -> str:
    if value is None:
        return "none"
    return short_number(value) + (" %" if name.endswith(_PERCENT) else "")
