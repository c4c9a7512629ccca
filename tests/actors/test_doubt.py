"""What the venue is asked after a start: as little as answers for everything."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace

from actors.doubt import AFTER_A_STEP, reconcile
from actors.messages import Reconciled
from domain.ids import AccountName, PositionId, Symbol, TradeId, VenueOrderId, client_order_id
from domain.instrument import Side
from domain.money import Fee
from domain.order import (
    Fill,
    Order,
    OrderAccepted,
    OrderIntended,
    OrderSent,
    OrderStatus,
    OrderTerms,
    OrderType,
    evolve,
)
from exchanges.port import VenueOrder
from tests.actors.box import START

D = Decimal
OPENED = START
STOPPED = START + timedelta(days=20)
POSITION = PositionId("0190f0a0-0000-7000-8000-000000000001")
GUARD = client_order_id(AccountName("main"), POSITION, "guard-0", 0)
TERMS = OrderTerms(
    GUARD, POSITION, Symbol("BTC/USDT"), Side.SELL, OrderType.STOP, D("0.02"), reduce_only=True
)


def resting() -> Order:
    order = evolve(None, OrderIntended(TERMS, OPENED))
    return evolve(evolve(order, OrderSent(OPENED)), OrderAccepted(VenueOrderId("7"), OPENED))


def sold(at: datetime) -> Fill:
    fee = Fee(D(0), "USDT")
    return Fill(TradeId("1"), GUARD, TERMS.symbol, Side.SELL, D("0.02"), D(59_000), fee, at)


class Venue:
    """Knows one order, and its fill."""

    def __init__(self, order: VenueOrder, *fills: Fill) -> None:
        self.known = order
        self.all = fills
        self.since: list[datetime | None] = []

    async def open_orders(self):
        return ()

    async def order(self, _symbol, _order_id):
        return self.known

    async def fills(self, since: datetime | None):
        self.since.append(since)
        return tuple(fill for fill in self.all if since is None or fill.at >= since)


def asked(venue: Venue) -> Reconciled:
    said = reconcile(venue, OPENED, STOPPED, {GUARD: resting()}, lambda _order_id: False, 0.0)
    found = asyncio.run(said)
    assert isinstance(found, Reconciled)
    return found


def fired(filled: str) -> VenueOrder:
    status = OrderStatus.FILLED if D(filled) else OrderStatus.OPEN
    return VenueOrder(TERMS, VenueOrderId("7"), status, D(filled), D(59_000), "", STOPPED)


def test_a_stop_that_fired_lately_is_booked_from_the_latest_fills() -> None:
    fill = sold(STOPPED + timedelta(minutes=5))
    venue = Venue(fired("0.02"), fill)
    assert asked(venue).fills == (fill,)
    assert venue.since == [STOPPED - AFTER_A_STEP]


def test_a_stop_that_fired_in_a_long_silence_is_booked_from_older_fills() -> None:
    fill = sold(STOPPED - timedelta(days=3))
    venue = Venue(fired("0.02"), fill)
    assert asked(venue).fills == (fill,)
    assert venue.since == [STOPPED - AFTER_A_STEP, OPENED - AFTER_A_STEP]


def test_without_anything_new_no_older_fills_are_read() -> None:
    other = replace(sold(STOPPED), client_order_id="another")
    venue = Venue(fired("0"), other)
    assert asked(venue).fills == (other,)
    assert venue.since == [STOPPED - AFTER_A_STEP]
