"""Keeps the time that holdings were without a stop at the venue. Independent of who trades.

A holding is a position in a swap, or on spot what the account has more of a base asset than it
began with. It is covered by algo orders that wait on the other side and have a stop trigger or
trail, as far as their sizes reach. A rest of less than 1 % is dust that no lot could cover.
"""

from dataclasses import dataclass
from decimal import Decimal

from exchanges.sandbox.account import Account
from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.numbers import ZERO
from exchanges.sandbox.records import Algo

_DUST = Decimal("0.01")  # of a holding


@dataclass(slots=True)
class Gap:
    """A time without enough protection. `until_ms` is None while it lasts."""

    inst_id: str
    pos_side: str
    since_ms: int
    bare: Decimal  # largest size that no stop covered
    until_ms: int | None = None

    def lasted_ms(self, now_ms: int) -> int:
        """Return how long it was, or has been."""
        return (self.until_ms if self.until_ms is not None else now_ms) - self.since_ms


class Watch:
    """Looks at one account after each change."""

    def __init__(self, account: Account) -> None:
        self.gaps: list[Gap] = []
        self._open: dict[tuple[str, str], Gap] = {}
        account.on_change.append(self.look)

    def look(self, account: Account) -> None:
        """Begin gaps that came, end those that went."""
        now_ms = account.now_ms
        held = holdings(account)
        bare = {
            (name, side): abs(size) - covered(account, name, side, is_long=size > 0)
            for (name, side), size in held.items()
        }
        for key, size in bare.items():
            least = account.market.quotes[key[0]].listing.least
            gap = self._open.get(key)
            if size < max(least, abs(held[key]) * _DUST):
                self._close(key, now_ms)
            elif gap is None:
                gap = Gap(key[0], key[1], now_ms, size)
                self._open[key] = gap
                self.gaps.append(gap)
            else:
                gap.bare = max(gap.bare, size)
        for key in [key for key in self._open if key not in bare]:
            self._close(key, now_ms)

    def _close(self, key: tuple[str, str], now_ms: int) -> None:
        gap = self._open.pop(key, None)
        if gap is None:
            return
        gap.until_ms = now_ms
        if gap.until_ms == gap.since_ms:  # bare only within one step of the venue
            self.gaps.remove(gap)


def holdings(account: Account) -> dict[tuple[str, str], Decimal]:
    """Return signed sizes by instrument and position side: contracts, on spot base units."""
    found = {(one.listing.inst_id, one.pos_side): one.signed for one in account.open_positions()}
    for name, asset in account.assets.items():
        quote = account.market.quotes.get(f"{name}-{QUOTE}")
        if quote is None:
            continue
        more = asset.cash - account.deposited.get(name, ZERO)
        if more >= quote.listing.least:
            found[quote.listing.inst_id, "net"] = more
    return found


def covered(account: Account, inst_id: str, pos_side: str, *, is_long: bool) -> Decimal:
    """Return the size that waiting stops would close."""
    side = "sell" if is_long else "buy"
    stops = [
        one
        for one in account.armed.get(inst_id, {}).values()
        if one.side == side and one.pos_side == pos_side and _is_stop(one)
    ]
    if any(one.whole_position for one in stops):
        return Decimal("Infinity")
    return sum((one.size for one in stops), ZERO)


def _is_stop(algo: Algo) -> bool:
    if algo.type == "trigger":
        return not algo.trigger_rising if algo.side == "sell" else algo.trigger_rising
    return algo.sl_trigger is not None or algo.type == "move_order_stop"
