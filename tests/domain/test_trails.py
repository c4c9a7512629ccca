"""The trails of one side from within: what they keep, what they forget, how they stay small."""

import random
from decimal import Decimal

import pytest

from domain.ids import ExitId
from domain.protection import TRAIL
from domain.trailing import Trails
from domain.triggers import TriggerIndex
from tests.domain.trail_words import ONE, THREE, TWO, arm, hits, position


def longs(index: TriggerIndex) -> Trails:
    return index._longs


def test_its_size_is_that_of_its_heaps_and_one_for_each_group() -> None:
    index = TriggerIndex()
    assert len(longs(index)) == 0
    arm(index, ONE, "100", "50")
    assert len(longs(index)) == 2
    arm(index, TWO, "100", ratio="0.5")
    assert len(longs(index)) == 3
    arm(index, THREE, "110", "50")
    assert len(longs(index)) == 5


def test_a_trail_by_ratio_is_listed_at_its_level() -> None:
    index = TriggerIndex()
    arm(index, ONE, "200", ratio="0.25")
    (watched,) = index.armed()
    assert watched.level == pytest.approx(150)


def test_a_level_is_rounded_toward_firing_however_far_it_is_from_the_best() -> None:
    for cents in range(1, 2000):
        best = Decimal(cents) / 100
        distance = best + Decimal("0.01")
        index = TriggerIndex()
        arm(index, ONE, str(best), str(distance), below=False)
        assert hits(index, str(best + distance)) == [ONE]


def test_of_bests_that_are_the_same_float_the_worse_follows_first() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100.000000000000000002", "5")
    arm(index, TWO, "100", "5")

    hits(index, "100.000000000000000001")

    assert index.best_of(ONE, TRAIL) == "100.000000000000000002"
    assert index.best_of(TWO, TRAIL) == "100.000000000000000001"


@pytest.mark.parametrize("below", [True, False])
def test_a_best_that_is_only_written_differently_is_no_new_one(*, below: bool) -> None:
    index = TriggerIndex()
    arm(index, ONE, "100.0", "5", below=below)

    hits(index, "100.00")

    assert index.best_of(ONE, TRAIL) == "100.0"


def test_the_very_float_at_which_a_better_group_acts_is_reported() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100", "50")
    arm(index, TWO, "120", "3.3")
    at, _ = index.nearest()
    assert hits(index, repr(at)) == [TWO]


def test_what_was_reported_wakes_nobody_any_more() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100", "5")
    arm(index, TWO, "100", "9")
    assert hits(index, "95") == [ONE]
    assert index.below_at == pytest.approx(91)
    assert hits(index, "91") == [TWO]
    assert index.below_at == float("-inf")


def test_when_the_nearest_of_a_group_has_gone_the_next_of_it_is_the_nearest() -> None:
    index = TriggerIndex()
    arm(index, ONE, "100", "60")
    arm(index, TWO, "120", "5")
    arm(index, THREE, "120", "20")
    index.disarm(TWO, TRAIL)

    assert index.nearest()[0] == pytest.approx(100)
    assert hits(index, "99.99") == [THREE]


def test_levels_of_groups_that_are_the_same_float_never_meet() -> None:
    index = TriggerIndex()
    arm(index, ONE, "90", "80")
    for number, best in enumerate(("100", "100.00000000000000001", "100.00000000000000002")):
        for distance in ("5", "7", "9"):
            arm(index, position(10 * number), best, distance, exit_id=ExitId(f"t{distance}"))

    assert [len(hits(index, price)) for price in ("95", "93", "91")] == [3, 3, 3]


@pytest.mark.parametrize("by", ["ratio", "distance"])
def test_after_a_sweep_the_living_fire_where_they_would_have(by: str) -> None:
    chance = random.Random(5)
    index = TriggerIndex(spare=0)
    arm(index, ONE, "90", "89.9")  # the front; the others are on the shelf behind it
    amounts = chance.sample(range(1, 400), 60)
    for amount in amounts:
        if by == "ratio":
            arm(index, position(amount + 10), "100", ratio=str(Decimal(amount) / 1000))
        else:
            arm(index, position(amount + 10), "100", str(Decimal(amount) / 10))
    dead = set(chance.sample(amounts, 25))
    for amount in dead:
        index.disarm(position(amount + 10), TRAIL)
    longs(index).sweep()

    assert len(longs(index)) == (60 - 25) + 1 + 2  # and a group each
    living = sorted(set(amounts) - dead)
    assert longs(index).at == pytest.approx(-(100 - living[0] / 10))
    fired = [key for tenth in range(1, 400) for key in hits(index, str(100 - Decimal(tenth) / 10))]
    assert fired == [position(amount + 10) for amount in living]


def test_a_sweep_leaves_nothing_dead_in_the_front_either() -> None:
    index = TriggerIndex(spare=0)
    for number in range(6):
        arm(index, position(number), "100", str(5 + number))
        arm(index, position(10 + number), "100", ratio=f"0.1{number}")
    for number in range(4):
        index.disarm(position(number), TRAIL)
        index.disarm(position(10 + number), TRAIL)
    longs(index).sweep()

    assert len(longs(index)) == 4 + 1
    assert longs(index).at == pytest.approx(-91)
    assert hits(index, "91") == [position(4)]


def test_groups_that_met_count_all_their_members() -> None:
    index = TriggerIndex(spare=0)
    arm(index, ONE, "100", "5")
    arm(index, TWO, "110", "5")
    hits(index, "115")  # a new best of both
    arm(index, THREE, "105", "60")  # behind which they are
    longs(index).sweep()

    assert sorted(hits(index, "110")) == [ONE, TWO]


def test_outdated_entries_of_its_levels_are_dropped_when_they_are_many() -> None:
    index = TriggerIndex(spare=1)
    arm(index, ONE, "90", "89")
    arm(index, TWO, "95", "1")
    assert hits(index, "94") == [TWO]  # its group has nothing to watch now
    sizes = []
    for number in range(12):  # each nearer than those before
        arm(index, position(10 + number), "100", str(50 - number))
        sizes.append(len(longs(index)._levels))

    assert sizes == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]  # at most two for each group, and one
