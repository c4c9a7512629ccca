"""Dust that is at the venue no more, as far as the venue can tell."""

import pytest

from domain.dust import LostDust, lost_dust
from domain.instrument import Direction, Kind
from domain.portfolio_state import Dust
from domain.reconciliation import Side
from tests.builders import BTC, D, swap

LONG, SHORT = Direction.LONG, Direction.SHORT
SWAPS = {BTC: swap()}
COINS = {BTC: swap(kind=Kind.SPOT)}


def dust(quantity="0.3", direction=LONG, *, is_spot=False):
    return Dust(BTC, direction, is_spot, D(quantity), cost=D(30), margin=D(30))


def there(quantity, direction=None, *, ours="0", is_spot=False):
    """The venue holds so much, and our positions, of which a lot is 1, so much of it."""
    return Side(BTC, direction, D(ours), D(quantity), is_spot=is_spot, lot_size=D(1))


def left(known, *sides, instruments=SWAPS, hedged=False):
    return [each.left for each in lost_dust(known, sides, instruments, hedged=hedged)]


def test_what_the_venue_has_is_not_lost():
    assert left([dust()], there("0.3")) == []
    assert left([dust()], there("5.3", ours="5")) == []
    assert left([dust(direction=SHORT)], there("-0.3")) == []


@pytest.mark.parametrize("direction", [LONG, SHORT])
def test_what_it_has_not_is(direction):
    known = dust(direction=direction)
    assert lost_dust([known], (), SWAPS, hedged=False) == (LostDust(known, D(0)),)
    part = D("0.1") * direction.sign
    assert left([known], there(part)) == [D("0.1")]
    assert left([known], there(-part)) == [0], "others have turned it around"


def test_while_something_else_differs_dust_waits():
    assert left([dust()], there("3", ours="5")) == []


def test_more_coins_are_somebodys_own():
    known = [dust(is_spot=True)]
    assert left(known, there("50", is_spot=True), instruments=COINS) == []
    assert left(known, there("0.2", is_spot=True), instruments=COINS, hedged=True) == [D("0.2")]


def test_of_what_the_venue_does_not_tell_nothing_is_missed():
    assert left([dust(is_spot=True)]) == [], "coins, where swaps are traded now"
    assert left([dust()], instruments=COINS) == []
    assert left([dust()], instruments={}) == [], "it is not configured any more"


def test_long_and_short_are_compared_as_the_venue_keeps_them():
    both = [dust("0.3"), dust("0.1", SHORT)]
    assert left(both, there("0.2")) == []
    assert left(both) == [D("0.1")], "the rest they are to each other"
    assert left(both, there("0.3", LONG), hedged=True) == [0]
    assert left(both, there("-0.1", SHORT), hedged=True) == [0]
