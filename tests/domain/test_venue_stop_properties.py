"""A stop at the venue, whatever comes in whatever order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.instrument import Kind
from tests.domain.stop_world import World, replayed


@pytest.mark.parametrize("amends", [True, False], ids=["amends", "replaces"])
@pytest.mark.parametrize("kind", [Kind.SPOT, Kind.SWAP], ids=["spot", "swap"])
@given(steps=st.lists(st.integers(0, 10_000), max_size=70))
@settings(max_examples=400, deadline=None)
def test_nothing_is_sold_twice_and_in_the_end_it_is_closed_or_protected(kind, amends, steps):
    world = World(kind, amends=amends)
    for step in steps:
        options = world.options()
        options[step % len(options)]()
        world.check()
        assert replayed(world) == world.life.position
    world.settle()
    world.check_end()
