"""Trailing levels: groups, what swallows them, and bests that floats cannot tell apart."""

import random
from dataclasses import dataclass
from decimal import Decimal
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ids import PositionId
from domain.instrument import Direction
from domain.protection import TRAIL, Trail, has_crossed
from domain.trailing import Trails
from domain.triggers import TriggerIndex
from tests.domain.trail_words import ONE, THREE, TWO, arm, hits, position


def trails_of(index: TriggerIndex) -> Trails:
    return index._longs


def groups_in(trails: Trails) -> int:
    return len(trails._shelf) + (trails._front is not None)


def test_a_long_follows_highs_and_fires_below_them() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100", ratio="0.02")

    assert hits(index, "98.01") == []
    assert hits(index, "200") == []
    assert hits(index, "196.01") == []
    assert hits(index, "196") == [ONE]


def test_a_short_follows_lows_and_fires_above_them() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100", below=False, ratio="0.02")
    arm(index, TWO, "100", below=False, distance="3")

    assert hits(index, "50") == []
    assert hits(index, "50.99") == []
    assert hits(index, "51") == [ONE]
    assert hits(index, "53") == [TWO]


def test_the_hit_carries_the_exact_text_of_the_best_price() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100", distance="5")
    index.on_price(120.5, "120.50")

    (hit,) = index.on_price(115.5, "115.50")

    assert hit.best == "120.50"
    assert index.best_of(ONE, TRAIL) == "120.50"
    assert index.best_of(TWO, TRAIL) is None


def test_a_reported_trail_goes_on_following_and_is_armed_again_no_looser() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100", distance="5")
    assert hits(index, "95") == [ONE]
    assert hits(index, "110") == []

    index.not_crossed(ONE, TRAIL, 1)

    assert index.best_of(ONE, TRAIL) == "110"
    assert index.nearest()[0] == pytest.approx(105)
    assert hits(index, "105") == [ONE]


def test_a_reported_trail_follows_through_groups_that_swallow_one_another() -> None:
    index = TriggerIndex(spare=0)
    for number in range(40):
        arm(index, position(number), str(200 - number), distance="50")
    assert len(hits(index, "120")) == 31  # those with a best of 170 and more
    for price in range(161, 260, 7):
        hits(index, str(price))

    for number in range(40):
        assert index.best_of(position(number), TRAIL) == "259"
        index.not_crossed(position(number), TRAIL, 1)
    assert len(hits(index, "209")) == 40


def test_a_new_best_swallows_only_groups_whose_best_is_worse() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100", distance="50")
    arm(index, TWO, "110", distance="50")
    arm(index, THREE, "120", distance="50")
    assert groups_in(trails_of(index)) == 3

    hits(index, "115")

    assert groups_in(trails_of(index)) == 2
    assert [index.best_of(key, TRAIL) for key in (ONE, TWO, THREE)] == ["115", "115", "120"]


def test_a_best_reached_again_joins_the_group_that_has_it() -> None:
    index = TriggerIndex()
    for number in range(20):
        arm(index, position(number), ("100", "110.0", "110", "120")[number % 4], distance="50")

    assert groups_in(trails_of(index)) == 3


def test_trails_may_be_armed_with_older_and_better_bests_in_any_order() -> None:
    chance = random.Random(3)
    bests = list(range(1100, 1300))
    chance.shuffle(bests)
    index = TriggerIndex()
    for best in bests:
        arm(index, position(best), str(best), distance="1000")

    fired = [key for price in range(299, 99, -1) for key in hits(index, str(price))]

    assert fired == [position(best) for best in range(1299, 1099, -1)]


def test_trails_that_are_gone_leave_no_alarm() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100", distance="5")
    arm(index, TWO, "90", distance="5")
    index.disarm(TWO, TRAIL)
    index.disarm_all(ONE)

    hits(index, "101")

    assert (index.below_at, index.above_at) == (-inf, inf)
    assert groups_in(trails_of(index)) == 0


def test_groups_whose_trails_are_gone_are_swept_away() -> None:
    index = TriggerIndex(spare=5)
    arm(index, ONE, "1000", distance="999")
    for number in range(500):  # each fires and is closed in a falling market, without a new high
        arm(index, TWO, str(900 - number), distance="1")
        assert hits(index, str(899 - number)) == [TWO]
        index.disarm(TWO, TRAIL)

    assert groups_in(trails_of(index)) <= 10


def test_the_price_at_the_best_is_no_new_best() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100.0", distance="5")

    assert hits(index, "100.00") == []

    assert index.above_at == 100.0  # it may be better by less than a float can tell: look each time
    assert index.best_of(ONE, TRAIL) == "100.0"


def test_a_best_that_is_better_by_less_than_a_float_can_tell_counts() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100", distance="5")
    arm(index, TWO, "100.000000000000000002", distance="5")

    hits(index, "100.000000000000000001")

    assert index.best_of(ONE, TRAIL) == "100.000000000000000001"
    assert index.best_of(TWO, TRAIL) == "100.000000000000000002"


# --- against an exact scan, where only a few floats exist but many decimals

FLOATS = ("99", "100", "101")
CLOSE = st.builds(
    lambda base, parts: str(Decimal(base) + Decimal(parts).scaleb(-20)),
    st.sampled_from(FLOATS),
    st.integers(-2, 2),
)
AMOUNTS = st.sampled_from(["0.00000000000000000001", "1", "1.00000000000000000002", "2"])
KEYS = st.integers(0, 7).map(position)
STEPS = st.one_of(
    st.tuples(st.just("arm"), KEYS, CLOSE, AMOUNTS),
    st.tuples(st.just("disarm"), KEYS),
    *[st.tuples(st.just("price"), CLOSE)] * 2,
)


@dataclass
class Followed:
    best: Decimal
    rule: Trail
    is_reported: bool = False


class Book:
    """The index and what an exact scan says, side by side."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        self.below = direction is Direction.LONG
        self.index = TriggerIndex(spare=2)
        self.trails: dict[PositionId, Followed] = {}

    def arm(self, key: PositionId, best: str, distance: str) -> None:
        rule = Trail(anchor=Decimal(best), distance=Decimal(distance))
        self.trails[key] = Followed(Decimal(best), rule)
        arm(self.index, key, best, below=self.below, distance=distance)

    def disarm(self, key: PositionId) -> None:
        self.trails.pop(key, None)
        self.index.disarm(key, TRAIL)

    def price(self, text: str) -> None:
        told = hits(self.index, text)
        for key, trail in self.trails.items():
            trail.best = (max if self.below else min)(trail.best, Decimal(text))
            level = trail.rule.level(self.direction, trail.best)
            if has_crossed(level=level, below=self.below, price=Decimal(text)):
                assert trail.is_reported != (key in told)
                trail.is_reported = True
            elif key in told:
                assert not trail.is_reported
                self.index.not_crossed(key, TRAIL, 1)
            best = self.index.best_of(key, TRAIL)
            assert best is not None
            assert Decimal(best) == trail.best


@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(Direction), st.lists(STEPS, max_size=40))
def test_bests_are_exact_where_floats_are_the_same(
    direction: Direction, steps: list[tuple[str, ...]]
) -> None:
    book = Book(direction)

    for step, *arguments in steps:
        getattr(book, step)(*arguments)


def test_where_nothing_trails_there_is_nothing_to_follow_or_to_sweep() -> None:
    trails = Trails(below=True, spare=0)

    trails.follow(-100.0, "100")
    trails.settle()
    trails.sweep()

    assert len(trails) == 0
    assert (trails.at, trails.best_at) == (inf, -inf)
