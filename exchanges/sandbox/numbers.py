"""Numbers as the venue prints and reads them: plain decimals in text."""

from decimal import ROUND_DOWN, ROUND_UP, Decimal, InvalidOperation
from functools import lru_cache

ZERO = Decimal(0)
ONE = Decimal(1)
_MAX_PLACES = 16
_PLACES = Decimal("1e-16")
_CENT = Decimal("1e-8")
_MAX_TEXT = 40


@lru_cache(16_384)  # the same prices and sizes are printed in row after row
def text(value: Decimal) -> str:
    """Print without exponent and without trailing zeros, at most 16 places: "0.00012"."""
    if not value:
        return "0"
    printed = str(value)
    if "E" in printed:
        printed = format(value, "f")
    point = printed.find(".")
    if point < 0:
        return printed
    if len(printed) - point > _MAX_PLACES + 1:
        printed = format(value.quantize(_PLACES), "f")
    return printed.rstrip("0").rstrip(".")


def parse(printed: object) -> Decimal | None:
    """Read a finite decimal from text; None for anything else."""
    if not isinstance(printed, str) or not printed or len(printed) > _MAX_TEXT:
        return None
    try:
        value = Decimal(printed)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Round toward zero to a multiple of `step`."""
    return (value / step).to_integral_value(rounding=ROUND_DOWN) * step


def cents(value: Decimal) -> Decimal:
    """Round up to 8 places, as money is bound."""
    return value.quantize(_CENT, rounding=ROUND_UP)


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether `value` is a whole number of steps."""
    return value % step == 0
