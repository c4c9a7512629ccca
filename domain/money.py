"""Numbers that are money: parsed from text once, rounded to the instrument's grid in one place."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation

import msgspec

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)
BPS = Decimal(10_000)
_MAX_TEXT = 40  # longer than any price, size or balance a venue prints


class InvalidNumberError(ValueError):
    """Text that is no usable amount: empty, not a number, NaN, infinite, out of sign."""


class Fee(msgspec.Struct, frozen=True):
    """What the venue charged for a fill; negative for a rebate."""

    amount: Decimal
    asset: str


def decimal_from(text: str) -> Decimal:
    """Parse a finite decimal from text. Raises `InvalidNumberError`."""
    if len(text) > _MAX_TEXT:
        message = f"{text[:_MAX_TEXT]!r}… is too long for a number"
        raise InvalidNumberError(message)
    try:
        value = Decimal(text)
    except InvalidOperation:
        message = f"{text!r} is not a number"
        raise InvalidNumberError(message) from None
    if not value.is_finite():
        message = f"{text!r} is not a finite number"
        raise InvalidNumberError(message)
    return value


def positive_from(text: str) -> Decimal:
    """Parse a decimal greater than zero, as every price and quantity is.

    Raises `InvalidNumberError`.
    """
    value = decimal_from(text)
    if value <= 0:
        message = f"{text!r} is not greater than zero"
        raise InvalidNumberError(message)
    return value


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` that is not above `value`."""
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the smallest multiple of `step` that is not below `value`."""
    return (value / step).to_integral_value(ROUND_CEILING) * step


def plain(value: Decimal) -> str:
    """Print without exponent or trailing zeros, as people and venues read it."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
