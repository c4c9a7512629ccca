"""Whose an execution at OKX is.

Rows of fills do not name the stop that created their order, so an order without an id of ours is
looked up, once; many of them are read from the list of ended orders.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

from domain.ids import ClientOrderId, identity_of
from exchanges import okx_answers as okx
from exchanges.okx_fields import Row, optional, stamp, text
from exchanges.okx_pages import Pages, Rows
from exchanges.okx_rules import Rules
from exchanges.port import NotFound, Unknown, VenueOrder
from exchanges.recent import Recent
from exchanges.rest import LieError
from exchanges.translate import NOBODY, instant, owner_of
from runtime.ports import Clock

MOST_KNOWN = 20_000  # orders whose owner is remembered
_FEW = 20  # orders that are looked up one by one
_SETTLED = timedelta(minutes=1)  # by then the venue finds an order that has filled
_VENUES_OWN = range(100, 129)  # `subType` of fills that are nobody's order: liquidations, ADL

LookUp = Callable[[Row, str], Awaitable[VenueOrder | NotFound | Unknown]]


class FillOwners:
    """Remembers which order belongs to whom."""

    def __init__(self, rules: Rules, pages: Pages, clock: Clock, look_up: LookUp) -> None:
        """`look_up` finds the order of a fill's row by the venue's id."""
        self._rules = rules
        self._pages = pages
        self._clock = clock
        self._look_up = look_up
        self._of_order: Recent[str, ClientOrderId] = Recent(MOST_KNOWN)  # by the venue's id

    def note(self, venue_id: str, owner: ClientOrderId) -> None:
        """Remember under which id an order is known here."""
        self._of_order.set(venue_id, owner)

    async def of(self, row: Row) -> ClientOrderId | Unknown:
        """Return under which id a fill's order is known here; "" when it is nobody's."""
        try:
            return await self._of(row)
        except LieError as lie:
            return Unknown(str(lie))

    async def _of(self, row: Row) -> ClientOrderId | Unknown:
        """Return the same; raises `LieError` for a row that cannot be believed."""
        known, venue_id = self._known(row), text(row, "ordId")
        if known is not None:
            return known
        order = await self._look_up(row, venue_id)
        if isinstance(order, Unknown):
            return order
        if isinstance(order, NotFound):
            # So may be an order that has just filled: who believes it takes a stop of ours for a
            # stranger's trade. Older than that the venue has forgotten it.
            is_fresh = self._clock.now() - instant(stamp(row, "ts")) < _SETTLED
            if is_fresh:
                return Unknown(f"order {venue_id} filled, and is not found yet")
            return owner_of(row)
        self._of_order.set(venue_id, order.terms.client_order_id)
        return order.terms.client_order_id

    def _known(self, row: Row) -> ClientOrderId | None:
        """Return whose a fill is, as far as its row and memory say. Raises `LieError`.

        The order that a stop creates may have an id that the venue made up.
        """
        own, subtype = owner_of(row), optional(row, "subType")
        if identity_of(own) is not None:
            return own
        if subtype.isascii() and subtype.isdigit() and int(subtype[:4]) in _VENUES_OWN:
            return NOBODY
        return self._of_order.get(text(row, "ordId"))

    async def learn(self, rows: Rows, since: datetime | None) -> None:
        """Read many orders' owners from the list of ended ones; what it lacks is looked up."""
        try:
            unknown = [row for row in rows if self._known(row) is None]
        except LieError:
            return  # said again, and judged, with its row
        if len({row.get("ordId") for row in unknown}) <= _FEW:
            return
        begin = {} if since is None else {"begin": str(int(since.timestamp() * 1000))}
        for kind in self._rules.kinds:
            wanted = {"instType": kind.value.upper()} | begin
            orders = await self._pages.all(okx.PAST_ORDERS, wanted, "ordId")
            for row in () if isinstance(orders, Unknown) else orders:
                with suppress(LieError):  # it says nothing of the others
                    self._learn_from(row)

    def _learn_from(self, row: Row) -> None:
        if optional(row, "algoClOrdId") or not optional(row, "algoId"):
            self._of_order.set(text(row, "ordId"), owner_of(row))
