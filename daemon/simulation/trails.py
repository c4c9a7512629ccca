"""Whether trailing stops follow the best price, fire when it comes back, and never go back."""

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from actors.persistence import JOURNAL_DOWN
from daemon.simulation.life import Life
from daemon.simulation.venue import SimVenue
from domain.position import Position
from domain.position_draft import HOLDS
from domain.protection import TRAIL, has_crossed
from domain.triggers import Watched

FIRES_WITHIN_S = 30.0  # of being crossed, through silences and partitions
_SEEN_S = 5.0  # an extreme this old is on the disk
_OFF_TRAIL = 1e-9


class TrailWatch:
    """Watches the trails of one day."""

    def __init__(
        self,
        venue: SimVenue,
        note: Callable[[str, str], None],
        within: Callable[[float, str, str], None],
    ) -> None:
        self.venue = venue
        self.note = note
        self._within = within
        self._feed: Any = None
        self._followed_s = 0.0  # when that was looked at last, and could be written
        self._trails: dict[tuple[Any, ...], deque[tuple[float, float]]] = {}
        self._best: dict[tuple[Any, ...], Decimal] = {}  # price while a trail was watched

    def look(self, life: Life, feed: Any, armed: list[Watched], positions: list[Position]) -> None:
        """I3: a trailing stop never goes back.

        A feed that ends may forget what it saw in its last moments, and while nothing could be
        written (`is_kept`: it could); then older levels count.
        """
        now_s = self.venue.outside.now_s
        is_kept = JOURNAL_DOWN not in life.world.causes
        if feed is not self._feed:
            self._feed = feed
            self._best.clear()
            for levels in self._trails.values():
                while levels and levels[-1][0] > self._followed_s - _SEEN_S:
                    levels.pop()
        if is_kept:
            self._followed_s = now_s
        held = {each.id: each for each in positions}
        trails = {each.id: each.protection.trail for each in positions}
        for each in armed:
            trail = trails.get(each.key) if each.exit_id == TRAIL else None
            if trail is None:
                continue
            below, level = each.below, each.level
            key = (each.key, trail.ratio, trail.distance)
            levels = self._trails.setdefault(key, deque())
            if levels:
                before = levels[-1][1]
                looser = before - level if below else level - before
                if looser > before * _OFF_TRAIL:
                    self.note("I3", f"the trail of {each.key} went from {before} to {level}")
            levels.append((now_s, level))
            self._follows(life, held[each.key], key, level)

    def _follows(self, life: Life, position: Position, key: tuple[Any, ...], level: float) -> None:
        """I3: a trail follows the best price. I12: it fires when the price comes back."""
        trail, direction = position.protection.trail, position.direction
        symbol = position.instrument.symbol
        price = self.venue.price(symbol.partition("/")[0])
        known = life.world.prices.prices.get(symbol)
        is_told = known is not None and bool(known.last) and Decimal(known.last) == price
        if trail is None or not is_told:
            return
        better = max if direction.sign > 0 else min
        best = self._best[key] = better(self._best.get(key, price), price)
        due = trail.level(direction, best)
        if (float(due) - level) * direction.sign > float(due) * _OFF_TRAIL:
            text = f"the trail of {position.id} is at {level}, not at {due}"
            self._within(FIRES_WITHIN_S, "I3", text)
        is_back = has_crossed(level=due, below=direction.sign > 0, price=price)
        if is_back and position.status in HOLDS and is_calm(position):
            self._within(FIRES_WITHIN_S, "I12", f"the trail of {position.id} does not fire")


def is_calm(position: Position) -> bool:
    """Whether nothing of it is being closed, and nothing of that has failed."""
    return not position.failed_exits and all(order.done for order in position.exits)
