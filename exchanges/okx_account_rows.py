"""OKX's rows about an account and its rules (v5): facts, money that moved, instruments. Pure.

All raise `LieError` for what cannot be believed.

Source: www.okx.com/docs-v5/en (trading account: configuration, bills; public data: instruments).
"""

from decimal import Decimal

from msgspec.structs import replace

from domain.instrument import Instrument, Kind
from domain.money import ZERO
from exchanges.okx_fields import (
    Row,
    above_zero,
    amount,
    if_above_zero,
    maybe,
    optional,
    stamp,
    text,
)
from exchanges.port import AccountFacts, CashFlow, CashKind, PositionMode, VenueAccount
from exchanges.rest import LieError, excerpt
from exchanges.translate import Instruments, base_units, inst_id, instant, symbol_of

_MODES = {"net_mode": PositionMode.NET, "long_short_mode": PositionMode.HEDGE}
_KINDS = {"1": CashKind.TRANSFER, "8": CashKind.FUNDING}
# What fills tell by themselves: trades, deliveries, liquidations, ADL, blocks, spreads. And margin
# that is set aside (6): it goes from the cash to a position and stays the account's.
_OF_FILLS = frozenset({"2", "3", "5", "6", "9", "14", "24"})


def facts_from_row(row: Row, *, stops_work: bool) -> AccountFacts:
    """Read `account/config`. `stops_work` is found out elsewhere."""
    permissions = {each.strip() for each in text(row, "perm").split(",")}
    return AccountFacts(
        account_id=text(row, "uid"),
        position_mode=position_mode(row),
        may_trade="trade" in permissions,
        may_withdraw="withdraw" in permissions,
        stops_work=stops_work,
    )


def owner_from_row(row: Row, *, is_demo: bool) -> VenueAccount:
    """Read whose account it is in `account/config`."""
    return VenueAccount(text(row, "uid"), is_demo)


def position_mode(row: Row) -> PositionMode:
    """Read the position mode in `account/config`."""
    mode = _MODES.get(text(row, "posMode"))
    if mode is None:
        raise LieError(f"posMode is {excerpt(row['posMode'])}")
    return mode


def cash_flow_from_row(
    row: Row, instruments: Instruments, *, hedged: bool = False
) -> CashFlow | None:
    """Read a row of `account/bills`; None for what fills tell, and for no change of balance.

    A bill does not name the side of a position, which matters where it is `hedged`: how large that
    side was (`sz`) is told instead. What an isolated position pays or gets may move its margin
    (`posBalChg`) and not the cash; the account has both.
    """
    kind = text(row, "type")
    change = amount(row, "balChg", signed=True) + (maybe(row, "posBalChg", signed=True) or ZERO)
    if kind in _OF_FILLS or not change:
        return None
    words = f"bill type {kind}, {optional(row, 'subType')} {optional(row, 'notes')}"
    return CashFlow(
        flow_id=text(row, "billId"),
        kind=_KINDS.get(kind, CashKind.OTHER),
        asset=text(row, "ccy"),
        amount=change,
        at=instant(stamp(row, "ts")),
        symbol=symbol_of(row, instruments),
        text=excerpt(words.strip()),
        size=_size_of(row, instruments) if hedged and kind == "8" else None,
    )


def _size_of(row: Row, instruments: Instruments) -> Decimal | None:
    """Return what funding was paid for, base units; None where the row does not say."""
    instrument, size = instruments.get(optional(row, "instId")), if_above_zero(row, "sz")
    return None if instrument is None or size is None else base_units(size, instrument)


def is_live(row: Row) -> bool:
    """Whether an instrument is traded now."""
    return optional(row, "state") == "live"


def instrument_from_row(row: Row, known: Instrument) -> Instrument:
    """Read a row of `public/instruments` into an instrument of ours, traded now or not.

    OKX has no lowest order value; ours stays.
    """
    if text(row, "instId") != inst_id(known):
        raise LieError(f"instId is {excerpt(row['instId'])}, not {inst_id(known)}")
    contract_size, max_leverage = known.contract_size, known.max_leverage
    lot, least = above_zero(row, "lotSz"), above_zero(row, "minSz")
    if known.kind is Kind.SWAP:
        if optional(row, "ctType") not in {"", "linear"} or optional(row, "ctValCcy") not in {
            "",
            known.base,
        }:
            raise LieError(f"{inst_id(known)} is no linear swap of {known.base}")
        contract_size = above_zero(row, "ctVal") * (maybe(row, "ctMult") or 1)
        max_leverage = maybe(row, "lever") or max_leverage
        lot, least = lot * contract_size, least * contract_size
    most = _most_at_market(row)
    is_swap = known.kind is Kind.SWAP
    return replace(
        known,
        venue_symbol=inst_id(known),
        tick_size=above_zero(row, "tickSz"),
        lot_size=lot,
        min_quantity=least,
        max_leverage=max_leverage,
        contract_size=contract_size,
        max_market=most * contract_size if most is not None and is_swap else None,
        max_market_value=None if is_swap else most,
    )


def _most_at_market(row: Row) -> Decimal | None:
    """Return the most that one order at market may have, and a stop: contracts; of spot money."""
    limits = (maybe(row, name) for name in ("maxMktSz", "maxStopSz", "maxMktAmt"))
    return min((limit for limit in limits if limit), default=None)
