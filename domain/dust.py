"""Dust against what the venue holds: a person may sell it there, and then it is nobody's any more.

Only what the venue tells of can be missed: coins while coins are traded, swaps while swaps are. Of
coins more than ours is somebody's own, and hides what went.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from domain.ids import Symbol
from domain.instrument import Instrument, Kind
from domain.money import ZERO
from domain.portfolio_state import Dust
from domain.reconciliation import Key, Side


class LostDust(msgspec.Struct, frozen=True):
    """Dust that the venue holds less of."""

    dust: Dust
    left: Decimal  # base units


def lost_dust(
    dust: Sequence[Dust],
    sides: Iterable[Side],
    instruments: Mapping[Symbol, Instrument],
    *,
    hedged: bool,
) -> tuple[LostDust, ...]:
    """Return the dust that is missing at the venue; what else differs is looked into first.

    `hedged` is the venue's position mode. Where long and short are one there, so is their dust.
    """
    compared = {side.key: side for side in sides}
    there: dict[Key, Decimal] = {}  # signed: what may be dust
    owned: dict[Key, Decimal] = {}
    keys: list[tuple[Dust, Key]] = []
    for each in dust:
        instrument = instruments.get(each.symbol)
        if instrument is None or (instrument.kind is Kind.SPOT) is not each.is_spot:
            continue
        key = each.symbol, each.direction if hedged and not each.is_spot else None
        side = compared.get(key)
        if side is not None and side.differs:
            continue
        there[key] = ZERO if side is None else side.gap
        owned[key] = owned.get(key, ZERO) + each.signed
        keys.append((each, key))
    found = []
    for each, key in keys:
        sign = each.direction.sign
        missing = (owned[key] - there[key]) * sign
        most = owned[key] * sign  # what is left when all of it is gone is netted, and stays
        gone = min(missing, most)
        if gone > ZERO:
            found.append(LostDust(each, each.quantity - gone))
    return tuple(found)
