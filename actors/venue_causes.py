"""What an answer of the venue about our login means for entries: named causes, each with a remedy.

Pure. The names are ours and the same for every venue; the venue's own code and text are part of the
message. `CODES` are those of OKX; a venue with others brings its own table.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from domain.ids import Symbol
from domain.instrument import Direction
from domain.modes import Mode, ModeCause
from exchanges.own_account import OTHER_ACCOUNT, REMEDY
from exchanges.port import AccountFacts, PositionMode, Refused, Unknown

VENUE_UNCHECKED = "VENUE_UNCHECKED"
VENUE_DOWN = "VENUE_DOWN"
VENUE_REFUSES = "VENUE_REFUSES"
WRONG_KEY = "WRONG_KEY"
WRONG_ENVIRONMENT = "WRONG_ENVIRONMENT"
WITHDRAW_PERMISSION = "WITHDRAW_PERMISSION"
NO_TRADE_PERMISSION = "NO_TRADE_PERMISSION"
IP_NOT_ALLOWED = "IP_NOT_ALLOWED"
ACCOUNT_BLOCKED = "ACCOUNT_BLOCKED"
POSITION_MODE = "POSITION_MODE"
STOPS_UNAVAILABLE = "STOPS_UNAVAILABLE"
CLOCK_SKEW = "CLOCK_SKEW"
ANSWERED = (  # what an answer sets or clears
    VENUE_DOWN,
    VENUE_REFUSES,
    WRONG_KEY,
    WRONG_ENVIRONMENT,
    OTHER_ACCOUNT,
    WITHDRAW_PERMISSION,
    NO_TRADE_PERMISSION,
    IP_NOT_ALLOWED,
    ACCOUNT_BLOCKED,
    POSITION_MODE,
    STOPS_UNAVAILABLE,
    CLOCK_SKEW,
)

# Everything that a check may set, and therefore clears.
NAMES = frozenset({VENUE_UNCHECKED, *ANSWERED})
MAX_SKEW_S = 30.0  # OKX turns away what is stamped further off (50102)
_AGAIN = "The daemon asks again by itself."
_KEY = "Compare key, secret and passphrase with the venue's page of keys, then restart. " + _AGAIN
_CLOCK = "Set this computer's clock: NTP, such as systemd-timesyncd or chrony. " + _AGAIN
REMEDIES = {
    WRONG_KEY: _KEY,
    WRONG_ENVIRONMENT: "A key of the demo account needs environment: demo, one of the live account"
    " environment: live. Change venues.<name>.environment or the key, then restart.",
    OTHER_ACCOUNT: REMEDY,
    NO_TRADE_PERMISSION: "Give the key the right to trade on the venue's page of keys. " + _AGAIN,
    IP_NOT_ALLOWED: "Add this computer's public address to the key's IP list. " + _AGAIN,
    ACCOUNT_BLOCKED: "Look at the account on the venue's site, ask its support. " + _AGAIN,
    CLOCK_SKEW: _CLOCK,
    VENUE_DOWN: "Guards stay armed, stops at the venue stand. " + _AGAIN,
    VENUE_REFUSES: "See docs/okx.md, “Troubleshooting”. " + _AGAIN,
    WITHDRAW_PERMISSION: "Take the right to withdraw from the key: nothing here needs it, and a"
    " stolen key could empty the account. " + _AGAIN,
    STOPS_UNAVAILABLE: "Look at the venue's status page. " + _AGAIN,
    POSITION_MODE: "Set the position mode at the venue back to what it was, or close the positions"
    " by hand. " + _AGAIN,
    VENUE_UNCHECKED: "It ends by itself once the venue has answered.",
}
# Source: www.okx.com/docs-v5/en (error code: public, account).
CODES: Mapping[str, str] = {
    "50001": VENUE_DOWN,  # maintenance
    "50005": VENUE_DOWN,
    "50013": VENUE_DOWN,
    "50026": VENUE_DOWN,
    "50007": ACCOUNT_BLOCKED,
    "50012": ACCOUNT_BLOCKED,
    "50027": ACCOUNT_BLOCKED,
    "50100": ACCOUNT_BLOCKED,  # the key is frozen
    "50101": WRONG_ENVIRONMENT,
    "50102": CLOCK_SKEW,
    "50112": CLOCK_SKEW,
    "50103": WRONG_KEY,
    "50104": WRONG_KEY,
    "50105": WRONG_KEY,  # the passphrase
    "50106": WRONG_KEY,
    "50107": WRONG_KEY,
    "50111": WRONG_KEY,
    "50113": WRONG_KEY,  # the signature, so the secret
    "50114": WRONG_KEY,
    "50119": WRONG_KEY,
    "50110": IP_NOT_ALLOWED,
    "50035": IP_NOT_ALLOWED,
    "50030": NO_TRADE_PERMISSION,
    "50120": NO_TRADE_PERMISSION,
}


class Held(msgspec.Struct, frozen=True):
    """A swap position of ours that is not over."""

    symbol: Symbol
    direction: Direction
    quantity: Decimal  # base units


def unchecked(
    message: str = "The venue has not told yet what this login is and may do.",
) -> ModeCause:
    """Return the cause that stands until the venue has answered for the first time."""
    return _cause(VENUE_UNCHECKED, message)


def causes_of(
    answer: AccountFacts | Refused | Unknown,
    *,
    mode_before: PositionMode | None = None,
    held: tuple[Held, ...] = (),
    clock_offset_s: float | None = None,
) -> tuple[ModeCause, ...]:
    """Return why nothing may be opened; nothing when all is well.

    `mode_before`: the position mode when the positions `held` were opened, as far as it is known.
    """
    found = [*_of_answer(answer, mode_before, held), *_of_clock(clock_offset_s)]
    return tuple({cause.code: cause for cause in reversed(found)}.values())


def _of_answer(
    answer: AccountFacts | Refused | Unknown,
    mode_before: PositionMode | None,
    held: tuple[Held, ...],
) -> Iterator[ModeCause]:
    match answer:
        case Unknown(why=why):
            yield _cause(VENUE_DOWN, f"The venue does not answer: {why}.")
        case Refused(code=code, text=text) if code == OTHER_ACCOUNT:  # we say so, not the venue
            yield _cause(OTHER_ACCOUNT, text)
        case Refused(code=code, text=text):
            yield _cause(CODES.get(code, VENUE_REFUSES), f"The venue says {code}: {text}.")
        case AccountFacts():
            if answer.may_withdraw:
                yield _cause(WITHDRAW_PERMISSION, "The key may withdraw money.")
            if not answer.may_trade:
                yield _cause(NO_TRADE_PERMISSION, "The key may not trade.")
            if not answer.stops_work:
                why = "The venue's address for stop orders does not answer as it should."
                yield _cause(STOPS_UNAVAILABLE, why)
            yield from _of_mode(answer.position_mode, mode_before, held)


def _of_mode(
    mode: PositionMode, before: PositionMode | None, held: tuple[Held, ...]
) -> Iterator[ModeCause]:
    if held and before is not None and mode is not before:
        yield _cause(
            POSITION_MODE,
            f"The position mode was {before.value} when what is open ({len(held)}) began, and is"
            f" {mode.value} now.",
        )
        return
    if mode is not PositionMode.NET:
        return
    sides: dict[Symbol, set[Direction]] = {}
    for each in held:
        sides.setdefault(each.symbol, set()).add(each.direction)
    both = [symbol for symbol, directions in sides.items() if len(directions) > 1]
    if both:
        shown = ", ".join(both)
        yield _cause(
            POSITION_MODE,
            f"There is a long and a short position of {shown} here, and the venue keeps one net"
            " position: exits of one would be refused, or close the other.",
        )


def is_skewed(offset_s: float | None) -> bool:
    """Whether the clocks are so far apart that the venue turns requests away."""
    return offset_s is not None and abs(offset_s) > MAX_SKEW_S


def _of_clock(offset_s: float | None) -> Iterator[ModeCause]:
    if offset_s is not None and is_skewed(offset_s):
        side = "ahead of" if offset_s > 0 else "behind"
        why = f"The venue's clock is {abs(offset_s):.1f} s {side} this computer's."
        yield _cause(CLOCK_SKEW, why)


def _cause(name: str, message: str) -> ModeCause:
    return ModeCause(name, Mode.NO_ENTRY, message, REMEDIES[name])
