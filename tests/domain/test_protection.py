"""The rules of a position: which prices the feed must watch for them, and when one is crossed."""

from datetime import timedelta

import pytest

from domain.ids import ExitId
from domain.instrument import Direction, PriceSource
from domain.protection import (
    BREAKEVEN,
    STOP,
    TRAIL,
    Breakeven,
    Level,
    Protection,
    Stop,
    Target,
    Trail,
    TrailLevel,
    has_crossed,
    is_tighter,
    levels_of,
)
from tests.builders import NOW, D

LONG, SHORT = Direction.LONG, Direction.SHORT
MARK, LAST = PriceSource.MARK, PriceSource.LAST
TRAILED = Trail(anchor=D(100), ratio=D("0.02"))


def target(name: str, price: str, *, fired: bool = False) -> Target:
    return Target(ExitId(name), D(price), D("0.5"), watches=LAST, fired=fired)


def protection(direction: Direction) -> Protection:
    loss, gain = ("90", "120") if direction is LONG else ("110", "80")
    return Protection(
        stop=Stop(D(loss), watches=MARK),
        targets=(target("target-1", gain), target("target-2", gain, fired=True)),
        trail=TRAILED,
        breakeven=Breakeven(D(gain) - 1, D(100), watches=MARK),
        time_exit=NOW + timedelta(hours=1),
    )


@pytest.mark.parametrize("direction", [LONG, SHORT])
def test_stops_come_before_targets_each_on_its_side(direction: Direction) -> None:
    long = direction is LONG
    loss, gain = ("90", "120") if long else ("110", "80")

    assert levels_of(protection(direction), direction) == (
        Level(STOP, D(loss), long, MARK),
        TrailLevel(TRAIL, TRAILED, long),
        Level(ExitId("target-1"), D(gain), not long, LAST),
        Level(BREAKEVEN, D(gain) - 1, not long, MARK),
    )


def test_a_breakeven_that_was_reached_is_not_watched_again() -> None:
    even = Protection(breakeven=Breakeven(D(110), D(100), done=True))

    assert levels_of(even, LONG) == ()


def test_without_rules_nothing_is_watched() -> None:
    assert levels_of(Protection(), LONG) == ()


def test_a_stop_or_a_trail_bounds_the_loss_and_nothing_else_does() -> None:
    assert Protection(stop=Stop(D(90))).guards_loss
    assert Protection(trail=TRAILED).guards_loss
    assert not Protection(targets=(target("target-1", "120"),)).guards_loss
    assert not Protection(breakeven=Breakeven(D(110), D(100))).guards_loss


@pytest.mark.parametrize(
    ("direction", "trail", "level"),
    [
        (LONG, TRAILED, "107.8"),
        (SHORT, TRAILED, "112.2"),
        (LONG, Trail(anchor=D(100), distance=D(3)), "107"),
        (SHORT, Trail(anchor=D(100), distance=D(3)), "113"),
    ],
)
def test_a_trail_fires_below_the_best_price_of_a_long_and_above_that_of_a_short(
    direction: Direction, trail: Trail, level: str
) -> None:
    assert trail.level(direction, best=D(110)) == D(level)


@pytest.mark.parametrize(
    ("below", "price", "crossed"),
    [
        (True, "99.9", True),
        (True, "100", True),
        (True, "100.1", False),
        (False, "99.9", False),
        (False, "100", True),
        (False, "100.1", True),
    ],
)
def test_a_level_is_crossed_when_it_is_touched(below: bool, price: str, crossed: bool) -> None:
    assert has_crossed(level=D(100), below=below, price=D(price)) is crossed


@pytest.mark.parametrize(
    ("direction", "new", "tighter"),
    [
        *((LONG, "101", True), (LONG, "100", False), (LONG, "99", False)),
        *((SHORT, "99", True), (SHORT, "100", False), (SHORT, "101", False)),
    ],
)
def test_a_stop_nearer_to_the_price_is_tighter(
    direction: Direction, new: str, tighter: bool
) -> None:
    assert is_tighter(direction, new=D(new), old=D(100)) is tighter


def test_a_target_is_found_by_its_name() -> None:
    rules = protection(LONG)

    assert rules.target(ExitId("target-2")) is rules.targets[1]
    assert rules.target(ExitId("target-3")) is None
    assert rules.open_targets() == (rules.targets[0],)


def test_a_trail_without_ratio_and_distance_is_a_bug():
    with pytest.raises(ValueError, match="a ratio or a distance"):
        Trail(D(100)).level(Direction.LONG, D(100))
