"""What a position does when the venue takes orders of other sizes than when it was opened."""

from msgspec.structs import replace

from domain.effects import Alarm
from domain.inputs import GridTold
from domain.position_draft import Draft
from domain.position_events import GridChanged


def take_grid(decision: Draft, told: GridTold) -> None:
    """Order by the venue's sizes from now on; say what no order can sell any more.

    Sizes by which nothing of it could be sold are not taken over: it stays guarded as it is, and a
    person has to look. The venue may have said them by mistake.
    """
    if decision.position.is_closed:
        return
    position = decision.position
    before, held = position.instrument, position.remaining
    after = replace(
        before,
        lot_size=told.lot_size,
        min_quantity=told.min_quantity,
        max_market=told.max_market,
        max_market_value=told.max_market_value,
    )
    if after == before:
        return
    text = f"{before.symbol} is ordered in lots of {after.lot_size} at the venue now, at least "
    text += f"{after.min_quantity}: of {held} held "
    if before.can_be_ordered(held) and not after.can_be_ordered(held):
        text += "nothing can be sold by an order; close it there"
        decision.then(Alarm("LOT_RAISED", text, position.id))
        return
    decision.record(
        GridChanged(
            lot_size=after.lot_size,
            min_quantity=after.min_quantity,
            at=decision.now,
            max_market=after.max_market,
            max_market_value=after.max_market_value,
        )
    )
    rest = held - after.whole_lots(held)
    if rest > held - before.whole_lots(held):
        text += f"{rest} will be left over as dust; sell that there"
        decision.then(Alarm("LOT_RAISED", text, position.id))
