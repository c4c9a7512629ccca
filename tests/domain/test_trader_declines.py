"""Refusals that a trader's journal keeps: which are the same, and how many are remembered."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.attempts import Attempt
from domain.commands import EntryRequest, ProtectionPlan, SizeBy, Source
from domain.ids import PositionId, Symbol, TraderName
from domain.instrument import Direction, Kind
from domain.trader_state import (
    REMEMBERED_DECLINES,
    SAME_BY_HAND_WITHIN,
    SAME_WITHIN,
    DeclinedAgain,
    EntryDeclined,
    Trader,
    decline_key,
    evolve,
    known_decline,
)
from tests.builders import BTC, NOW, D

TREND = TraderName("trend")
REQUEST = EntryRequest(
    position_id=PositionId("p1"),
    trader=TREND,
    symbol=BTC,
    direction=Direction.LONG,
    size_by=SizeBy.NOTIONAL,
    size=D(3),
    plan=ProtectionPlan(),
    source=Source.STRATEGY,
)


def declined(number=1, *, request=REQUEST, rule="BELOW_MIN_NOTIONAL", at=NOW):
    attempt = Attempt(request.source, TREND, "paper", Kind.SWAP)
    return EntryDeclined(number, request, attempt, rule, "too small", "more", at)


def known(trader, request=REQUEST, rule="BELOW_MIN_NOTIONAL", at=NOW):
    return known_decline(trader, decline_key(request, rule, is_addition=False), at)


def test_the_same_refusal_within_its_time_is_known():
    trader = evolve(None, declined())

    assert known(trader, at=NOW + SAME_WITHIN).event.number == 1
    assert known(trader, at=NOW + SAME_WITHIN + timedelta(seconds=1)) is None
    assert known(trader, rule="MAX_EXPOSURE") is None
    assert known(trader, replace(REQUEST, symbol=Symbol("ETH/USDT"))) is None
    assert known(trader, replace(REQUEST, direction=Direction.SHORT)) is None


def test_what_a_person_asks_for_is_the_same_for_seconds_only():
    by_hand = replace(REQUEST, source=Source.TERMINAL)
    trader = evolve(None, declined(request=by_hand))

    assert known(trader, by_hand, at=NOW + SAME_BY_HAND_WITHIN) is not None
    assert known(trader, by_hand, at=NOW + SAME_BY_HAND_WITHIN + timedelta(seconds=1)) is None


def test_repetitions_are_counted_and_keep_a_refusal_known():
    later = NOW + timedelta(minutes=9)
    trader = evolve(evolve(None, declined()), DeclinedAgain(1, 40, later))

    decline = known(trader, at=later + SAME_WITHIN)

    assert (decline.times, decline.last_at) == (41, later)


def test_a_count_for_a_forgotten_refusal_changes_nothing():
    trader = evolve(None, declined())

    assert evolve(trader, DeclinedAgain(7, 1, NOW)) == trader


@given(st.lists(st.integers(0, 60), max_size=120))
def test_only_so_many_kinds_are_remembered_and_numbers_are_never_reused(rules):
    trader = Trader()
    for number, rule in enumerate(rules, start=1):
        trader = evolve(trader, declined(number, rule=f"RULE_{rule}"))

    assert len(trader.declines) <= REMEMBERED_DECLINES
    assert trader.declined == len(rules)
    last = dict.fromkeys(f"RULE_{rule}" for rule in reversed(rules))
    assert {each.event.rule for each in trader.declines.values()} == set(
        list(last)[:REMEMBERED_DECLINES]
    )
