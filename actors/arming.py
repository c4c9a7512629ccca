"""Who is armed with a feed: since when, at which levels, and what is beyond one at once.

The feed's extremes count from the stamp that arming returns. A position armed again keeps what its
trails have seen.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from actors.feed_memory import FeedMemory
from actors.line import PriceLine
from domain.effects import Arm, Disarm
from domain.ids import ExitId, PositionId, Symbol
from domain.instrument import PriceSource
from domain.protection import Level, TrailLevel
from domain.triggers import Hit


class Arming:
    """Puts levels into the trigger indices of one feed. Owned by it."""

    def __init__(
        self,
        lines: Mapping[Symbol, PriceLine],
        memory: FeedMemory,
        armed_since: dict[PositionId, datetime],
    ) -> None:
        self._lines = lines
        self._memory = memory
        self._armed_since = armed_since
        self._trails_since: dict[PositionId, datetime] = {}  # not known to be confirmed
        self.held: Counter[Symbol] = Counter()  # armed positions

    def arm(self, arm: Arm) -> datetime:
        """Watch these levels instead of any before; return the stamp from which extremes count."""
        line = self._lines[arm.symbol]
        best: dict[ExitId, str | None] = {}
        if arm.position_id in self._armed_since:
            best = {each: line.best_of(arm.position_id, each) for each in _trails_of(arm)}
            _disarm(line, arm.position_id)
        since = self._first_armed(arm, self._memory.cut(line, _last_stamp(arm)), best)
        if arm.position_id not in self._armed_since:
            self.held[arm.symbol] += 1
        self._armed_since.setdefault(arm.position_id, arm.since or since)
        for level in arm.levels:
            self._arm_level(line, arm, level, best.get(level.exit_id))
        return since

    def beyond(self, arm: Arm) -> Iterator[tuple[PriceSource, Sequence[Hit], str]]:
        """Yield what the present prices have crossed already, and the price of each."""
        line = self._lines[arm.symbol]
        sources = {
            level.watches if isinstance(level, Level) else level.trail.watches
            for level in arm.levels
        }
        for source in sorted(sources, key=lambda each: each.value):
            text = line.text_of(source)
            if not text:
                continue
            # A trail counts it as seen, so a crash must not forget it.
            line.interval_for(source).carry(float(text), text)
            hits = line.index_for(source).check(float(text), text)
            if hits:
                yield source, hits, text

    def _first_armed(
        self, arm: Arm, stamp: datetime, best: Mapping[ExitId, str | None]
    ) -> datetime:
        """Return the stamp from which extremes count for who is armed at `stamp`.

        A trail that nobody has confirmed yet may be armed again, by the next version: it keeps its
        best price, and so it keeps its stamp.
        """
        key = arm.position_id
        known = self._trails_since.pop(key, None)
        for level in arm.levels:
            if isinstance(level, TrailLevel) and level.trail.since is None:
                if known is not None and best.get(level.exit_id) is not None:
                    stamp = known
                self._trails_since[key] = stamp
        return stamp

    def _arm_level(
        self, line: PriceLine, arm: Arm, level: Level | TrailLevel, seen_before: str | None
    ) -> None:
        key, version = arm.position_id, arm.version
        if isinstance(level, Level):
            index = line.index_for(level.watches)
            index.arm(key, level.exit_id, version, level.price, below=level.below)
            return
        trail = level.trail
        low, high = self._memory.extremes(line, trail.watches, trail.since)
        seen = high if level.below else low
        known = [trail.anchor]
        if seen is not None and trail.since is not None:
            known.append(seen)
        if seen_before is not None:  # by a version that was never acknowledged
            known.append(Decimal(seen_before))
        best = max(known) if level.below else min(known)
        line.index_for(trail.watches).arm_trail(
            key,
            level.exit_id,
            version,
            below=level.below,
            best=best,
            ratio=trail.ratio,
            distance=trail.distance,
        )

    def give_up(self, arm: Arm) -> None:
        """Watch none of these levels: to arm them has failed, perhaps half-way."""
        line = self._lines.get(arm.symbol)
        if line is not None:
            _disarm(line, arm.position_id)

    def disarm(self, disarm: Disarm) -> None:
        """Stop watching one level, or all."""
        line = self._lines[disarm.symbol]
        if disarm.exit_id is None:
            _disarm(line, disarm.position_id)
            if disarm.over:
                known = self._armed_since.pop(disarm.position_id, None)
                self._trails_since.pop(disarm.position_id, None)
                if known is not None:
                    self.held[disarm.symbol] -= 1
            return
        for index in line.indices():
            index.disarm(disarm.position_id, disarm.exit_id)


def _disarm(line: PriceLine, position_id: PositionId) -> None:
    for index in line.indices():
        index.disarm_all(position_id)


def _last_stamp(arm: Arm) -> datetime | None:
    last = arm.since
    for level in arm.levels:
        if isinstance(level, TrailLevel):
            since = level.trail.since
            if since is not None and (last is None or since > last):
                last = since
    return last


def _trails_of(arm: Arm) -> Iterator[ExitId]:
    return (level.exit_id for level in arm.levels if isinstance(level, TrailLevel))
