"""What the daemon knows about instruments without asking a venue.

The tables have the grids of linear perpetuals as of 2025 (tick, lot, lowest order value):
Binance's, which its recordings and the simulated market follow, and OKX's, whose sizes count
contracts. Lots and quantities are in base units everywhere. One difference: the lowest order value
is 5 USDT for BTC too (100 at Binance), so that a small paper account can trade it in parts. A
symbol that is not in the table needs an entry under `instruments`, or takes the one called
`others`; an entry also overrides the table.
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
_OKX = "okx"


class _Grid(msgspec.Struct, frozen=True):
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal = Decimal(5)
    max_leverage: Decimal = Decimal(20)
    contract_size: Decimal = ONE


_GRIDS: dict[str, _Grid] = {
    "BTC": _Grid(Decimal("0.1"), Decimal("0.001"), max_leverage=Decimal(125)),
    "ETH": _Grid(Decimal("0.01"), Decimal("0.001"), max_leverage=Decimal(100)),
    "SOL": _Grid(Decimal("0.01"), Decimal("0.01"), max_leverage=Decimal(50)),
    "XRP": _Grid(Decimal("0.0001"), Decimal("0.1"), max_leverage=Decimal(50)),
    "DOGE": _Grid(Decimal("0.00001"), Decimal(1), max_leverage=Decimal(50)),
    "BNB": _Grid(Decimal("0.01"), Decimal("0.01"), max_leverage=Decimal(50)),
}


_OKX_GRIDS: dict[str, _Grid] = {
    "BTC": _Grid(
        Decimal("0.1"), Decimal("0.0001"), max_leverage=Decimal(100), contract_size=Decimal("0.01")
    ),
    "ETH": _Grid(
        Decimal("0.01"), Decimal("0.001"), max_leverage=Decimal(100), contract_size=Decimal("0.1")
    ),
    "SOL": _Grid(Decimal("0.01"), Decimal("0.01"), max_leverage=Decimal(50)),
    "XRP": _Grid(
        Decimal("0.0001"), Decimal(1), max_leverage=Decimal(50), contract_size=Decimal(100)
    ),
    "DOGE": _Grid(
        Decimal("0.00001"), Decimal(10), max_leverage=Decimal(50), contract_size=Decimal(1000)
    ),
    "BNB": _Grid(
        Decimal("0.1"), Decimal("0.01"), max_leverage=Decimal(50), contract_size=Decimal("0.01")
    ),
}


def missing_rules(
    symbol: str, given: Container[str], *, source: object, kind: object
) -> tuple[str, ...]:
    """Return the keys that the entry of `symbol` must have besides those given.

    `source` and `kind` are as the configuration writes them.
    """
    if _is_built_in(symbol):
        return ()
    counts_contracts = source == _OKX and kind == Kind.SWAP.value
    required = (*_REQUIRED, "contract_size") if counts_contracts else _REQUIRED
    return tuple(name for name in required if name not in given)


def _is_built_in(symbol: str) -> bool:
    base, _, quote = symbol.partition("/")
    return quote == _QUOTE and base in _GRIDS


def venue_symbol(venue: str, instrument: Instrument) -> str:
    """Return what a venue, or its recording, calls an instrument."""
    return _name_at(venue, instrument.kind, instrument.base, instrument.quote)


def _name_at(venue: str, kind: Kind, base: str, quote: str) -> str:
    if venue != _OKX:
        return base + quote
    return f"{base}-{quote}-SWAP" if kind is Kind.SWAP else f"{base}-{quote}"


def instruments_of(config: Config, venue: str = "") -> tuple[Instrument, ...]:
    """Return every symbol of the market as an instrument. The configuration is already checked.

    `venue`: whose names and rules; else those of `market.source`.
    """
    market = config.market
    return tuple(
        _instrument(venue or market.source, symbol, market.kind, _rules_of(symbol, config))
        for symbol in (*market.symbols, *market.watch)
    )


def _rules_of(symbol: str, config: Config) -> InstrumentRules | None:
    own = config.instruments.get(symbol)
    if own is None and not _is_built_in(symbol):
        return config.instruments.get(OTHERS)
    return own


def _instrument(venue: str, symbol: str, kind: Kind, rules: InstrumentRules | None) -> Instrument:
    base, _, quote = symbol.partition("/")
    given = {} if rules is None else rules.model_dump(exclude_none=True)
    grids = _OKX_GRIDS if venue == _OKX else _GRIDS
    grid = grids.get(base) if quote == _QUOTE else None
    known = {} if grid is None else msgspec.structs.asdict(grid)
    merged = {"max_leverage": ONE, "contract_size": ONE} | known | given
    if kind is Kind.SPOT:
        merged["max_leverage"] = merged["contract_size"] = ONE
    merged.setdefault("min_quantity", merged["lot_size"])
    return Instrument(
        symbol=Symbol(symbol),
        venue_symbol=_name_at(venue, kind, base, quote),
        base=base,
        quote=quote,
        kind=kind,
        **merged,
    )
