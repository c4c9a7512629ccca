"""A decision in the making, shared by the files that decide for a position."""

from datetime import datetime
from decimal import Decimal
from enum import Enum

import msgspec

from domain.effects import Answer, PositionEffect
from domain.errors import Refusal
from domain.ids import NO_REQUEST, RequestId
from domain.modifications import Market, ModificationRules
from domain.position import Position, PositionStatus
from domain.position_events import AnyPositionEvent
from domain.position_life import evolve

HOLDS = frozenset(
    {
        PositionStatus.OPEN_UNPROTECTED,
        PositionStatus.OPEN_PROTECTED,
        PositionStatus.MODIFYING,
        PositionStatus.ADOPTED,
    }
)


class OutsideChanges(Enum):
    """What to do when a person moves our stop on the venue's site."""

    RESTORE = "restore"  # back to what the position says
    ADOPT = "adopt"  # the position says what the person did


class PositionRules(msgspec.Struct, frozen=True):
    """Limits and delays that hold for every position of the daemon."""

    modifications: ModificationRules = ModificationRules()
    taker_fee_ratio: Decimal = Decimal("0.0005")
    unprotected_after_s: float = 2.0  # then an alarm
    exit_after_s: float = 3.0  # then out at market
    retry_first_s: float = 0.1
    retry_max_s: float = 5.0
    retry_often: int = 100  # failures in a row, about eight minutes; then the venue means it
    retry_rarely_s: float = 20.0  # how much later an exit may come once trading resumes
    stops_at_venue: bool = False  # stops rest there; the daemon's own guard stays beside them
    amends_stops: bool = False  # their price and quantity can be changed in place
    trails_at_venue: bool = False  # trails by a ratio, too
    attaches_stops: bool = False  # an entry brings its stop along
    targets_at_venue: bool = False  # the last target rests there in one order with the stop
    grace_s: float = 1.0  # a crossed stop that rests at the venue has so long to trigger there
    exit_waits_s: float = 0.3  # an exit of a swap, for the stop to let go of its units
    outside_changes: OutsideChanges = OutsideChanges.RESTORE
    # What a venue calls a stop on the wrong side of the price: it would trigger at once. OKX says
    # 51278 of a buy, 51280 of a sell; of one that an order brings along 51053 and 51051.
    wrong_side_codes: tuple[str, ...] = ("51278", "51280", "51051", "51053", "WOULD_TRIGGER")
    # What says nothing of what was asked: it never left, or came too soon after others (OKX).
    passing_codes: tuple[str, ...] = ("NOT_SENT", "50011", "50061")
    paper: bool = True  # no real money: other rules of retention


class Decision(msgspec.Struct, frozen=True):
    """What happened, and what is to be done about it."""

    events: tuple[AnyPositionEvent, ...] = ()
    effects: tuple[PositionEffect, ...] = ()


class Draft:
    """A decision in the making: records an event, sees its consequence, goes on."""

    def __init__(
        self, position: Position | None, rules: PositionRules, now: datetime, market: Market
    ) -> None:
        self._position = position
        self.before = position
        self.market = market
        self.rules = rules
        self.now = now
        self.events: list[AnyPositionEvent] = []
        self.effects: list[PositionEffect] = []

    @property
    def is_born(self) -> bool:
        """Whether there is a position."""
        return self._position is not None

    @property
    def position(self) -> Position:
        """The position after the events recorded so far."""
        assert self._position is not None
        return self._position

    def record(self, event: AnyPositionEvent) -> None:
        """Note what happened and see its consequence."""
        self._position = evolve(self._position, event)
        self.events.append(event)

    def then(self, *effects: PositionEffect) -> None:
        """Ask something of the world."""
        self.effects.extend(effects)

    def answer(self, request_id: RequestId, refusal: Refusal | None = None) -> None:
        """Answer whoever asked, if anybody did."""
        if request_id != NO_REQUEST:
            self.then(Answer(request_id, self.position.id, refusal))

    def finish(self) -> Decision:
        """Return what was decided."""
        return Decision(tuple(self.events), tuple(self.effects))
