"""The stop that an entry brings along: at the venue even if the daemon dies as the entry fills.

The venue places it when the entry is done, for what that has filled. Until then the daemon's own
guard counts. It is the first order of the guard's leg; should the venue not have it after all, the
next one is placed under the next id.
"""

from msgspec.structs import replace

from domain.effects import AskOrders
from domain.ids import ExitId, client_order_id
from domain.inputs import BeginEntry
from domain.money import ONE
from domain.order import Fill, OrderType
from domain.position import Entry
from domain.position_additions import entry_of
from domain.position_draft import Draft, PositionRules
from domain.protection import STOP
from domain.venue_stop import GUARD, Resting, VenueStop
from domain.venue_stop_align import stop_terms
from domain.venue_stop_events import VenueStopAttached


def first_entry(begin: BeginEntry, rules: PositionRules) -> Entry:
    """Return the order that opens a position, with its stop where the venue takes both.

    Only a market order has one. What a limit order fills in part needs a stop at once, and the one
    for all would come beside it, however late that is.
    """
    entry = entry_of(begin)
    is_brought = rules.attaches_stops and entry.type is OrderType.MARKET
    if not is_brought or begin.plan.stop_price is None:
        return entry
    stop_id = client_order_id(begin.account, begin.position_id, GUARD, 0)
    return replace(entry, attached=stop_id, with_target=_is_one_target(begin, rules))


def _is_one_target(begin: BeginEntry, rules: PositionRules) -> bool:
    """Whether one target closes all of it, so that it can come in one order with the stop."""
    plan = begin.plan
    closes_all = len(plan.targets) == 1 and plan.targets[0].part == ONE
    return rules.targets_at_venue and closes_all and plan.guard_source is plan.target_source


def expect_attached(decision: Draft, fill: Fill) -> None:
    """Count on the stop that came with the entry, from its first fill on, and ask for it.

    It may have been reported before that fill.
    """
    position = decision.position
    entry, price = position.entry, position.plan.stop_price
    if entry.attached is None or price is None or entry.client_order_id != fill.client_order_id:
        return
    asked = Resting(STOP, entry.quantity, trigger_price=price, watches=position.plan.guard_source)
    if entry.with_target:
        asked = replace(
            asked, target_id=ExitId("target-1"), target_price=position.plan.targets[0].price
        )
    decision.record(VenueStopAttached(entry.attached, asked, decision.now))
    terms = stop_terms(position, VenueStop(entry.attached, asked))
    decision.then(AskOrders(position.id, (entry.attached,), (terms,)))
