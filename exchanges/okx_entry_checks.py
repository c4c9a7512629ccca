"""What must be certain at OKX before an entry of swaps leaves: position mode, margin, leverage.

Each is asked once and kept; leverage is set where it differs, and believed only when the venue
repeats it. What cannot be proven refuses the entry, of which nothing was sent then.
"""

import asyncio
from collections import defaultdict
from decimal import Decimal

from domain.instrument import Instrument, Kind
from domain.money import plain
from domain.order import OrderTerms
from exchanges import okx_answers as okx
from exchanges.ccxt_wire import Silence, Wire
from exchanges.okx_account_rows import position_mode
from exchanges.okx_errors import remedy_of
from exchanges.okx_fields import Row, above_zero, optional
from exchanges.okx_orders import position_side
from exchanges.port import PositionMode, Refused, Unknown
from exchanges.rest import LieError
from exchanges.translate import inst_id

UNVERIFIED = "LEVERAGE_UNVERIFIED"
_REMEDY = "Nothing was sent. It is checked again with the next entry; see `holdfast doctor`."


class EntryChecks:
    """Knows the modes of one account, and the leverage of what was traded."""

    def __init__(self, wire: Wire, margin: str) -> None:
        self._wire = wire
        self._margin = margin
        self._leverage: dict[tuple[str, str], Decimal] = {}  # of a position that an entry opens
        # Of many entries at once one asks, and the others wait for what it learns.
        self._asking_mode = asyncio.Lock()
        self._asking: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self.mode: PositionMode | None = None
        self.owner = ""  # whose account it is, as told along; a key has one for good

    def forget(self) -> None:
        """Ask anew: somebody may have changed what is known."""
        self._leverage.clear()
        self.mode = None

    async def positions_mode(self) -> PositionMode | Refused:
        """Return whether long and short are one position; asks once."""
        if self.mode is not None:
            return self.mode
        async with self._asking_mode:
            if self.mode is None:
                answer = await self._wire.ask(okx.CONFIG, urgent=True)
                mode = okx.read(answer, self._mode_in)
                if isinstance(mode, Unknown):
                    text = f"the position mode cannot be read: {mode.why}"
                    return Refused("POSITION_MODE_UNKNOWN", text, _REMEDY)
                self.mode = mode
            return self.mode

    def _mode_in(self, rows: list[Row]) -> PositionMode:
        row = okx.only_row(rows)
        self.owner = optional(row, "uid")
        return position_mode(row)

    async def leverage(self, terms: OrderTerms, instrument: Instrument) -> Refused | None:
        """Make sure that an entry meets the leverage it was decided with; None when it does."""
        if instrument.kind is not Kind.SWAP:
            return None
        side = ""
        if self._margin == "isolated" and self.mode is PositionMode.HEDGE:
            side = position_side(terms)
        key = (inst_id(instrument), side)
        if self._leverage.get(key) == terms.leverage:
            return None
        async with self._asking[key]:
            if self._leverage.get(key) == terms.leverage:
                return None
            return await self._make_sure(terms.leverage, key)

    async def _make_sure(self, leverage: Decimal, key: tuple[str, str]) -> Refused | None:
        self._leverage.pop(key, None)
        answer = await self._wire.ask(okx.LEVERAGE, {"instId": key[0], "mgnMode": self._margin})
        present = okx.read(answer, lambda rows: _leverage_in(rows, key, self._margin))
        if isinstance(present, Unknown):
            return Refused(UNVERIFIED, f"leverage cannot be read: {present.why}", _REMEDY)
        if present != leverage:
            refused = await self._set(leverage, key)
            if refused is not None:
                return refused
        self._leverage[key] = leverage
        return None

    async def _set(self, leverage: Decimal, key: tuple[str, str]) -> Refused | None:
        name, side = key
        body = {"instId": name, "mgnMode": self._margin, "lever": plain(leverage)}
        answer = await self._wire.ask(okx.SET_LEVERAGE, body | ({"posSide": side} if side else {}))
        became = okx.read(answer, lambda rows: _leverage_in(rows, key, self._margin))
        if isinstance(became, Unknown):
            remedy = _REMEDY
            if not isinstance(answer, Silence) and isinstance(answer.payload, dict):
                remedy = remedy_of(str(answer.payload.get("code"))) or _REMEDY
            return Refused(UNVERIFIED, f"{plain(leverage)}x is not set: {became.why}", remedy)
        if became != leverage:
            text = f"the venue says {plain(became)}x, wanted {plain(leverage)}x"
            return Refused(UNVERIFIED, text, _REMEDY)
        return None


def _leverage_in(rows: list[Row], key: tuple[str, str], margin: str) -> Decimal:
    """Return the leverage of the one row that is about this position. Raises `LieError`."""
    name, side = key
    found = {
        above_zero(row, "lever")
        for row in rows
        if optional(row, "instId") == name
        and optional(row, "mgnMode") == margin
        and (not side or optional(row, "posSide") == side)
    }
    if len(found) != 1:
        raise LieError(f"{len(found)} values of leverage for {name}, where one is expected")
    return found.pop()
