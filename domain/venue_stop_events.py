"""The events of the stop that rests at the venue; `venue_stop_life.py` has what follows."""

from datetime import datetime
from decimal import Decimal

import msgspec

from domain.ids import ClientOrderId
from domain.order import OrderStatus
from domain.venue_stop import Resting


class VenueStopEvent(msgspec.Struct, frozen=True):
    """Something that happened to the stop of one position."""


class VenueStopOrdered(VenueStopEvent, frozen=True):
    """The venue is asked to hold a stop; its order leaves once this is durable."""

    client_order_id: ClientOrderId
    asked: Resting
    at: datetime


class VenueStopAttached(VenueStopEvent, frozen=True):
    """The entry has filled, which brought a stop along: the venue places it when that is done."""

    client_order_id: ClientOrderId
    asked: Resting
    at: datetime


class VenueStopConfirmed(VenueStopEvent, frozen=True):
    """The venue holds it."""

    client_order_id: ClientOrderId
    held: Resting
    settled: bool  # it is what should rest
    at: datetime


class VenueStopChangeOrdered(VenueStopEvent, frozen=True):
    """The venue is asked to change it in place."""

    client_order_id: ClientOrderId
    asked: Resting
    at: datetime


class VenueStopChangeRefused(VenueStopEvent, frozen=True):
    """It stays as it was: another must take its place, unless the venue never judged the change."""

    client_order_id: ClientOrderId
    why: str
    at: datetime
    for_good: bool = True


class VenueStopOutdated(VenueStopEvent, frozen=True):
    """What rests is no longer what should, and cannot be changed at this moment."""

    at: datetime


class VenueStopCancelOrdered(VenueStopEvent, frozen=True):
    """The venue is asked to let it go: another takes its place, or an exit needs its units."""

    client_order_id: ClientOrderId
    at: datetime


class VenueStopTriggered(VenueStopEvent, frozen=True):
    """It fired there; `ExitFired` with its order follows in the same step."""

    client_order_id: ClientOrderId
    at: datetime


class VenueStopEnded(VenueStopEvent, frozen=True):
    """Its order is over."""

    client_order_id: ClientOrderId
    status: OrderStatus
    why: str
    at: datetime


class VenueStopFailed(VenueStopEvent, frozen=True):
    """It was refused, lost, or taken away: how often lately, and so how soon it is tried again."""

    why: str
    failures: int
    at: datetime


class VenueStopTried(VenueStopEvent, frozen=True):
    """The pause after a failure is over."""

    at: datetime


class VenueStopMissing(VenueStopEvent, frozen=True):
    """The venue did not confirm it in time; where the daemon watches, that counts as the guard."""

    why: str
    at: datetime


class ExitHeldBack(VenueStopEvent, frozen=True):
    """An exit could not leave beside the stop, for others hold the symbol: the stop goes first."""

    client_order_id: ClientOrderId
    at: datetime


class ExitReleased(VenueStopEvent, frozen=True):
    """An exit that waited for the stop to let go of its units leaves, for what is left."""

    client_order_id: ClientOrderId
    quantity: Decimal  # base units
    at: datetime


AnyVenueStopEvent = (
    VenueStopOrdered
    | VenueStopAttached
    | VenueStopConfirmed
    | VenueStopChangeOrdered
    | VenueStopChangeRefused
    | VenueStopOutdated
    | VenueStopCancelOrdered
    | VenueStopTriggered
    | VenueStopEnded
    | VenueStopFailed
    | VenueStopTried
    | VenueStopMissing
    | ExitHeldBack
    | ExitReleased
)
