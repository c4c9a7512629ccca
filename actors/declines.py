"""What a trader's owner keeps of entries refused before an order existed: each, but not each time.

A strategy may want the same at every candle, a program at every second: the same refusal again is
counted, and the count is journaled once in a while.
"""

from datetime import datetime

from msgspec.structs import replace

from actors.failures import failure_from
from actors.messages import EntryRefused
from actors.world import World
from domain.ids import NO_REQUEST
from domain.trader_state import (
    DeclinedAgain,
    EntryDeclined,
    Trader,
    TraderSettings,
    decline_key,
    known_decline,
)

COUNT_EVERY_S = 60.0


class Declines:
    """Makes refusals into events; those that repeat one wait here to be counted."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._again: dict[int, tuple[int, datetime]] = {}  # by number: how often, when last

    @property
    def is_waiting(self) -> bool:
        """Whether something is counted and not journaled yet."""
        return bool(self._again)

    def of(
        self, trader: Trader, settings: TraderSettings, refused: EntryRefused
    ) -> tuple[DeclinedAgain | EntryDeclined, ...]:
        """Return what to journal of a refusal; nothing when it repeats one, and is counted.

        A new one takes the place of an older one of its kind, whose count comes before it.
        """
        now = self.world.clock.now()
        request, refusal = refused.request, refused.refusal
        key = decline_key(request, refusal.rule, is_addition=refused.is_addition)
        known = known_decline(trader, key, now)
        if known is not None:
            times, _ = self._again.get(known.event.number, (0, now))
            self._again[known.event.number] = times + 1, now
            self.world.failures.note(failure_from(replace(known.event, at=now)))
            return ()
        before = trader.declines.get(key)
        counted = () if before is None else self._counted_of(before.event.number)
        asked = replace(request, trader=settings.name, request_id=NO_REQUEST, rationale="")
        declined = EntryDeclined(
            number=trader.declined + 1,
            request=asked,
            attempt=refused.attempt,
            rule=refusal.rule,
            message=refusal.message,
            remedy=refusal.remedy,
            at=now,
            is_addition=refused.is_addition,
        )
        self.world.failures.note(failure_from(declined))
        return (*counted, declined)

    def _counted_of(self, number: int) -> tuple[DeclinedAgain, ...]:
        again = self._again.pop(number, None)
        return () if again is None else (DeclinedAgain(number, *again),)

    def counted(self) -> tuple[DeclinedAgain, ...]:
        """Return the counts, and begin new ones."""
        again, self._again = self._again, {}
        return tuple(DeclinedAgain(number, times, at) for number, (times, at) in again.items())
