"""Identifiers. A `client_order_id` is derived, never drawn.

The same leg in the same epoch has the same id.

That derivation is what makes a lost answer harmless: after a crash the daemon computes the id it
would have sent and asks the venue for it.
"""

from functools import lru_cache
from typing import NewType
from uuid import UUID

import msgspec

AccountName = NewType("AccountName", str)
TraderName = NewType("TraderName", str)
Symbol = NewType("Symbol", str)  # "BTC/USDT"
PositionId = NewType("PositionId", str)  # a UUID as text
DecisionId = NewType("DecisionId", str)
RequestId = NewType("RequestId", str)  # one question from outside, answered once
ClientOrderId = NewType("ClientOrderId", str)  # ours, 1-32 alphanumerics
VenueOrderId = NewType("VenueOrderId", str)
TradeId = NewType("TradeId", str)
ExitId = NewType("ExitId", str)  # "stop", "trail", "target-2", "close-1": unique within a position

NO_REQUEST = RequestId("")
NO_ORDER = ClientOrderId("")  # of an execution that no order of ours had
MANUAL = TraderName("manual")  # the built-in trader that people act through

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_UUID_WIDTH = 22  # 62**22 > 2**128
_ACCOUNT_WIDTH = 2
POSITION_PREFIX = _ACCOUNT_WIDTH + _UUID_WIDTH  # characters that all order ids of a position share
_EPOCH_WIDTH = 4
MAX_EPOCH = 62**_EPOCH_WIDTH - 1
# A leg is a letter and a number: "E0" the entry, "E1" the first addition, "T2" the second target.
_LEG_LETTERS = {
    "entry": "E",
    "stop": "S",
    "trail": "R",
    "target": "T",
    "close": "C",
    "time": "M",
    "kill": "K",
    "guard": "G",  # an order that rests at the venue and triggers there
    "adopted": "A",
}
_LEG_NAMES = {letter: name for name, letter in _LEG_LETTERS.items()}
_LEG_NUMBER_WIDTH = 2


class OrderIdentity(msgspec.Struct, frozen=True):
    """What a `client_order_id` says once decoded."""

    account_tag: str  # two characters, see `account_tag`
    position_id: PositionId
    leg: str  # "entry-0", "target-2", "stop-0"
    epoch: int


def _base62(number: int, width: int) -> str:
    digits: list[str] = []
    while number:
        number, rest = divmod(number, 62)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits)).rjust(width, "0")


def _number(text: str) -> int:
    value = 0
    for character in text:
        value = value * 62 + _VALUES[character]
    return value


@lru_cache(100)
def account_tag(account: AccountName) -> str:
    """Two characters that tell accounts apart in order ids; not unique for certain."""
    value = 0
    for byte in account.encode():
        value = (value * 257 + byte) % 62**_ACCOUNT_WIDTH
    return _base62(value, _ACCOUNT_WIDTH)


def client_order_id(
    account: AccountName, position_id: PositionId, leg: str, epoch: int
) -> ClientOrderId:
    """Return the id for `leg` ("entry-0", "stop-0", "target-2") of a position; 31 characters.

    OKX allows 1-32 case-sensitive alphanumerics. Raises `ValueError` for an unknown leg or an epoch
    out of range.
    """
    name, _, number = leg.partition("-")
    if name not in _LEG_LETTERS or not 0 <= epoch <= MAX_EPOCH:
        message = f"no order id for leg {leg!r} in epoch {epoch}"
        raise ValueError(message)
    return ClientOrderId(
        account_tag(account)
        + _base62(UUID(position_id).int, _UUID_WIDTH)
        + _LEG_LETTERS[name]
        + _base62(int(number or 0), _LEG_NUMBER_WIDTH)
        + _base62(epoch, _EPOCH_WIDTH)
    )


@lru_cache(20_000)  # lists of a venue's orders and fills name the same ones again and again
def identity_of(order_id: ClientOrderId) -> OrderIdentity | None:
    """Decode an id of ours; None when it is somebody else's."""
    if len(order_id) != _ACCOUNT_WIDTH + _UUID_WIDTH + 1 + _LEG_NUMBER_WIDTH + _EPOCH_WIDTH:
        return None
    if not (order_id.isascii() and order_id.isalnum()):
        return None
    tag, rest = order_id[:_ACCOUNT_WIDTH], order_id[_ACCOUNT_WIDTH:]
    number = _number(rest[:_UUID_WIDTH])
    name = _LEG_NAMES.get(rest[_UUID_WIDTH])
    if number >= 2**128 or name is None:
        return None
    leg_number = _number(rest[_UUID_WIDTH + 1 : _UUID_WIDTH + 1 + _LEG_NUMBER_WIDTH])
    return OrderIdentity(
        account_tag=tag,
        position_id=PositionId(str(UUID(int=number))),
        leg=f"{name}-{leg_number}",
        epoch=_number(rest[-_EPOCH_WIDTH:]),
    )
