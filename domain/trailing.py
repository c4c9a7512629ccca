"""Trailing levels of one side of one price, without waking anyone while they follow.

A trail follows the best price since it was armed and fires when the price comes back from it by a
ratio or by a distance. Trails that share a best price form a *group*; in a group the smallest ratio
and the smallest distance are nearest, whatever the best becomes, so two heaps order it for good. A
new best swallows every group whose best is worse into one, small into large, so that a trail moves
O(log n) times in its life. Groups remember who took them in, and a trail finds its best price along
that chain.

Prices are signed as in `levels.py`, so best means lowest, and a trail fires when the signed price
rises to its level:

    level = best + drop,   drop = ratio * abs(best)   or   drop = distance

Only the group with the worst best, the *front*, can be improved first, and on a new best mostly the
front alone changes: it is kept aside, its level computed anew. The others stand on a *shelf*, a
heap by best that says which is swallowed next, and in a heap by level that says which fires next.
So the nearest level is the lesser of two numbers, a new best costs O(1), and arming with an old
best, as after a restart, costs O(log n). (A sorted stack with running maxima costs the same per
tick, but O(n) to arm in its middle or to take out what fired.)

Floats: with u = 2**-53, each of best, ratio (or distance), their product, their sum and the price
compared errs by at most one rounding, together less than 5 * u * (abs(best) + drop). `_level` moves
the level 8 * u * (abs(best) + drop) toward firing, so no exact crossing is missed. Which of two
bests is better is decided exactly: by their decimals when their floats are the same.
"""

from decimal import Decimal
from heapq import heapify, heappop, heappush
from math import inf
from typing import final

import msgspec

from domain.levels import Trigger

_SLACK = 2.0**-50  # 8 u


class Group(msgspec.Struct, eq=False):
    """Trails with the same best price."""

    best: float  # signed
    text: str  # the best price, exact, unsigned
    level: float  # signed; of the nearest trail, or nearer
    ratios: list[tuple[float, int, "TrailTrigger"]]  # heap by ratio, dead entries included
    distances: list[tuple[float, int, "TrailTrigger"]]  # heap by distance
    members: int  # live trails, reported ones included
    into: "Group | None"  # the group that swallowed it


@final
class TrailTrigger(Trigger, eq=False):
    """Fires when the price comes back from its best."""

    amount: float  # ratio, or distance in quote; >= 0
    by_ratio: bool
    group: Group  # the one it joined; `group_of` gives the present one


def group_of(trail: TrailTrigger) -> Group:
    """Return the group that a trail belongs to by now."""
    group = trail.group
    while group.into is not None:
        group = group.into
    trail.group = group  # the next time is one step
    return group


def level_of(trail: TrailTrigger) -> float:
    """Return the signed level of a trail at its present best, rounded toward firing."""
    best = group_of(trail).best
    return _level(best, trail.amount * abs(best) if trail.by_ratio else trail.amount)


def _level(best: float, drop: float) -> float:
    return best + drop - (abs(best) + drop) * _SLACK


def _nearest(group: Group) -> float:
    """Return the signed level of the nearest trail, dead ones included; inf when there is none."""
    best = group.best
    drop = group.ratios[0][0] * abs(best) if group.ratios else inf
    if group.distances and group.distances[0][0] < drop:
        drop = group.distances[0][0]
    return _level(best, drop) if drop < inf else inf


class Trails:
    """The trailing levels of one side."""

    __slots__ = (
        "_below",
        "_by_best",
        "_count",
        "_front",
        "_levels",
        "_pushes",
        "_shelf",
        "_spare",
        "at",
        "best_at",
    )

    def __init__(self, *, below: bool, spare: int) -> None:
        self._below = below
        self._spare = spare  # outdated entries that are not worth a pass
        self._pushes = 0  # makes heap entries unique, so that groups are never compared
        self._count = 0  # live trails
        self._clear()

    def _clear(self) -> None:
        self.at = inf  # signed; the nearest level or nearer: nothing fires before it
        self.best_at = -inf  # signed; nothing is a new best above it
        self._front: Group | None = None
        self._shelf: list[tuple[float, int, Group]] = []  # heap by worst best: (-best, _, group)
        self._levels: list[
            tuple[float, int, Group]
        ] = []  # heap by level, outdated entries included
        self._by_best: dict[float, Group] = {}  # on the shelf

    def __len__(self) -> int:
        """Count heap entries, dead ones included."""
        groups = [group for _, _, group in self._shelf]
        if self._front is not None:
            groups.append(self._front)
        return sum(len(group.ratios) + len(group.distances) + 1 for group in groups)

    def group_at(self, best: float, text: str) -> Group:
        """Return the group for a best price: `best` signed, `text` exact and unsigned."""
        front = self._front
        if front is None:
            return self._set_front(_new_group(best, text))
        if best == front.best and _is_same(text, front.text):
            return front
        if best > front.best or (best == front.best and self._is_better(front.text, text)):
            self._shelve(front)
            return self._set_front(_new_group(best, text))
        known = self._by_best.get(best)
        if known is not None and _is_same(text, known.text):
            return known
        group = _new_group(best, text)
        self._shelve(group)
        return group

    def join(self, trail: TrailTrigger) -> None:
        """Count a new trail to its group and watch it."""
        self._count += 1
        trail.group.members += 1
        self.add(trail)

    def add(self, trail: TrailTrigger) -> None:
        """Watch a trail that has joined, or was reported and had not crossed."""
        group = group_of(trail)
        heap = group.ratios if trail.by_ratio else group.distances
        heappush(heap, (trail.amount, trail.seq, trail))
        level = _nearest(group)
        if level < group.level:
            group.level = level
            if group is not self._front:
                self._push_level(group)
            self.at = min(self.at, level)

    def leave(self, trail: TrailTrigger) -> None:
        """Let go of a trail that is no longer live; its heap entry goes with the next sweep."""
        self._count -= 1
        if self._count:
            group_of(trail).members -= 1
        else:
            self._clear()

    def follow(self, signed: float, text: str) -> None:
        """Take a price at or beyond `best_at` as the best of every group whose best is worse."""
        front = self._front
        if front is None:
            return
        if signed == front.best and (text == front.text or not self._is_better(text, front.text)):
            return
        if self._shelf and -self._shelf[0][0] >= signed:
            front = self._swallow(front, signed, text)
        front.best = self.best_at = signed
        front.text = text
        front.level = level = _nearest(front)
        levels = self._levels
        self.at = levels[0][0] if levels and levels[0][0] < level else level

    def take(self, signed: float, taken: list[tuple[float, Trigger]]) -> None:
        """Move what fires at `signed` to `taken`, with the signed level of each."""
        front = self._front
        if front is None:
            return
        if front.level <= signed:
            _take_from(front, signed, taken)
        while self._levels and self._levels[0][0] <= signed:
            level, _, group = heappop(self._levels)
            if self._is_current(group, level):
                _take_from(group, signed, taken)
                self._push_level(group)
        self._see_nearest(front)

    def settle(self) -> None:
        """Make `at` the nearest live level."""
        front = self._front
        if front is None:
            return
        _take_from(front, -inf, [])
        while self._levels:
            level, _, group = self._levels[0]
            current = self._is_current(group, level)
            if current:
                _take_from(group, -inf, [])
                if group.level == level:
                    break
            heappop(self._levels)
            if current:
                self._push_level(group)  # farther than it was listed
        self._see_nearest(front)

    def sweep(self) -> None:
        """Leave out dead trails and groups without members; the front may stay empty."""
        shelf = [entry for entry in self._shelf if entry[2].members]
        groups = [group for _, _, group in shelf]
        if self._front is not None:
            groups.append(self._front)
        for group in groups:
            group.ratios = [entry for entry in group.ratios if entry[2].live]
            group.distances = [entry for entry in group.distances if entry[2].live]
            heapify(group.ratios)
            heapify(group.distances)
            group.level = _nearest(group)
        heapify(shelf)
        self._shelf = shelf
        self._by_best = {group.best: group for _, _, group in shelf}
        self._list_levels()
        if self._front is not None:
            self._see_nearest(self._front)

    def _see_nearest(self, front: Group) -> None:
        self.at = min(front.level, self._levels[0][0]) if self._levels else front.level

    def _is_better(self, one: str, other: str) -> bool:
        """Whether one price is strictly better than the other; exact."""
        return Decimal(one) > Decimal(other) if self._below else Decimal(one) < Decimal(other)

    def _is_current(self, group: Group, level: float) -> bool:
        return group.into is None and group is not self._front and group.level == level

    def _set_front(self, group: Group) -> Group:
        self._front = group
        self.best_at = group.best
        return group

    def _shelve(self, group: Group) -> None:
        self._pushes += 1
        heappush(self._shelf, (-group.best, self._pushes, group))
        self._by_best[group.best] = group
        self._push_level(group)

    def _push_level(self, group: Group) -> None:
        if group.level == inf:
            return
        self._pushes += 1
        heappush(self._levels, (group.level, self._pushes, group))
        if len(self._levels) > 2 * len(self._shelf) + self._spare:
            self._list_levels()

    def _list_levels(self) -> None:
        """Drop outdated entries: of groups that have a newer one or were swallowed."""
        self._levels = [(g.level, n, g) for _, n, g in self._shelf if g.level < inf]
        heapify(self._levels)

    def _swallow(self, front: Group, signed: float, text: str) -> Group:
        """Merge front and shelf up to a new best.

        A group on the shelf with the same float may still be better by its decimal: it stays.
        """
        met = [front]
        better: list[tuple[float, int, Group]] = []
        while self._shelf and -self._shelf[0][0] >= signed:
            entry = heappop(self._shelf)
            group = entry[2]
            if group.best == signed and self._is_better(group.text, text):
                better.append(entry)
                continue
            self._by_best.pop(group.best, None)
            met.append(group)
        for entry in better:
            heappush(self._shelf, entry)
        largest = max(met, key=lambda group: len(group.ratios) + len(group.distances))
        for group in met:
            if group is not largest:
                _pour(group, largest)
        self._front = largest
        return largest


def _new_group(best: float, text: str) -> Group:
    return Group(best, text, inf, [], [], 0, None)


def _is_same(one: str, other: str) -> bool:
    """Whether two prices of the same float are the same decimal, however they are printed."""
    return one == other or Decimal(one) == Decimal(other)


def _pour(small: Group, large: Group) -> None:
    """Move the trails of one group into another."""
    small.into = large
    large.members += small.members
    _pour_heap(small.ratios, large.ratios)
    _pour_heap(small.distances, large.distances)
    small.ratios, small.distances = [], []


def _pour_heap(
    small: list[tuple[float, int, TrailTrigger]], large: list[tuple[float, int, TrailTrigger]]
) -> None:
    live = [entry for entry in small if entry[2].live]
    if 4 * len(live) > len(large):  # then one linear pass is cheaper than pushing each
        large.extend(live)
        heapify(large)
    else:
        for entry in live:
            heappush(large, entry)


def _take_from(group: Group, signed: float, taken: list[tuple[float, Trigger]]) -> None:
    """Move what fires at `signed` from a group to `taken`, and see which of the rest is nearest."""
    best = group.best
    for heap, scale in ((group.ratios, abs(best)), (group.distances, 1.0)):
        while heap:
            amount, _, trail = heap[0]
            level = _level(best, amount * scale)
            if trail.live and level > signed:
                break
            heappop(heap)
            if trail.live:
                trail.reported = True
                taken.append((level, trail))
    group.level = _nearest(group)
