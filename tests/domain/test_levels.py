"""The fixed levels of one side, by themselves: what is nearest, and what has gone."""

from math import inf

from domain.ids import ExitId, PositionId
from domain.levels import Levels, LevelTrigger


def trigger(level: float, seq: int = 0) -> LevelTrigger:
    return LevelTrigger(PositionId("p"), ExitId("stop"), 1, False, seq, True, False, level)


def holding(*levels: float) -> tuple[Levels, list[LevelTrigger]]:
    side = Levels()
    triggers = [trigger(level, seq) for seq, level in enumerate(levels)]
    for each in triggers:
        side.add(each)
    return side, triggers


def test_the_nearest_of_all_levels_is_where_it_acts() -> None:
    assert Levels().at == inf
    assert holding(3.0, 1.0, 2.0)[0].at == 1.0


def test_what_is_reached_is_taken_once_nearest_first_and_marked() -> None:
    side, triggers = holding(3.0, 1.0, 2.0)
    taken: list = []
    side.take(2.0, taken)
    assert [level for level, _ in taken] == [1.0, 2.0]
    assert [each.reported for each in triggers] == [False, True, True]
    assert (side.at, len(side)) == (3.0, 1)
    side.take(2.9, taken)
    assert len(taken) == 2


def test_what_has_gone_is_passed_over_when_it_would_be_next() -> None:
    side, triggers = holding(1.0, 2.0, 3.0)
    triggers[0].live = triggers[2].live = False
    side.settle()
    assert (side.at, len(side)) == (2.0, 2)
    taken: list = []
    side.take(5.0, taken)
    assert [level for level, _ in taken] == [2.0]
    assert (side.at, len(side)) == (inf, 0)
    assert not triggers[2].reported


def test_a_sweep_leaves_the_living_and_acts_at_the_nearest_of_them() -> None:
    side, triggers = holding(4.0, 1.0, 3.0, 2.0)
    triggers[1].live = False
    side.sweep()
    assert (side.at, len(side)) == (2.0, 3)
    taken: list = []
    side.take(3.5, taken)
    assert [level for level, _ in taken] == [2.0, 3.0]
    triggers[0].live = False
    side.sweep()
    assert (side.at, len(side)) == (inf, 0)
