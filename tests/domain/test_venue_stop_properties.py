"""A stop at the venue, whatever comes in whatever order."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.instrument import Kind
from tests.domain.stop_world import World, replayed

VENUES = [
    pytest.param(kind, abilities, id=f"{kind.value}-{'-'.join(abilities) or 'replaces'}")
    for kind in (Kind.SPOT, Kind.SWAP)
    for abilities in (
        ("amends",),
        (),
        ("amends", "trails"),
        ("amends", "attaches"),
        ("attaches",),
        ("amends", "targets"),
        ("targets",),
        ("amends", "attaches", "targets"),
        ("amends", "shared"),
        ("shared",),
    )
    if kind is Kind.SWAP or "shared" not in abilities
]


def live(world: World, steps: list[int]) -> None:
    for step in steps:
        options = world.options()
        options[step % len(options)]()
        world.check()
    assert replayed(world) == world.life.position
    world.settle()
    world.check_end()


@pytest.mark.parametrize(("kind", "abilities"), VENUES)
@given(steps=st.lists(st.integers(0, 10_000), min_size=8, max_size=40))
@settings(max_examples=60, deadline=None)
def test_nothing_is_sold_twice_and_in_the_end_it_is_closed_or_protected(kind, abilities, steps):
    live(World(kind, abilities), steps)


@pytest.mark.parametrize(("kind", "abilities"), VENUES)
def test_the_same_holds_over_long_histories(kind, abilities):
    for seed in range(25):
        chance = random.Random(seed)
        world = World(kind, abilities)
        live(world, [chance.randrange(10_000) for _ in range(chance.choice((20, 60, 100)))])
