"""Whose an order at the venue is: of a live position, of one that is over, or a stranger's.

The id says it. Who else trades on this account is told about once, and stops entries.
"""

from collections.abc import Callable

import structlog

from actors.world import World
from domain.ids import ClientOrderId, PositionId, account_tag, identity_of
from domain.modes import Mode, ModeCause
from domain.order import Fill
from domain.portfolio_life import REMEMBERED_CLOSED

log = structlog.get_logger("trade.execution")
FOREIGN_ORDERS = "FOREIGN_ORDERS"
MOST_STRANGERS = 100


class Ownership:
    """Knows ours from theirs. Owned by the exchange actor."""

    def __init__(self, world: World, stop_entries: Callable[[ModeCause], None]) -> None:
        self.world = world
        self._stop_entries = stop_entries
        self._seen: dict[ClientOrderId, None] = {}  # the last ones, so that each is told once
        self._orphans: dict[ClientOrderId, None] = {}  # seen at least once

    def position_of(self, order_id: ClientOrderId, *, is_present: bool = True) -> PositionId | None:
        """Return the position that an id of ours names; a stranger at work stops entries."""
        identity = identity_of(order_id)
        if identity is not None and identity.account_tag == account_tag(self.world.account):
            return identity.position_id
        if order_id not in self._seen:
            self._seen[order_id] = None
            if len(self._seen) > MOST_STRANGERS:
                del self._seen[next(iter(self._seen))]
            self.alarm("FOREIGN_ORDER", order_id, "is not ours")
            if is_present:
                self._stop_entries(not_alone(order_id))
        return None

    def is_live(self, position_id: PositionId) -> bool:
        """Whether a position is in memory, so that a fill of it is booked."""
        return self.world.position(position_id) is not None

    def was_booked(self, position_id: PositionId, fill: Fill, *, reconciled: bool) -> bool:
        """Whether a fill of a forgotten position is an old one told again, as far as is known."""
        portfolio = self.world.portfolio()
        closed = {} if portfolio is None else portfolio.closed
        if position_id in closed:
            return fill.trade_id in closed[position_id]
        return not reconciled and len(closed) >= REMEMBERED_CLOSED

    def note_orphan(self, order_id: ClientOrderId) -> None:
        """Say that an order of ours works for nobody, once it is seen a second time.

        A list may be from before its end.
        """
        if self.position_of(order_id) is None:
            return
        is_first = order_id not in self._orphans
        self._orphans[order_id] = None
        if len(self._orphans) > MOST_STRANGERS:
            del self._orphans[next(iter(self._orphans))]
        if not is_first:
            self.alarm("ORPHAN_ORDER", order_id, "rests at the venue, and its position is over")

    def alarm(self, code: str, order_id: ClientOrderId, what: str) -> None:
        """Raise an alarm about an order."""
        log.warning(code.lower(), client_order_id=order_id)
        self.world.telemetry.alarm(code, f"{order_id} {what}")


def is_strange(world: World, position_id: PositionId) -> bool:
    """Whether a position was certainly never one of this journal, though its id looks so.

    Another daemon on this account, of the same account name, gives such ids; so did this one before
    its journal was lost. Of what closed long ago nobody here can tell.
    """
    portfolio = world.portfolio()
    if portfolio is None or world.position(position_id) is not None:
        return False
    return position_id not in portfolio.closed and len(portfolio.closed) < REMEMBERED_CLOSED


def not_alone(order_id: ClientOrderId) -> ModeCause:
    """Return what stands against entries when an order at the venue is a stranger's."""
    return ModeCause(
        code=FOREIGN_ORDERS,
        mode=Mode.NO_ENTRY,
        message=f"Somebody else trades on this account: order {order_id} is not ours.",
        way_out=(
            "Stop the other program or give Holdfast an account of its own; cancel what it left at"
            " the venue. Then restart."
        ),
    )
