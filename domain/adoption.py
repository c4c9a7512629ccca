"""The emergency stop of a position that was found at the venue."""

from decimal import Decimal

from domain.commands import ProtectionPlan
from domain.instrument import Direction, Instrument
from domain.money import ONE, ZERO


def emergency_plan(
    instrument: Instrument,
    direction: Direction,
    price: Decimal,
    liquidation_price: Decimal | None,
    distance_ratio: Decimal,
) -> ProtectionPlan:
    """Return a stop at `distance_ratio` from `price`, the market's of the moment, in quote.

    Counted from the market, not from the entry: a position that has lost already is not to be
    closed for having been found. Where liquidation would come first, the stop lies halfway to it.
    """
    stop = price * (ONE - direction.sign * distance_ratio)
    if liquidation_price is not None and liquidation_price > ZERO:
        halfway = (price + liquidation_price) / 2
        if (liquidation_price - stop) * direction.sign >= ZERO:
            stop = halfway
    stop = max(stop, instrument.tick_size)
    return ProtectionPlan(stop_price=instrument.stop_on_tick(direction, stop))
