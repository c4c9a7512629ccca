"""The stop that rests at the venue: what is asked of it, what it has confirmed.

It triggers there without us: through an outage of ours it is what guards a position. One position
has one such stop, for all that no exit under way has claimed; for the moment in which one replaces
another it may have two.
"""

from datetime import datetime
from decimal import Decimal
from enum import Enum

import msgspec

from domain.ids import ClientOrderId, ExitId
from domain.instrument import PriceSource

GUARD = ExitId("guard-0")  # the leg of its order ids; every order of it has the next epoch


class StopState(Enum):
    """Where a stop at the venue is in its life; one that ended is forgotten."""

    __hash__ = object.__hash__  # members are singletons; Enum hashes their names, in Python

    PLACING = "placing"  # asked for; it may rest already, or never
    OPEN = "open"
    AMENDING = "amending"  # rests with what it had or with what is asked
    CANCELING = "canceling"  # asked to leave; it may trigger yet
    TRIGGERED = "triggered"  # fired: an exit under way


class Resting(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a stop at the venue does: closes `quantity` when its price is reached.

    With a target it is one order that closes at either price, whichever is reached first.
    """

    exit_id: ExitId  # the rule it stands for: "stop" or "trail"
    quantity: Decimal  # base units
    trigger_price: Decimal | None = None
    trail_ratio: Decimal | None = None  # follows the best price there, from when it was placed
    watches: PriceSource = PriceSource.LAST
    target_id: ExitId | None = None  # "target-2": the last one, which closes all of it
    target_price: Decimal | None = None

    def rule_at(self, price: Decimal | None) -> ExitId:
        """Return which of its rules a trade at `price` is of; when nobody knows, the stop."""
        if self.target_id is None or self.target_price is None or self.trigger_price is None:
            return self.exit_id
        if price is None:
            return self.exit_id
        is_nearer = abs(price - self.target_price) < abs(price - self.trigger_price)
        return self.target_id if is_nearer else self.exit_id


class VenueStop(msgspec.Struct, frozen=True, omit_defaults=True):
    """One order of that kind."""

    client_order_id: ClientOrderId
    asked: Resting
    state: StopState = StopState.PLACING
    held: Resting | None = None  # what the venue confirmed; None before that
    may_amend: bool = True  # False once the venue refused to change it
    changes: int = 0  # asked for so far; a report says which one it knows of

    @property
    def is_live(self) -> bool:
        """Whether it may still trigger, as far as is known."""
        return self.state is not StopState.TRIGGERED

    @property
    def may_sell(self) -> Decimal:
        """Base units it closes at most, whichever of its requests have arrived."""
        held = self.asked if self.held is None else self.held
        return max(self.asked.quantity, held.quantity)


class AtVenue(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that a position knows of its stop at the venue."""

    stops: tuple[VenueStop, ...] = ()  # oldest first; without those that have ended
    settled: bool = False  # what should rest does, confirmed
    round: int = 0  # how often it did not; numbers the deadlines
    missing: bool = False  # not in time, said so: the daemon alone guards
    failures: int = 0  # in a row, close together: slows down how fast it is tried again
    failed_at: datetime | None = None
    pausing: bool = False  # until that pause is over nothing is placed or changed
    alone_at: int = 0  # the version of the protection whose target the venue did not take along

    @property
    def live(self) -> tuple[VenueStop, ...]:
        """Return what may still trigger."""
        return tuple(stop for stop in self.stops if stop.is_live)

    @property
    def current(self) -> VenueStop | None:
        """Return the one that counts: the latest that nobody asked to leave."""
        return next(
            (
                stop
                for stop in reversed(self.stops)
                if stop.state not in {StopState.CANCELING, StopState.TRIGGERED}
            ),
            None,
        )

    def find(self, order_id: ClientOrderId) -> VenueStop | None:
        """Find one by its order."""
        return next((stop for stop in self.stops if stop.client_order_id == order_id), None)


NOTHING_AT_VENUE = AtVenue()
