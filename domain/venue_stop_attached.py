"""The stop that an entry brings along: at the venue even if the daemon dies as the entry fills.

The venue places it when the entry is done, for what that has filled. Until then the daemon's own
guard counts. It is the first order of the guard's leg; should the venue not have it after all, the
next one is placed under the next id.
"""

from msgspec.structs import replace

from domain.effects import AskOrders
from domain.ids import client_order_id
from domain.inputs import BeginEntry
from domain.instrument import Kind
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

    A limit order of spot has none: were it filled in parts, the stop of the first part would bind
    coins that the one for all needs.
    """
    entry = entry_of(begin)
    is_safe = entry.type is OrderType.MARKET or begin.instrument.kind is not Kind.SPOT
    if not rules.attaches_stops or begin.plan.stop_price is None or not is_safe:
        return entry
    stop_id = client_order_id(begin.account, begin.position_id, GUARD, 0)
    return replace(entry, attached=stop_id)


def expect_attached(decision: Draft, fill: Fill) -> None:
    """Count on the stop that came with the entry, from its first fill on, and ask for it.

    It may have been reported before that fill. Not where a limit order fills in part: its rest may
    take days, and another stop guards the part until then.
    """
    position = decision.position
    entry, price = position.entry, position.plan.stop_price
    if entry.attached is None or price is None or entry.client_order_id != fill.client_order_id:
        return
    if entry.type is not OrderType.MARKET and fill.quantity < entry.quantity:
        return
    asked = Resting(STOP, entry.quantity, trigger_price=price, watches=position.plan.guard_source)
    decision.record(VenueStopAttached(entry.attached, asked, decision.now))
    terms = stop_terms(position, VenueStop(entry.attached, asked))
    decision.then(AskOrders(position.id, (entry.attached,), (terms,)))
