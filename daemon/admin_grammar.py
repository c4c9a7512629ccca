"""From a line of bytes to a checked request, or to a refusal that names the argument.

Numbers that are money become decimals from their text (a JSON number or a JSON string, never a
float) and are bounded before anybody acts on them: a request that leaves `parse` has no zero,
negative, endless or absurd amount in it. What depends on state (a stop on the wrong side, a
quantity below the lot) is for the owner of that state to judge.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import msgspec

from daemon.admin_requests import (
    COMMANDS,
    Add,
    AnyAdminRequest,
    ModifyTarget,
    Open,
    SetAccountLimits,
    SetTraderLimits,
    TargetRequest,
    TrailStop,
)
from domain.errors import Refusal
from domain.money import ONE, ZERO
from domain.risk import MAX_HOLDING_S, MAX_NUMBER, MAX_TARGETS, percent

MAX_ROWS = 10_000
MAX_COUNT = 1_000_000_000  # as in the configuration
MAX_DEPTH = 100
_SMALLEST = Decimal("1e-12")
_MAX_DAYS = 36_500
_MAX_PATH = 4096
_SHOWN = 60  # characters of a refused value that are repeated
_EXAMPLE = 'Send one JSON object a line, such as {"command": "ping"}.'


class Parsed(msgspec.Struct, frozen=True):
    """A line understood, or why not; with the sender's mark as far as it could be read."""

    request: AnyAdminRequest | Refusal
    id: str | int | None = None


class _Envelope(msgspec.Struct):
    command: str | None = None
    id: str | int | None = None


_DECODER: msgspec.json.Decoder[AnyAdminRequest] = msgspec.json.Decoder(AnyAdminRequest)
_ENVELOPE = msgspec.json.Decoder(_Envelope)


def parse(line: bytes) -> Parsed:
    """Read one line. Whatever the bytes, the result is a checked request or a refusal."""
    try:
        envelope = _ENVELOPE.decode(line)
        if envelope.command not in COMMANDS:
            return Parsed(_unknown_command(envelope.command), envelope.id)
    except msgspec.ValidationError as error:
        return Parsed(_refusal_of(error))
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, nested too deeply
        return Parsed(_malformed(error))
    try:
        request = _DECODER.decode(line)
    except msgspec.ValidationError as error:
        return Parsed(_refusal_of(error), envelope.id)
    except ValueError as error:  # not UTF-8, in a part that the envelope passed over
        return Parsed(_malformed(error), envelope.id)
    return Parsed(check(request) or request, envelope.id)


def _malformed(error: Exception) -> Refusal:
    return Refusal("MALFORMED", f"The line is not a JSON object: {error}.", _EXAMPLE)


def _unknown_command(command: str | None) -> Refusal:
    known = f"Known: {', '.join(COMMANDS)}."
    if command is None:
        return Refusal("MISSING_ARGUMENT", "The argument 'command' is missing.", known)
    shown = _short(command)
    return Refusal("UNKNOWN_COMMAND", f"There is no command {shown!r}.", known, actual=shown)


_FINDING = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_ABOUT_FIELD = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)


def _refusal_of(error: msgspec.ValidationError) -> Refusal:
    """Say msgspec's finding in our words, naming the argument."""
    finding = _FINDING.fullmatch(str(error))
    assert finding is not None  # the pattern matches any text
    what, path = finding["what"], _short(finding["path"] or "")
    about = _ABOUT_FIELD.fullmatch(what)
    if about:
        argument = _short(f"{path}.{about[2]}" if path else about[2])
        if about[1] == "contains unknown":
            message = f"There is no argument {argument!r}."
            return Refusal("UNKNOWN_ARGUMENT", message, "Leave it out.", actual=argument)
        message = f"The argument {argument!r} is missing."
        return Refusal("MISSING_ARGUMENT", message, f"Give {argument}.")
    if not path:
        return Refusal("MALFORMED", f"{what}.", _EXAMPLE)
    rule = _rule_of(re.sub(r"\[.*?\]", "", path).rpartition(".")[2])
    return Refusal(rule, f"The argument {path!r} is not usable: {what}.", _REMEDIES.get(rule, ""))


def check(request: AnyAdminRequest) -> Refusal | None:
    """Refuse a request whose values make no sense by themselves."""
    for argument in request.__struct_fields__:
        refusal = check_value(argument, getattr(request, argument))
        if refusal:
            return refusal
    match request:
        case Open():
            return _check_size(request) or _check_trail(request, required=False)
        case Add():
            return _check_size(request)
        case SetTraderLimits() | SetAccountLimits():
            return _check_limits(request)
        case TrailStop():
            return _check_trail(request, required=True)
        case ModifyTarget(price=None, part=None):
            message = "Nothing to change is given."
            return Refusal("MISSING_ARGUMENT", message, "Give a price, a part or both.")
    return None


def _check_limits(request: SetTraderLimits | SetAccountLimits) -> Refusal | None:
    """Refuse a change of nothing."""
    arguments = set(request.__struct_fields__) - {"id", "trader", "reset"}
    if request.reset or any(getattr(request, name) is not None for name in arguments):
        return None
    message = "No limit to change is given."
    return Refusal("MISSING_ARGUMENT", message, "Give at least one, or reset.")


def _check_size(request: Open | Add) -> Refusal | None:
    sizes = sum(size is not None for size in (request.quantity, request.notional, request.risk))
    if sizes == 1:
        return None
    what = "A position" if isinstance(request, Open) else "An addition"
    return Refusal(
        rule="AMBIGUOUS_SIZE" if sizes else "MISSING_SIZE",
        message=f"{what} needs one size, {sizes} are given.",
        remedy="Give one of quantity, notional and risk.",
        actual=str(sizes),
        limit="1",
    )


def _check_trail(request: Open | TrailStop, *, required: bool) -> Refusal | None:
    given = (request.trail_ratio is not None) + (request.trail_distance is not None)
    if given == 1 or (given == 0 and not required):
        return None
    message = "A trailing stop follows by a ratio or by a distance."
    return Refusal("INVALID_TRAIL", message, "Give one of trail_ratio and trail_distance.")


def check_value(argument: str, value: object) -> Refusal | None:
    """Refuse a value that `argument` cannot have in any command; an omitted one (None) passes."""
    _, rule = _ARGUMENTS.get(argument, _UNBOUNDED)
    return rule(argument, value) if value is not None else None


def invalid(argument: str, value: object, why: str) -> Refusal:
    """Refuse one argument's value; `why` completes "… is"."""
    rule = _rule_of(argument)
    actual = _short(str(value))
    shown = repr(actual)
    if argument in _SHARES and isinstance(value, Decimal) and _is_printable(value):
        shown = percent(value)
    message = f"The {_spoken(argument)} {shown} is {why}."
    return Refusal(rule, message, _REMEDIES.get(rule, ""), actual=actual)


def _is_printable(number: Decimal) -> bool:
    """Whether it is short without an exponent."""
    return number.is_finite() and (not number or _SMALLEST <= number.copy_abs() <= MAX_NUMBER)


def _spoken(argument: str) -> str:
    """Return the name of an argument as messages have it: `max_risk_ratio` is the max risk."""
    return _SPOKEN.get(argument, argument.removesuffix("_ratio").replace("_", " "))


def _rule_of(argument: str) -> str:
    return _ARGUMENTS.get(argument, _UNBOUNDED)[0]


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _amount(argument: str, value: Decimal) -> Refusal | None:
    if not value.is_finite():
        return invalid(argument, value, "not a finite number")
    if value <= ZERO:
        return invalid(argument, value, "not greater than zero")
    if not _SMALLEST <= value <= MAX_NUMBER:
        return invalid(argument, value, f"not between {_SMALLEST} and {MAX_NUMBER}")
    return None


def _fraction(argument: str, value: Decimal) -> Refusal | None:
    refusal = _amount(argument, value)  # first: a NaN cannot be compared
    return refusal or (invalid(argument, value, "more than the whole") if value > ONE else None)


def _share(least: int, most: int) -> Callable[[str, Decimal], Refusal | None]:
    """Return a check of a ratio with the bounds that the configuration has."""

    def checked(argument: str, value: Decimal) -> Refusal | None:
        if value.is_finite() and least <= value <= most:
            return None
        bounds = f"{percent(Decimal(least))} and {percent(Decimal(most))}"
        return invalid(argument, value, f"not between {bounds}")

    return checked


def _limit(least: int, most: int) -> Callable[[str, Decimal], Refusal | None]:
    """Return a check with the bounds that the configuration has."""

    def checked(argument: str, value: Decimal) -> Refusal | None:
        if value.is_finite() and least <= value <= most:
            return None
        return invalid(argument, value, f"not between {least} and {most}")

    return checked


def _positive_ratio(argument: str, value: Decimal) -> Refusal | None:
    if value.is_finite() and ZERO < value <= ONE:
        return None
    return invalid(argument, value, "not above 0 % and at most 100 %")


def _count(argument: str, value: int) -> Refusal | None:
    if 0 <= value <= MAX_COUNT:
        return None
    return invalid(argument, value, f"not between 0 and {MAX_COUNT}")


def _number_of(argument: str, value: int) -> Refusal | None:
    if 1 <= value <= MAX_COUNT:
        return None
    return invalid(argument, value, "not the number of an addition")


def _trail_ratio(argument: str, value: Decimal) -> Refusal | None:
    refusal = _amount(argument, value)
    if refusal or value < ONE:
        return refusal
    return invalid(argument, value, "not below 100 %, the price itself")


def _leverage(argument: str, value: Decimal) -> Refusal | None:
    refusal = _amount(argument, value)
    return refusal or (invalid(argument, value, "less than 1") if value < ONE else None)


def _duration(argument: str, value: float) -> Refusal | None:
    if not 0 < value <= MAX_HOLDING_S:
        return invalid(argument, value, "not between 0 s and ten years")
    return None


def _rows(argument: str, value: int) -> Refusal | None:
    return None if 1 <= value <= MAX_ROWS else invalid(argument, value, "out of range")


def _depth(argument: str, value: int) -> Refusal | None:
    if 1 <= value <= MAX_DEPTH:
        return None
    return invalid(argument, value, f"not between 1 and {MAX_DEPTH}")


def _event_number(argument: str, value: int) -> Refusal | None:
    return None if 0 <= value < 2**53 else invalid(argument, value, "not a number of an event")


def _version(argument: str, value: int) -> Refusal | None:
    return None if 0 <= value < 2**31 else invalid(argument, value, "not a version")


def _days(argument: str, value: int) -> Refusal | None:
    return None if 0 <= value <= _MAX_DAYS else invalid(argument, value, "out of range")


def _record_number(argument: str, value: int) -> Refusal | None:
    return None if 1 <= value < 2**62 else invalid(argument, value, "not a record's number")


def _file(argument: str, value: str) -> Refusal | None:
    if value.startswith("/") and "\0" not in value and len(value) <= _MAX_PATH:
        return None
    return invalid(argument, value, "not an absolute path")


def _text(pattern: str, what: str) -> Callable[[str, str], Refusal | None]:
    compiled = re.compile(pattern)

    def checked(argument: str, value: str) -> Refusal | None:
        if compiled.fullmatch(value):
            return None
        rule, shown = _rule_of(argument), _short(value)
        return Refusal(rule, f"{shown!r} is not {what}.", _REMEDIES.get(rule, ""), actual=shown)

    return checked


def _uuid(argument: str, value: str) -> Refusal | None:
    try:
        canonical = str(UUID(value)) == value
    except ValueError:
        canonical = False
    return None if canonical else invalid(argument, value, "not a UUID in lower case")


def _targets(_argument: str, value: tuple[TargetRequest, ...]) -> Refusal | None:
    if len(value) > MAX_TARGETS:
        return Refusal(
            rule="TOO_MANY_TARGETS",
            message=f"{len(value)} targets are more than a position may have.",
            remedy=f"Give at most {MAX_TARGETS}.",
            actual=str(len(value)),
            limit=str(MAX_TARGETS),
        )
    checked = (_amount("price", one.price) or _fraction("part", one.part) for one in value)
    return next((refusal for refusal in checked if refusal), None)


def _anything(_argument: str, _value: object) -> None:
    return None


_Check = Callable[..., Refusal | None]
_is_id = _text(r"[0-9A-Za-z_-]{1,64}", "an id")
_is_name = _text(r"[0-9A-Za-z_./:-]{1,120}", "a name")
_is_symbol = _text(r"[A-Z0-9]{1,20}/[A-Z0-9]{1,20}", "a symbol")

_UNBOUNDED: tuple[str, _Check] = ("INVALID_ARGUMENT", _anything)
_ARGUMENTS: dict[str, tuple[str, _Check]] = {
    "symbol": ("INVALID_SYMBOL", _is_symbol),
    "adopt": ("INVALID_SYMBOL", _is_symbol),
    "direction": ("INVALID_DIRECTION", _anything),
    "quantity": ("INVALID_QUANTITY", _amount),
    "notional": ("INVALID_NOTIONAL", _amount),
    "risk": ("INVALID_RISK", _fraction),
    "price": ("INVALID_PRICE", _amount),
    "stop": ("INVALID_PRICE", _amount),
    "breakeven": ("INVALID_PRICE", _amount),
    "limit_price": ("INVALID_PRICE", _amount),
    "part": ("INVALID_PART", _fraction),
    "targets": ("INVALID_TARGETS", _targets),
    "trail_ratio": ("INVALID_TRAIL", _trail_ratio),
    "trail_distance": ("INVALID_TRAIL", _amount),
    "leverage": ("INVALID_LEVERAGE", _leverage),
    "max_holding_s": ("INVALID_DURATION", _duration),
    "number": ("INVALID_NUMBER", _number_of),
    "max_positions": ("LIMIT_OUT_OF_BOUNDS", _count),
    "max_risk_ratio": ("LIMIT_OUT_OF_BOUNDS", _share(0, 1)),
    "min_confidence": ("LIMIT_OUT_OF_BOUNDS", _limit(0, 1)),
    "max_position_ratio": ("LIMIT_OUT_OF_BOUNDS", _share(0, 1000)),
    "max_leverage": ("LIMIT_OUT_OF_BOUNDS", _limit(1, 1000)),
    "daily_loss_cap": ("LIMIT_OUT_OF_BOUNDS", _amount),
    "daily_drawdown_ratio": ("LIMIT_OUT_OF_BOUNDS", _positive_ratio),
    "total_drawdown_ratio": ("LIMIT_OUT_OF_BOUNDS", _positive_ratio),
    "balance_buffer_ratio": ("LIMIT_OUT_OF_BOUNDS", _share(0, 1)),
    "based_on": ("INVALID_VERSION", _version),
    "limit": ("INVALID_LIMIT", _rows),
    "depth": ("INVALID_DEPTH", _depth),
    "since": ("INVALID_SINCE", _event_number),
    "before": ("INVALID_NUMBER", _record_number),
    "keep_days": ("INVALID_DAYS", _days),
    "file": ("INVALID_FILE", _file),
    "position": ("INVALID_ID", _is_id),
    "subject": ("INVALID_ID", _is_id),
    "position_id": ("INVALID_ID", _uuid),
    "trader": ("INVALID_NAME", _is_name),
    "target": ("INVALID_NAME", _is_name),
    "conflict": ("INVALID_NAME", _is_name),
    "name": ("INVALID_NAME", _is_name),
    "execution": ("INVALID_NAME", _is_name),
    "venue": ("INVALID_NAME", _is_name),
}
_SPOKEN = {"max_holding_s": "holding time", "trail_ratio": "trail", "trail_distance": "trail"}
# Arguments that are parts of something; messages say them in percent.
_SHARES = frozenset(
    {
        "risk",
        "part",
        "trail_ratio",
        "max_risk_ratio",
        "max_position_ratio",
        "daily_drawdown_ratio",
        "total_drawdown_ratio",
        "balance_buffer_ratio",
    }
)
_REMEDIES = {
    "INVALID_ARGUMENT": "Give a value of the type that it expects.",
    "INVALID_SYMBOL": "Give base and quote, such as BTC/USDT.",
    "INVALID_DIRECTION": "Give long or short.",
    "INVALID_QUANTITY": "Give a quantity in base units greater than zero, such as 0.01.",
    "INVALID_NOTIONAL": "Give an amount in quote greater than zero, such as 500.",
    "INVALID_RISK": "Give the fraction of equity to risk, such as 0.01 or 1%.",
    "INVALID_PRICE": "Give a price greater than zero, such as 61590.5.",
    "INVALID_PART": "Give a part above 0 and up to 1, such as 0.5 or 50%.",
    "INVALID_TARGETS": 'Give a list of {"price": …, "part": …}.',
    "INVALID_TRAIL": "Give a percentage below 100%, such as 2%, or a distance above zero.",
    "INVALID_LEVERAGE": "Give a leverage of 1 or more.",
    "INVALID_DURATION": "Give a duration such as 90s, 15m, 2h or 1d.",
    "INVALID_VERSION": "Give the protection version that `position` shows.",
    "INVALID_NUMBER": "Give a whole number, 1 or more.",
    "INVALID_DAYS": f"Give a whole number of days from 0 to {_MAX_DAYS}.",
    "INVALID_FILE": "Give an absolute path.",
    "INVALID_LIMIT": f"Give a whole number from 1 to {MAX_ROWS}.",
    "INVALID_DEPTH": f"Give a number of levels from 1 to {MAX_DEPTH}.",
    "INVALID_SINCE": "Give last_event of the answer before, or 0.",
    "LIMIT_OUT_OF_BOUNDS": "Give a number within these bounds; 2 % is 2% or 0.02.",
    "INVALID_ID": "Give an id, or a unique beginning of one, as the lists print it.",
    "INVALID_NAME": "Give a name as the lists print it.",
}
