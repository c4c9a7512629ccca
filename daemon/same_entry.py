"""Whether a request with a known id asks for the position that has it."""

from collections.abc import Iterator
from decimal import Decimal

from msgspec.structs import asdict

from domain.commands import EntryRequest, SizeBy, TargetPlan
from domain.position import Position

_SPOKEN = {SizeBy.QUANTITY: "base units", SizeBy.NOTIONAL: "in quote", SizeBy.RISK_RATIO: "risk"}


def differences(
    asked: EntryRequest, held: Position, size: tuple[SizeBy, Decimal] | None
) -> list[str]:
    """Return what of a request is not as it was asked for; empty when it is the same.

    `size` is what the position was asked to be; None: not known.
    """
    sizes = ((asked.size_by, asked.size), size or (asked.size_by, asked.size))
    return [
        f"{name} {_shown(was)}, not {_shown(wanted)}"
        for name, wanted, was in (*_facts(asked, held), ("size", *sizes))
        if wanted != was
    ]


def _facts(asked: EntryRequest, held: Position) -> Iterator[tuple[str, object, object]]:
    yield "trader", asked.trader, held.trader
    yield "symbol", asked.symbol, held.instrument.symbol
    yield "side", asked.direction.value, held.direction.value
    yield "limit price", asked.limit_price, held.entry.limit_price
    yield "leverage", asked.leverage, held.leverage
    planned = asdict(held.plan)
    for name, wanted in asdict(asked.plan).items():
        yield name.replace("_", " "), wanted, planned[name]


def _shown(value: object) -> str:
    match value:
        case None | ():
            return "none"
        case (SizeBy() as by, size):
            return f"{size} {_SPOKEN.get(by, by.value)}"
        case TargetPlan():
            return f"{value.price}:{value.part}"
        case (*several,):
            return " ".join(map(_shown, several))
        case _:
            return str(getattr(value, "value", value))
