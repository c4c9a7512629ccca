"""What the trigger index reports, when, to whom and in which order."""

from decimal import Decimal
from math import inf

import pytest

from domain.ids import ExitId, PositionId
from domain.protection import BREAKEVEN, STOP, TRAIL
from domain.triggers import NOTHING, Hit, TriggerIndex

TARGET = ExitId("target-1")


def position(number: int) -> PositionId:
    return PositionId(f"position-{number}")


ONE, TWO, THREE = position(1), position(2), position(3)


def tick(index: TriggerIndex, price: str) -> list[tuple[PositionId, ExitId]]:
    return [(hit.key, hit.exit_id) for hit in index.on_price(float(price), price)]


def level(
    index: TriggerIndex,
    key: PositionId,
    exit_id: ExitId,
    price: str,
    *,
    below: bool,
    version: int = 1,
) -> None:
    index.arm(key, exit_id, version, Decimal(price), below=below)


def trail(
    index: TriggerIndex, key: PositionId, best: str, *, below: bool = True, distance: str = "5"
) -> None:
    index.arm_trail(
        key, TRAIL, 1, below=below, best=Decimal(best), ratio=None, distance=Decimal(distance)
    )


def test_a_level_fires_when_it_is_touched() -> None:
    index = TriggerIndex()
    level(index, ONE, STOP, "95", below=True)
    level(index, TWO, STOP, "105", below=False)

    assert tick(index, "95.01") == []
    assert tick(index, "104.99") == []
    assert tick(index, "95") == [(ONE, STOP)]
    assert tick(index, "105") == [(TWO, STOP)]


def test_an_empty_index_is_quiet_at_any_price() -> None:
    index = TriggerIndex()

    assert (index.below_at, index.above_at) == (-inf, inf)
    assert index.on_price(1e9, "1e9") is NOTHING
    assert index.nearest() == (None, None)


def test_the_alarms_are_the_nearest_levels() -> None:
    index = TriggerIndex()
    for number in range(5):
        level(index, position(number), STOP, str(90 + number), below=True)
        level(index, position(number), TARGET, str(110 + number), below=False)

    assert (index.below_at, index.above_at) == (94.0, 110.0)
    assert index.nearest() == (94.0, 110.0)


def test_a_crossing_is_reported_once_until_the_owner_answers() -> None:
    index = TriggerIndex()
    level(index, ONE, STOP, "95", below=True, version=7)

    assert index.on_price(94.0, "94") == [Hit(ONE, STOP, 7, None)]
    assert tick(index, "94") == []
    index.not_crossed(ONE, STOP, 7)
    assert tick(index, "94") == [(ONE, STOP)]


def test_an_answer_to_a_version_that_was_replaced_changes_nothing() -> None:
    index = TriggerIndex()
    level(index, ONE, STOP, "95", below=True, version=1)
    tick(index, "94")
    level(index, ONE, STOP, "90", below=True, version=2)

    index.not_crossed(ONE, STOP, 1)

    assert tick(index, "94") == []
    assert index.on_price(90.0, "90") == [Hit(ONE, STOP, 2, None)]
    index.not_crossed(ONE, STOP, 1)
    assert tick(index, "90") == []


def test_an_answer_about_nothing_changes_nothing() -> None:
    index = TriggerIndex()

    index.not_crossed(ONE, STOP, 1)
    index.disarm(ONE, STOP)
    index.disarm_all(ONE)

    assert len(index) == 0


def test_a_moved_level_fires_only_at_its_new_price() -> None:
    index = TriggerIndex()
    level(index, ONE, STOP, "95", below=True)
    level(index, ONE, STOP, "97", below=True, version=2)

    assert len(index) == 1
    assert index.on_price(96.0, "96") == [Hit(ONE, STOP, 2, None)]
    assert tick(index, "94") == []


def test_a_level_may_change_its_side_and_its_kind() -> None:
    index = TriggerIndex()
    level(index, ONE, TRAIL, "95", below=True)
    index.arm_trail(
        ONE, TRAIL, 2, below=True, best=Decimal(100), ratio=Decimal("0.1"), distance=None
    )
    assert tick(index, "94") == []
    level(index, ONE, TRAIL, "105", below=False, version=3)

    assert tick(index, "80") == []
    assert tick(index, "105") == [(ONE, TRAIL)]
    assert len(index) == 1


def test_arming_beyond_the_market_reports_at_the_check_not_by_itself() -> None:
    index = TriggerIndex()
    level(index, ONE, STOP, "95", below=True)

    assert [hit.key for hit in index.check(93.0, "93")] == [ONE]


def test_a_disarmed_owner_hears_nothing_and_leaves_nothing() -> None:
    index = TriggerIndex()
    level(index, ONE, STOP, "95", below=True)
    level(index, ONE, TARGET, "105", below=False)
    trail(index, ONE, "100")
    level(index, TWO, STOP, "90", below=True)

    index.disarm_all(ONE)

    assert tick(index, "105") == []
    assert tick(index, "95") == []
    assert [watched.key for watched in index.armed()] == [TWO]
    assert index.nearest() == (90.0, None)


def test_guards_come_before_targets_and_the_first_passed_before_the_next() -> None:
    index = TriggerIndex()
    level(index, ONE, TARGET, "90", below=True)  # of a short, passed first of all
    level(index, TWO, STOP, "85", below=True)
    level(index, THREE, BREAKEVEN, "85", below=True)
    trail(index, THREE, "93")  # fires at 88
    level(index, ONE, STOP, "88", below=True)
    level(index, TWO, TARGET, "70", below=False)  # armed late, passed by far

    assert tick(index, "80") == [
        (THREE, TRAIL),
        (ONE, STOP),
        (TWO, STOP),
        (ONE, TARGET),
        (TWO, TARGET),
        (THREE, BREAKEVEN),
    ]


def test_what_is_armed_can_be_listed_with_level_best_and_state() -> None:
    index = TriggerIndex()
    level(index, ONE, STOP, "95", below=True)
    trail(index, TWO, "100", below=False)
    tick(index, "94")

    stop, trailing = index.armed()

    assert (stop.level, stop.best, stop.reported) == (95.0, None, True)
    assert trailing.level == pytest.approx(99)
    assert (trailing.best, trailing.reported) == ("94", False)


@pytest.mark.parametrize("price", ["NaN", "Infinity", "1e999"])
def test_a_price_that_is_no_finite_number_cannot_be_armed(price: str) -> None:
    with pytest.raises(ValueError, match="cannot arm"):
        level(TriggerIndex(), ONE, STOP, price, below=True)


@pytest.mark.parametrize(
    ("best", "ratio", "distance"),
    [
        ("0", "0.1", None),
        ("-1", "0.1", None),
        ("NaN", "0.1", None),
        ("100", "-0.1", None),
        ("100", None, "NaN"),
        ("100", None, None),
        ("100", "0.1", "1"),
    ],
)
def test_a_trail_that_makes_no_sense_cannot_be_armed(
    best: str, ratio: str | None, distance: str | None
) -> None:
    with pytest.raises(ValueError, match="trail"):
        TriggerIndex().arm_trail(
            ONE,
            TRAIL,
            1,
            below=True,
            best=Decimal(best),
            ratio=None if ratio is None else Decimal(ratio),
            distance=None if distance is None else Decimal(distance),
        )


def test_dead_entries_never_outnumber_the_living() -> None:
    index = TriggerIndex(spare=10)
    for number in range(100):
        level(index, position(number), STOP, str(50 + number % 7), below=True)
        trail(index, position(number), str(200 - number))
    for version in range(5000):
        level(
            index,
            position(version % 100),
            STOP,
            str(50 + version % 11),
            below=True,
            version=version,
        )
        trail(index, position(version % 100), str(200 - version % 13))

    assert len(index) == 200
    assert len(index._below) + len(index._longs) <= 2 * (200 + 10) + 100  # and a group each


def test_what_is_counted_is_what_is_armed_and_nothing_is_kept_of_the_rest() -> None:
    index = TriggerIndex()
    assert len(index) == 0
    level(index, ONE, STOP, "95", below=True)
    level(index, ONE, TARGET, "110", below=False)
    trail(index, TWO, "100")
    assert len(index) == 3
    index.disarm(ONE, STOP)
    index.disarm(ONE, TARGET)
    assert (len(index), list(index._triggers)) == (1, [TWO])
    index.disarm_all(TWO)
    assert (len(index), list(index._triggers)) == (0, [])


@pytest.mark.parametrize(
    ("best", "distance"), [("1e150", "5"), ("100", "1e150"), ("1e151", "5"), ("100", "1e151")]
)
def test_a_trail_whose_products_would_not_be_finite_cannot_be_armed(
    best: str, distance: str
) -> None:
    with pytest.raises(ValueError, match="cannot arm"):
        trail(TriggerIndex(), ONE, best, distance=distance)


def test_a_trail_may_follow_any_price_and_at_no_distance_at_all() -> None:
    index = TriggerIndex()
    trail(index, ONE, "0.5", distance="0.2")
    assert tick(index, "0.3") == [(ONE, TRAIL)]
    trail(index, TWO, "100", distance="0")
    assert tick(index, "100") == [(TWO, TRAIL)]


@pytest.mark.parametrize("below", [True, False])
def test_the_very_float_at_which_a_trail_acts_is_reported(*, below: bool) -> None:
    index = TriggerIndex()
    trail(index, ONE, "100", below=below, distance="3.3")
    (at,) = (level for level in index.nearest() if level is not None)
    assert tick(index, repr(at)) == [(ONE, TRAIL)]


def test_to_ask_for_the_nearest_moves_the_alarms_to_it() -> None:
    index = TriggerIndex()
    level(index, ONE, STOP, "95", below=True)
    level(index, TWO, STOP, "90", below=True)
    level(index, ONE, TARGET, "110", below=False)
    level(index, TWO, TARGET, "120", below=False)
    index.disarm_all(ONE)
    assert (index.below_at, index.above_at) == (95.0, 110.0)  # one tick would look and correct it
    assert index.nearest() == (90.0, 120.0)
    assert (index.below_at, index.above_at) == (90.0, 120.0)


def test_dead_entries_are_swept_when_they_are_more_than_the_living_and_a_few() -> None:
    index = TriggerIndex(spare=1)

    def entries_after(disarmed: int) -> list[int]:
        found = []
        for number in range(disarmed):
            index.disarm(position(number), STOP)
            found.append(len(index._below))
        return found

    for number in range(5):
        level(index, position(number), STOP, "90", below=True)
    assert entries_after(4) == [5, 5, 5, 1]  # 3 dead are not more than 2 living and 1
    for number in range(4):
        level(index, position(number), STOP, "90", below=True)
    assert entries_after(4) == [5, 5, 5, 1]
