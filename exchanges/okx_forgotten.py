"""An order that a triggered stop created, and that OKX knows no more.

The venue forgets an order that ended without a fill after two hours, and the others later, but not
the stop. What became of such an order its fills say, which are kept for three months.

Source: www.okx.com/docs-v5/en (order details; transaction details, last three days and three
months: `ordId`).
"""

from datetime import timedelta

from msgspec.structs import replace

from domain.ids import VenueOrderId
from domain.instrument import Instrument
from domain.money import ZERO
from domain.order import Fill, OrderStatus, OrderType
from exchanges import okx_answers as okx
from exchanges.okx_pages import Pages
from exchanges.port import Unknown, VenueOrder
from exchanges.rest import LieError
from exchanges.translate import by_inst_id, fill_from_row

SETTLED = timedelta(minutes=1)  # by then the venue finds an order, and lists its fills


async def forgotten(
    pages: Pages,
    algo: VenueOrder,
    venue_id: str,
    instrument: Instrument,
) -> VenueOrder | Unknown:
    """Return what an order that `algo` created came to, by its fills; without any it was canceled.

    Call it only once the trigger is longer ago than `SETTLED`.
    """
    fills: dict[str, Fill] = {}
    for endpoint in (okx.FILLS, okx.PAST_FILLS):
        wanted = {"instType": instrument.kind.value.upper(), "ordId": venue_id}
        rows = await pages.all(endpoint, wanted, "billId")
        if isinstance(rows, Unknown):
            return rows
        try:
            for row in (row for row in rows if row.get("ordId") == venue_id):
                fill = fill_from_row(row, by_inst_id([instrument]), algo.terms.client_order_id)
                fills[fill.trade_id] = fill
        except LieError as lie:
            return Unknown(str(lie))
    filled = sum((each.quantity for each in fills.values()), ZERO)
    value = sum((each.quantity * each.price for each in fills.values()), ZERO)
    is_whole = bool(filled) and filled >= algo.terms.quantity
    return VenueOrder(
        terms=replace(algo.terms, type=OrderType.MARKET, quantity=filled),
        venue_order_id=VenueOrderId(venue_id),
        status=OrderStatus.FILLED if is_whole else OrderStatus.CANCELED,
        filled=filled,
        average_price=value / filled if filled else ZERO,
        reason="" if filled else "the venue knows its order no more, and no fill of it",
        updated_at=max((each.at for each in fills.values()), default=algo.updated_at),
    )
