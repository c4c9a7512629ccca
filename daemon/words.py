"""Figures and codes as people say them; JSON keeps them exact."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from domain.money import ZERO

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_CROSSED = {
    "stops": "stop",
    "trails": "trailing stop",
    "targets": "target",
    "breakevens": "breakeven level",
}
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


def alike(*values: object) -> Callable[[object], str]:
    """Return how to print prices of one symbol: as short as all of them allow, with equal decimals.

    154.60 beside 154.62, but 60,000 beside 61,000.
    """
    places = max((_places(short_number(value)) for value in values), default=0)

    def printed(value: object) -> str:
        text = short_number(value)
        if number_of(value) is None:
            return text
        missing = places - _places(text)
        return text + ("." if missing and "." not in text else "") + "0" * missing

    return printed


def _places(text: str) -> int:
    return len(text.partition(".")[2])


def signed_number(value: object, places: int = 2) -> str:
    """Print with its sign."""
    number = number_of(value)
    if number is None:
        return "-" if value is None else str(value)
    return f"{number or ZERO:+,.{places}f}"


def plural(count: object, noun: str) -> str:
    """Return "1 position", "2 positions"."""
    return f"{count} {noun}" if count in {1, "1"} else f"{count} {noun}s"


def spoken_span(seconds_: float) -> str:
    """Print seconds as people say them: 10m34s."""
    seconds = int(seconds_)
    if seconds < _MINUTE:
        return f"{seconds}s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE}m{seconds % _MINUTE:02}s"
    if seconds < _DAY:
        return f"{seconds // _HOUR}h{seconds % _HOUR // _MINUTE:02}m"
    return f"{seconds // _DAY}d{seconds % _DAY // _HOUR:02}h"


def downtime(fields: Mapping[str, object]) -> str:
    """Say what became of a downtime: offline 10m34s, 5 positions restored, 1 stop crossed."""
    seconds = fields.get("offline_s")
    said = [
        f"offline {spoken_span(seconds) if isinstance(seconds, int | float) else '-'}",
        f"{plural(fields.get('positions'), 'position')} restored",
    ]
    crossed = [
        plural(fields[kind], noun)
        for kind, noun in _CROSSED.items()
        if fields.get(kind) not in {None, 0}
    ]
    unchecked = fields.get("unchecked")
    if crossed or not unchecked:
        said.append(f"{' and '.join(crossed) or 'nothing'} crossed")
    if not isinstance(unchecked, Mapping) or not unchecked:
        return ", ".join(said)
    reasons = "; ".join(sorted({str(why) for why in unchecked.values()}))
    return f"{', '.join(said)}; {', '.join(unchecked)} not checked: {reasons}"


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
