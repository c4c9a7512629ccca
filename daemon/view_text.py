"""How values are written for people and programs.

Money is text in plain notation: exact where somebody set it, up to eight decimals where it is
computed. Percentages end in `_pct`, durations in `_s`, times are ISO 8601 in UTC. What is not known
is null, never 0.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum

import msgspec

from domain.money import HUNDRED, plain
from domain.risk import shown

View = dict[str, object]


def jsonable(value: object) -> object:
    """Turn any domain value into plain JSON values; money as text."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Decimal):
        return plain(value) if value.is_finite() else str(value)
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, Enum):
        return jsonable(value.value)
    if isinstance(value, msgspec.Struct):
        return {name: jsonable(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(jsonable(name)): jsonable(item) for name, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted((jsonable(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return str(value)


def exact(value: Decimal | None) -> str | None:
    """Write a number that somebody set."""
    return None if value is None else plain(value)


def computed(value: Decimal) -> str:
    """Write a number that came out of a calculation."""
    return shown(value)


def pct(ratio: Decimal) -> str:
    """Write a fraction as percent: 0.02 is "2"."""
    return shown(round(ratio * HUNDRED, 4))


def time_text(at: datetime | None) -> str | None:
    """Write a moment."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
