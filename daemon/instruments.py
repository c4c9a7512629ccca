"""What the daemon knows about instruments without asking a venue.

The table has the grids of Binance USD-M perpetuals as of 2025 (tick, lot, lowest order value),
which the recorded data and the simulated market follow. One difference: the lowest order value is
5 USDT for BTC too (100 there), so that a small paper account can trade it in parts. A symbol that
is not in the table needs an entry under `instruments`, or takes the one called `others`; an entry
also overrides the table.
"""

from collections.abc import Container
from decimal import Decimal

import msgspec

from daemon.config_models import Config, InstrumentRules
from domain.ids import Symbol
from domain.instrument import Instrument, Kind
from domain.money import ONE

_QUOTE = "USDT"
OTHERS = "others"  # rules of every symbol that has none
_REQUIRED = ("tick_size", "lot_size", "min_notional")


class _Grid(msgspec.Struct, frozen=True):
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal = Decimal(5)
    max_leverage: Decimal = Decimal(20)


_GRIDS: dict[str, _Grid] = {
    "BTC": _Grid(Decimal("0.1"), Decimal("0.001"), max_leverage=Decimal(125)),
    "ETH": _Grid(Decimal("0.01"), Decimal("0.001"), max_leverage=Decimal(100)),
    "SOL": _Grid(Decimal("0.01"), Decimal("0.01"), max_leverage=Decimal(50)),
    "XRP": _Grid(Decimal("0.0001"), Decimal("0.1"), max_leverage=Decimal(50)),
    "DOGE": _Grid(Decimal("0.00001"), Decimal(1), max_leverage=Decimal(50)),
    "BNB": _Grid(Decimal("0.01"), Decimal("0.01"), max_leverage=Decimal(50)),
}


def missing_rules(symbol: str, given: Container[str]) -> tuple[str, ...]:
    """Return the keys that the entry of `symbol` must have besides those given."""
    base, _, quote = symbol.partition("/")
    if quote == _QUOTE and base in _GRIDS:
        return ()
    return tuple(name for name in _REQUIRED if name not in given)


def instruments_of(config: Config) -> tuple[Instrument, ...]:
    """Return every symbol of the market as an instrument. The configuration is already checked."""
    return tuple(
        _instrument(symbol, config.market.kind, _rules_of(symbol, config))
        for symbol in (*config.market.symbols, *config.market.watch)
    )


def _rules_of(symbol: str, config: Config) -> InstrumentRules | None:
    own = config.instruments.get(symbol)
    if own is None and missing_rules(symbol, ()):
        return config.instruments.get(OTHERS)
    return own


def _instrument(symbol: str, kind: Kind, rules: InstrumentRules | None) -> Instrument:
    base, _, quote = symbol.partition("/")
    given = {} if rules is None else rules.model_dump(exclude_none=True)
    grid = _GRIDS.get(base) if quote == _QUOTE else None
    known = {} if grid is None else msgspec.structs.asdict(grid)
    merged = {"max_leverage": ONE, "contract_size": ONE} | known | given
    if kind is Kind.SPOT:
        merged["max_leverage"] = ONE
    merged.setdefault("min_quantity", merged["lot_size"])
    return Instrument(
        symbol=Symbol(symbol),
        venue_symbol=base + quote,
        base=base,
        quote=quote,
        kind=kind,
        **merged,
    )
