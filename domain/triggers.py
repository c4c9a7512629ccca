"""The trigger index: which positions must hear of a price, found without asking each.

One index serves one instrument and one price source. Owners arm fixed and trailing levels; the
index keeps the nearest on each side as two floats, `below_at` and `above_at`. A price between them
is *quiet*: it fires nothing and is no new best for any trail. It costs two comparisons, over 10
triggers or 300,000:

    if not index.below_at < price < index.above_at:
        for hit in index.on_price(price, text):
            ...  # tell the owner, which judges exactly

The index is derived and conservative. Its floats are rounded toward firing, so every exact decimal
crossing is reported at the very price that crosses; now and then one is reported that is not (a
difference beyond the 15th digit). The owner validates with `has_crossed` and either disarms or
answers `not_crossed`. Until then a hit trigger stays in the index, marked reported: it is not
reported again, but a trail goes on following, so that it is never armed looser.

Fixed levels are in `levels.py`, trails in `trailing.py`; both explain signed prices. Prices are
positive finite floats with the text they were parsed from.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from math import inf, isfinite

import msgspec

from domain.ids import ExitId, PositionId
from domain.levels import Levels, LevelTrigger, Trigger
from domain.protection import STOP, TRAIL
from domain.trailing import Trails, TrailTrigger, group_of, level_of

_GUARDS = frozenset({STOP, TRAIL})
_LIMIT = 1e150  # products of two amounts below it stay finite


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A trigger that a price has reached, as far as floats can tell."""

    key: PositionId
    exit_id: ExitId
    version: int
    best: str | None  # of a trail: its best price including this one, exact


class Watched(msgspec.Struct, frozen=True):
    """A trigger as it stands in the index; for tests and tables."""

    key: PositionId
    exit_id: ExitId
    version: int
    below: bool  # fires when the price is at or below `level`; else at or above
    level: float  # quote, rounded toward firing
    best: str | None
    reported: bool


NOTHING: Sequence[Hit] = ()


class TriggerIndex:
    """Fixed and trailing levels on one price of one instrument."""

    __slots__ = (
        "_above",
        "_below",
        "_count",
        "_dropped",
        "_longs",
        "_seq",
        "_shorts",
        "_spare",
        "_triggers",
        "above_at",
        "below_at",
    )

    def __init__(self, *, spare: int = 64) -> None:
        """Watch nothing yet. `spare`: how many dead entries are not worth a sweep."""
        self.below_at = -inf  # act when the price is at or below; read freely, never write
        self.above_at = inf  # act when the price is at or above
        self._below = Levels()
        self._above = Levels()
        self._longs = Trails(below=True, spare=spare)  # follow highs, fire below
        self._shorts = Trails(below=False, spare=spare)  # follow lows, fire above
        self._triggers: dict[PositionId, dict[ExitId, LevelTrigger | TrailTrigger]] = {}
        self._count = 0
        self._seq = 0
        self._dropped = 0  # triggers that died since the last sweep
        self._spare = spare

    def __len__(self) -> int:
        """Count triggers, reported ones included."""
        return self._count

    def arm(
        self, key: PositionId, exit_id: ExitId, version: int, price: Decimal, *, below: bool
    ) -> None:
        """Watch a fixed level, in place of an earlier trigger of the same (`key`, `exit_id`).

        Does not report by itself when the market is already there: `check` the present price
        afterwards. Raises `ValueError` for a price that is no finite number.
        """
        level = float(price)
        if not isfinite(level):
            raise ValueError(f"cannot arm {exit_id!r} of {key!r} at {price}")
        self._seq = seq = self._seq + 1
        if below:
            trigger = LevelTrigger(key, exit_id, version, True, seq, True, False, -level)
            self._replace(trigger)
            self._below.add(trigger)
            self.below_at = max(self.below_at, level)
        else:
            trigger = LevelTrigger(key, exit_id, version, False, seq, True, False, level)
            self._replace(trigger)
            self._above.add(trigger)
            self.above_at = min(self.above_at, level)

    def arm_trail(
        self,
        key: PositionId,
        exit_id: ExitId,
        version: int,
        *,
        below: bool,
        best: Decimal,
        ratio: Decimal | None,
        distance: Decimal | None,
    ) -> None:
        """Watch a trailing level, in place of an earlier trigger of the same (`key`, `exit_id`).

        Args:
            key: The owner.
            exit_id: Which of its exits.
            version: Of the protection; comes back in hits.
            below: True for a long: follows highs and fires below them.
            best: Best price so far, quote: the peak for a long, the trough for a short. A `check`
                with a better present price moves it.
            ratio: Fraction of the best price by which the price must come back, or None.
            distance: Quote by which the price must come back, or None.

        Raises `ValueError` unless `best` is positive and exactly one of `ratio` and `distance` is
        given, not negative.
        """
        amount = _amount(ratio, distance)
        top = float(best)
        if not (0.0 <= amount < _LIMIT and 0.0 < top < _LIMIT):
            raise ValueError(f"cannot arm {exit_id!r} of {key!r}: {amount=} {best=!s}")
        self.disarm(key, exit_id)  # first: an emptied side forgets its groups
        trails = self._longs if below else self._shorts
        group = trails.group_at(-top if below else top, str(best))
        self._seq = seq = self._seq + 1
        by_ratio = ratio is not None
        trail = TrailTrigger(
            key, exit_id, version, below, seq, True, False, amount, by_ratio, group
        )
        self._replace(trail)
        trails.join(trail)
        self._set_alarms()

    def disarm(self, key: PositionId, exit_id: ExitId) -> None:
        """Forget a trigger, if there is one."""
        triggers = self._triggers.get(key)
        trigger = triggers.pop(exit_id, None) if triggers else None
        if trigger is None:
            return
        if not triggers:
            del self._triggers[key]
        self._count -= 1
        self._drop(trigger)

    def disarm_all(self, key: PositionId) -> None:
        """Forget all triggers of an owner."""
        triggers = self._triggers.pop(key, None)
        if triggers is None:
            return
        self._count -= len(triggers)
        for trigger in triggers.values():
            self._drop(trigger)

    def not_crossed(self, key: PositionId, exit_id: ExitId, version: int) -> None:
        """Watch a reported trigger again: its owner found that the price had not crossed.

        Does nothing when the trigger was disarmed, replaced or armed again since: the answer is
        stale. Nothing is checked here; the next price may hit it again, also when it is the same.
        """
        trigger = self._find(key, exit_id)
        if trigger is None or not trigger.reported or trigger.version != version:
            return
        trigger.reported = False
        if type(trigger) is TrailTrigger:
            (self._longs if trigger.below else self._shorts).add(trigger)
        else:
            (self._below if trigger.below else self._above).add(trigger)
        self._set_alarms()

    def on_price(self, price: float, text: str) -> Sequence[Hit]:
        """Take a price: let trails follow it, and return what it reaches, each trigger once.

        Guards ("stop", "trail") come before targets and the rest: a gap through both is a stop.
        Among equals the level passed first comes first, that is the one farthest behind the price;
        then the one armed first.
        """
        if self.below_at < price < self.above_at:
            return NOTHING
        longs, shorts, signed = self._longs, self._shorts, -price
        if signed <= longs.best_at:
            longs.follow(signed, text)
        if price <= shorts.best_at:
            shorts.follow(price, text)
        hits = NOTHING
        if (
            longs.at <= signed
            or shorts.at <= price
            or self._below.at <= signed
            or self._above.at <= price
        ):
            hits = self._take(price)
        self._set_alarms()
        return hits

    def check(self, price: float, text: str) -> Sequence[Hit]:
        """Take the present price again after arming: what has crossed already is reported now."""
        return self.on_price(price, text)

    def best_of(self, key: PositionId, exit_id: ExitId) -> str | None:
        """Return the best price that a trail has seen, exact; None for what is no trail."""
        trigger = self._find(key, exit_id)
        return group_of(trigger).text if type(trigger) is TrailTrigger else None

    def nearest(self) -> tuple[float | None, float | None]:
        """Return the nearest level below and above, in quote; None where nothing is armed."""
        for side in (self._below, self._longs, self._above, self._shorts):
            side.settle()
        self._set_alarms()
        below = min(self._below.at, self._longs.at)
        above = min(self._above.at, self._shorts.at)
        return (-below if below < inf else None, above if above < inf else None)

    def armed(self) -> Iterator[Watched]:
        """Go through all triggers, reported ones included."""
        for triggers in self._triggers.values():
            for trigger in triggers.values():
                trails = type(trigger) is TrailTrigger
                signed = level_of(trigger) if type(trigger) is TrailTrigger else trigger.level
                yield Watched(
                    key=trigger.key,
                    exit_id=trigger.exit_id,
                    version=trigger.version,
                    below=trigger.below,
                    level=-signed if trigger.below else signed,
                    best=self.best_of(trigger.key, trigger.exit_id) if trails else None,
                    reported=trigger.reported,
                )

    def _find(self, key: PositionId, exit_id: ExitId) -> LevelTrigger | TrailTrigger | None:
        triggers = self._triggers.get(key)
        return None if triggers is None else triggers.get(exit_id)

    def _replace(self, trigger: LevelTrigger | TrailTrigger) -> None:
        triggers = self._triggers.get(trigger.key)
        if triggers is None:
            self._triggers[trigger.key] = {trigger.exit_id: trigger}
            self._count += 1
            return
        earlier = triggers.get(trigger.exit_id)
        triggers[trigger.exit_id] = trigger
        if earlier is None:
            self._count += 1
        else:
            self._drop(earlier)

    def _drop(self, trigger: LevelTrigger | TrailTrigger) -> None:
        """Let go of a trigger. An alarm may stay too near; then one tick looks and corrects it."""
        trigger.live = False
        if type(trigger) is TrailTrigger:
            (self._longs if trigger.below else self._shorts).leave(trigger)
        self._dropped += 1
        if self._dropped > self._count + self._spare:
            for side in (self._below, self._above, self._longs, self._shorts):
                side.sweep()
            self._dropped = 0

    def _take(self, price: float) -> Sequence[Hit]:
        taken: list[tuple[float, Trigger]] = []
        self._longs.take(-price, taken)
        self._below.take(-price, taken)
        self._shorts.take(price, taken)
        self._above.take(price, taken)
        if len(taken) > 1:
            taken.sort(key=lambda entry: _order(entry, price))
        return [_hit(trigger) for _, trigger in taken] or NOTHING

    def _set_alarms(self) -> None:
        """Find the nearest thing to act on: a level, or a best price that a trail could improve."""
        # Comparisons instead of min() and max(): it runs on every new high, and calls cost double.
        level, trail, best = self._below.at, self._longs.at, self._shorts.best_at
        below = -level if level < trail else -trail
        self.below_at = best if best > below else below  # noqa: FURB136
        level, trail, best = self._above.at, self._shorts.at, -self._longs.best_at
        above = level if level < trail else trail  # noqa: FURB136
        self.above_at = best if best < above else above  # noqa: FURB136


def _amount(ratio: Decimal | None, distance: Decimal | None) -> float:
    if ratio is not None and distance is None:
        return float(ratio)
    if distance is not None and ratio is None:
        return float(distance)
    raise ValueError(f"a trail has a ratio or a distance: {ratio=!s} {distance=!s}")


def _order(entry: tuple[float, Trigger], price: float) -> tuple[bool, float, int]:
    level, trigger = entry
    behind = level + price if trigger.below else level - price  # both <= 0
    return trigger.exit_id not in _GUARDS, behind, trigger.seq


def _hit(trigger: Trigger) -> Hit:
    best = group_of(trigger).text if type(trigger) is TrailTrigger else None
    return Hit(trigger.key, trigger.exit_id, trigger.version, best)
