"""Figures and codes as people say them; JSON keeps them exact."""

from decimal import Decimal

from domain.money import ZERO

_LARGE, _SMALL = Decimal(1000), Decimal(1)
_DIGITS = 6  # of a price below one
_SHORT_ID = 8
_PEOPLE = {"USER_MANUAL": "a person", "RULE_ENGINE": "a rule", "AI_ANALYSIS": "an analysis"}
_DONE = {"buy": "bought", "sell": "sold"}


def number_of(value: object) -> Decimal | None:
    """Return a finite number, or None for what is not one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def short_number(value: object) -> str:
    """Shorten a number: two decimals above a thousand, four above one, else six digits."""
    number = number_of(value)
    if number is None:
        return "-" if value is None else str(value)
    size = abs(number)
    if size >= _LARGE:
        return f"{number:,.2f}".removesuffix(".00")
    if size >= _SMALL or not size:
        return _trimmed(f"{number:.4f}")
    return _trimmed(f"{number:.{min(12, _DIGITS - 1 - number.adjusted())}f}")


def signed_number(value: object, places: int = 2) -> str:
    """Print with its sign."""
    number = number_of(value)
    if number is None:
        return "-" if value is None else str(value)
    return f"{number or ZERO:+,.{places}f}"


def plural(count: object, noun: str) -> str:
    """Return "1 position", "2 positions"."""
    return f"{count} {noun}" if count in {1, "1"} else f"{count} {noun}s"


def spoken(code: object) -> str:
    """Return a code as words: STOP_LOSS is "stop loss"."""
    return "-" if code is None else str(code).replace("_", " ").lower()


def done(side: object) -> str:
    """Return what became of an order of this side: bought, sold."""
    return _DONE.get(str(side), "filled")


def who(code: object) -> str:
    """Return who wanted something."""
    return _PEOPLE.get(str(code), spoken(code))


def times_100(ratio: object) -> Decimal | None:
    """Return a ratio as a percentage."""
    number = number_of(ratio)
    return None if number is None else number * 100


def short_id(value: object) -> str:
    """Return the beginning of an id, enough for a command."""
    return "-" if value is None else str(value)[:_SHORT_ID]


def _trimmed(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
