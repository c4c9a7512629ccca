"""How much to buy or sell: from what was asked to base units.

| `SizeBy` | quantity |
|---|---|
| QUANTITY | size |
| NOTIONAL | size / price |
| EQUITY_RATIO | equity x size / price |
| RISK_RATIO | equity x size / distance to the stop (to the trail, without a stop) |
| VOLATILITY | equity x size / ATR |
| KELLY | equity x size x Kelly ratio / price; the ratio from the trader's own closed positions |

Quantities are rounded down to lots, never up, so that nothing is ordered that was not asked for.
"""

from decimal import Decimal

from domain.commands import EntryRequest, SizeBy
from domain.errors import Refusal
from domain.instrument import Instrument
from domain.money import ONE, ZERO
from domain.performance import TradeRecord
from domain.risk import is_usable, loss_distance, percent, shown

# Fewer closed positions say more about luck than about the trader.
MIN_KELLY_TRADES = 30
_RATIOS = frozenset({SizeBy.RISK_RATIO, SizeBy.VOLATILITY, SizeBy.KELLY})


def quantity_for(
    request: EntryRequest,
    *,
    price: Decimal,
    instrument: Instrument,
    equity: Decimal,
    record: TradeRecord | None,
) -> Decimal | Refusal:
    """Return base units in whole lots for an entry at `price` (quote), or why there are none.

    `equity` is the account's in quote; `record` is needed by KELLY only.
    """
    wanted = wanted_quantity(request, price=price, equity=equity, record=record)
    if isinstance(wanted, Refusal):
        return wanted
    quantity = instrument.whole_lots(wanted)
    if quantity == ZERO:
        return Refusal(
            rule="QUANTITY_BELOW_LOT",
            message=f"Quantity {shown(wanted)} below lot {shown(instrument.lot_size)} "
            f"for {instrument.symbol}.",
            remedy=f"Increase size to {shown(instrument.lot_size)} {instrument.base} or more.",
            actual=shown(wanted),
            limit=shown(instrument.lot_size),
        )
    return quantity


def wanted_quantity(
    request: EntryRequest, *, price: Decimal, equity: Decimal, record: TradeRecord | None
) -> Decimal | Refusal:
    """Return base units before rounding to lots, or why there are none."""
    problem = _size_problem(request, equity)
    if problem is not None:
        return problem
    match request.size_by:
        case SizeBy.QUANTITY:
            return request.size
        case SizeBy.NOTIONAL:
            return request.size / price
        case SizeBy.EQUITY_RATIO:
            return equity * request.size / price
        case SizeBy.RISK_RATIO:
            return _by_risk(request, price, equity)
        case SizeBy.VOLATILITY:
            return _by_volatility(request, equity)
        case SizeBy.KELLY:
            return _by_kelly(request, price, equity, record)


def kelly_ratio(record: TradeRecord) -> Decimal | None:
    """Return the fraction of equity whose stake makes capital grow fastest; below 0: do not play.

    W - (1 - W) / R, W the win rate and R average win / average loss (Kelly 1956). None until the
    record holds both a win and a loss: either alone says "stake everything" or "nothing".
    """
    if not record.wins or not record.lost:
        return None
    win_rate = Decimal(record.wins) / record.count
    payoff = (record.won / record.wins) / (record.lost / record.losses)
    return win_rate - (ONE - win_rate) / payoff


def _size_problem(request: EntryRequest, equity: Decimal) -> Refusal | None:
    size, kind = request.size, request.size_by
    if not is_usable(size):
        return Refusal(
            rule="INVALID_SIZE",
            message=f"Size {size} is no {kind.value} for {request.symbol}.",
            remedy="Give a number greater than 0.",
            actual=str(size),
            limit="0",
        )
    if kind in {SizeBy.QUANTITY, SizeBy.NOTIONAL}:
        return None
    largest = ONE if kind in _RATIOS else request.leverage
    if size > largest:
        return Refusal(
            rule="INVALID_SIZE",
            message=f"Size {percent(size)} by {kind.value} above {percent(largest)}.",
            remedy="A ratio is a fraction: 0.02 means 2 %.",
            actual=shown(size),
            limit=shown(largest),
        )
    if equity <= ZERO:
        return Refusal(
            rule="NO_EQUITY",
            message=f"Equity {shown(equity)} leaves nothing to take a part of.",
            remedy="Add funds.",
            actual=shown(equity),
            limit="0",
        )
    return None


def _by_risk(request: EntryRequest, price: Decimal, equity: Decimal) -> Decimal | Refusal:
    distance = loss_distance(request.plan, price)
    if not distance:
        return Refusal(
            rule="SIZE_NEEDS_STOP",
            message=f"Risk of {percent(request.size)} has no size without a stop or a trail away "
            f"from {shown(price)} for {request.symbol}.",
            remedy="Add a stop, or size by quantity or notional.",
        )
    return equity * request.size / distance


def _by_volatility(request: EntryRequest, equity: Decimal) -> Decimal | Refusal:
    volatility = request.volatility
    if volatility is None or not is_usable(volatility):
        return Refusal(
            rule="SIZE_NEEDS_VOLATILITY",
            message=f"Volatility {volatility} gives no size for {request.symbol}.",
            remedy="Give the average true range in quote, or size another way.",
            actual=str(volatility),
            limit="0",
        )
    return equity * request.size / volatility


def _by_kelly(
    request: EntryRequest, price: Decimal, equity: Decimal, record: TradeRecord | None
) -> Decimal | Refusal:
    known = record or TradeRecord()
    ratio = kelly_ratio(known)
    if known.count < MIN_KELLY_TRADES or ratio is None:
        return Refusal(
            rule="KELLY_NEEDS_RECORD",
            message=f"Kelly needs {MIN_KELLY_TRADES} closed positions with wins and losses, "
            f"trader {request.trader} has {known.count}.",
            remedy="Size another way until there are enough.",
            actual=str(known.count),
            limit=str(MIN_KELLY_TRADES),
        )
    if ratio <= ZERO:
        return Refusal(
            rule="KELLY_NOT_POSITIVE",
            message=f"Trader {request.trader} has no edge: Kelly ratio {ratio:.4f}.",
            remedy="Size another way, or let the trader rest.",
            actual=f"{ratio:.4f}",
            limit="0",
        )
    return equity * request.size * ratio / price
