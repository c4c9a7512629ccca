"""What people type for numbers, read strictly: a wrong one is refused before anything is sent."""

import re
from decimal import Decimal

from msgspec.structs import replace

from daemon.admin_grammar import check_value, invalid
from daemon.admin_requests import TargetRequest
from daemon.cli.console import fail
from domain.errors import Refusal
from domain.money import HUNDRED, ONE, InvalidNumberError, decimal_from

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd])")


def read_amount(argument: str, text: str) -> Decimal | Refusal:
    """Read a number that must be greater than zero; `argument` as the admin grammar names it."""
    return _checked(argument, text, text)


def read_fraction(argument: str, text: str) -> Decimal | Refusal:
    """Read a part: `50%` or `0.5`."""
    if text.endswith("%"):
        return _checked(argument, text[:-1], text, percent=True)
    return read_amount(argument, text)


def amount(argument: str, text: str) -> Decimal:
    """Read like `read_amount`; a refusal ends the command."""
    return _given(read_amount(argument, text))


def optional(argument: str, text: str | None) -> Decimal | None:
    """Read a number that may be left out."""
    return None if text is None else amount(argument, text)


def fraction(argument: str, text: str) -> Decimal:
    """Read like `read_fraction`; a refusal ends the command."""
    return _given(read_fraction(argument, text))


def limit(argument: str, text: str | None) -> Decimal | None:
    """Read a limit that may be left out and may be zero: `2%`, `0.02`, `0`."""
    if text is None:
        return None
    return fraction(argument, text)


def plain_limit(argument: str, text: str | None) -> Decimal | None:
    """Read a limit that is no part of anything and takes no percent, such as `500`."""
    if text is not None and text.strip().endswith("%"):
        refusal = invalid(argument, text, "a percentage; it takes a plain number")
        fail(replace(refusal, remedy="Write the number itself, without a percent sign."))
    return optional(argument, text)


def count(argument: str, text: str | None) -> int | None:
    """Read a whole number that may be left out."""
    if text is None:
        return None
    if not _WHOLE.fullmatch(text.strip()):
        fail(invalid(argument, text, "not a whole number"))
    number = int(text)
    refusal = check_value(argument, number)
    if refusal:
        fail(refusal)
    return number


def target(text: str) -> TargetRequest:
    """Read `PRICE:PART`; the part may be left out and is then the whole."""
    price, colon, part = text.partition(":")
    return TargetRequest(
        price=amount("price", price), part=fraction("part", part) if colon else ONE
    )


def trail(text: str | None) -> tuple[Decimal | None, Decimal | None]:
    """Read `2%` as a ratio or `150` as a distance in quote; return (ratio, distance)."""
    if text is None:
        return None, None
    if text.endswith("%"):
        return fraction("trail_ratio", text), None
    return None, amount("trail_distance", text)


def duration_s(text: str | None) -> float | None:
    """Read `90s`, `15m`, `2h` or `1d`."""
    if text is None:
        return None
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        fail(invalid("max_holding_s", text, "not a duration"))
    seconds = float(found[1]) * _UNITS_S[found[2]]
    refusal = check_value("max_holding_s", seconds)
    if refusal:
        fail(refusal)
    return seconds


def _checked(
    argument: str, digits: str, written: str, *, percent: bool = False
) -> Decimal | Refusal:
    try:
        number = decimal_from(digits.strip())
    except InvalidNumberError:
        return invalid(argument, written, "not a number")
    value = number / HUNDRED if percent else number
    return check_value(argument, value) or value


def _given(read: Decimal | Refusal) -> Decimal:
    if isinstance(read, Refusal):
        fail(read)
    return read
