"""Fields of a venue's rows: text that is a number, a time, an id, or nothing.

Each takes a row and the name of a field, and raises `LieError` with that name for what cannot be
believed. "" is how OKX prints that there is none.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from domain.money import InvalidNumberError, decimal_from
from exchanges.rest import LieError, excerpt, stamp_ms

Row = Mapping[str, Any]

_MAX_ID = 64
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?")


def stamp(row: Row, field: str) -> int:
    """Return a time in ms since 1970."""
    try:
        return stamp_ms(row.get(field))
    except LieError as lie:
        raise LieError(f"{field}: {lie}") from None


def text(row: Row, field: str) -> str:
    """Return a field that must be there."""
    value = optional(row, field)
    if not value:
        raise LieError(f"{field} is {excerpt(row.get(field))}, where text is expected")
    return value


def optional(row: Row, field: str) -> str:
    """Return a text; "" when the field is missing."""
    value = row.get(field, "")
    if type(value) is str and (len(value) <= _MAX_ID or not field.endswith("Id")):
        return value
    if value is None:
        return ""
    raise LieError(f"{field} is {excerpt(value)}, where text is expected")


def maybe(row: Row, field: str, *, signed: bool = False) -> Decimal | None:
    """Return a number; None where the venue has none."""
    value = optional(row, field)
    return _decimal(field, value, signed=signed) if value else None


def if_above_zero(row: Row, field: str) -> Decimal | None:
    """Return a number above zero, None for whatever else stands there.

    For fields that only inform: a read is of use without them.
    """
    try:
        value = maybe(row, field)
    except LieError:
        return None
    return value or None


def amount(row: Row, field: str, *, signed: bool = False) -> Decimal:
    """Return a number that must be there; 0 is one."""
    return _decimal(field, text(row, field), signed=signed)


def above_zero(row: Row, field: str) -> Decimal:
    """Return a number above zero that must be there."""
    value = amount(row, field)
    if not value:
        raise LieError(f"{field} is {excerpt(row[field])}, not above zero")
    return value


def _decimal(field: str, value: str, *, signed: bool) -> Decimal:
    """Read plain digits: a decimal would also take " 1 ", "1_0" and digits of other scripts.

    An exponent is taken: the venue prints very small amounts so ("1E-8").
    """
    if not _NUMBER.fullmatch(value) or (value[0] == "-" and not signed):
        raise LieError(f"{field} is {excerpt(value)}, not a number")
    try:
        return decimal_from(value)
    except InvalidNumberError as error:
        raise LieError(f"{field}: {error}") from None
