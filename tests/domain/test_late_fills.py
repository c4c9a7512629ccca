"""A fill that comes after an order was over: the money moved, so it is booked."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from domain.ids import ClientOrderId, PositionId, Symbol, TradeId, VenueOrderId
from domain.instrument import Side
from domain.money import Fee
from domain.order import (
    Fill,
    OrderAccepted,
    OrderBecameUnknown,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderFoundAbsent,
    OrderIntended,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderTerms,
    OrderType,
    evolve,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
ID = ClientOrderId("a1")
TERMS = OrderTerms(
    ID, PositionId("p1"), Symbol("BTC/USDT"), Side.SELL, OrderType.MARKET, Decimal(2)
)
SENT = (OrderSent(AT),)
ACCEPTED = (*SENT, OrderAccepted(VenueOrderId("v1"), AT))
ENDS = {
    "denied": (OrderDenied("SUPERSEDED", "another exit had left", AT),),
    "rejected": (*SENT, OrderRejected("51000", "no", AT)),
    "canceled": (*ACCEPTED, OrderCanceled(AT)),
    "expired": (*ACCEPTED, OrderExpired(AT)),
    "absent": (*SENT, OrderBecameUnknown("lost", AT), OrderFoundAbsent("all agree", AT)),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("quantity", ["1", "2"])
def test_an_order_that_was_over_takes_a_fill_and_says_that_it_was_late(end, quantity):
    order = evolve(None, OrderIntended(TERMS, AT))
    for event in ENDS[end]:
        order = evolve(order, event)
    price, fee = Decimal(60_000), Fee(Decimal(0), "USDT")
    fill = Fill(TradeId("t1"), ID, TERMS.symbol, Side.SELL, Decimal(quantity), price, fee, AT)
    order = evolve(order, OrderFilled(fill))
    assert order.filled == Decimal(quantity)
    assert order.late_fill
    assert (order.status is OrderStatus.FILLED) == (quantity == "2")
