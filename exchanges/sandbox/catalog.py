"""The instruments that the sandbox lists, with the venue's own sizes: spot and linear swaps.

A swap's sizes count contracts of `contract_value` base units. Add an instrument by adding a row to
`BASES`, or hand listings of your own to `SandboxSettings.listings`.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from exchanges.sandbox.numbers import ONE

QUOTE = "USDT"


class Listing(msgspec.Struct, frozen=True):
    """One instrument. Sizes are contracts for swaps, base units for spot."""

    inst_id: str  # "BTC-USDT-SWAP"
    base: str
    start_price: Decimal  # quote
    tick: Decimal
    lot: Decimal
    least: Decimal  # smallest order
    contract_value: Decimal = ONE  # base units
    max_leverage: Decimal = ONE
    maintenance: Decimal = Decimal("0.004")  # of notional
    maker_fee: Decimal = Decimal("0.0008")
    taker_fee: Decimal = Decimal("0.001")
    max_limit: Decimal = Decimal(10_000_000_000)
    max_market: Decimal = Decimal(1_000_000)  # contracts; of spot USDT
    code: int = 0

    @property
    def is_swap(self) -> bool:
        """Whether positions are held in it, instead of money."""
        return self.inst_id.endswith("-SWAP")

    @property
    def inst_type(self) -> str:
        """The venue's word for it."""
        return "SWAP" if self.is_swap else "SPOT"

    @property
    def index(self) -> str:
        """The instrument's index, and a swap's family."""
        return f"{self.base}-{QUOTE}"


class _Base(msgspec.Struct, frozen=True):
    price: str
    tick: str
    spot_lot: str
    spot_least: str
    contract: str
    max_leverage: str
    maintenance: str


BASES: dict[str, _Base] = {
    "BTC": _Base("60000", "0.1", "0.00000001", "0.00001", "0.01", "100", "0.004"),
    "ETH": _Base("3000", "0.01", "0.000001", "0.0001", "0.1", "100", "0.004"),
    "SOL": _Base("150", "0.01", "0.000001", "0.001", "1", "50", "0.0065"),
    "XRP": _Base("0.6", "0.0001", "0.000001", "1", "100", "50", "0.0065"),
    "DOGE": _Base("0.15", "0.00001", "0.000001", "10", "1000", "50", "0.0065"),
}


def _both(base: str, code: int) -> tuple[Listing, Listing]:
    row = BASES[base]
    price, tick = Decimal(row.price), Decimal(row.tick)
    spot = Listing(
        inst_id=f"{base}-{QUOTE}",
        base=base,
        start_price=price,
        tick=tick,
        lot=Decimal(row.spot_lot),
        least=Decimal(row.spot_least),
        code=code,
    )
    swap = Listing(
        inst_id=f"{base}-{QUOTE}-SWAP",
        base=base,
        start_price=price,
        tick=tick,
        lot=Decimal("0.01"),
        least=Decimal("0.01"),
        contract_value=Decimal(row.contract),
        max_leverage=Decimal(row.max_leverage),
        maintenance=Decimal(row.maintenance),
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.0005"),
        max_limit=Decimal(100_000_000),
        code=code + 1,
    )
    return spot, swap


def listings(bases: Iterable[str] = tuple(BASES)) -> tuple[Listing, ...]:
    """Return spot and swap of each base. Raises `KeyError` for one that is not in `BASES`."""
    found: list[Listing] = []
    for number, base in enumerate(bases):
        found += _both(base, 10_000 + 2 * number)
    return tuple(found)
