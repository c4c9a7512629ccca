"""The spike rule: a far tick waits for contradiction, but never long, and near ones never wait."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.plausibility import PriceGuard, Verdict

ACCEPT, HOLD = Verdict.ACCEPT, Verdict.HOLD
DROP_HELD, APPLY_HELD = Verdict.DROP_HELD, Verdict.APPLY_HELD
APPLY_HELD_THEN_HOLD = Verdict.APPLY_HELD_THEN_HOLD


def guard_at(price=100.0, **settings):
    guard = PriceGuard(**settings)
    assert guard.judge(price, None, 0.0) is ACCEPT
    return guard


def test_the_first_tick_of_an_unknown_market_acts_at_once():
    assert PriceGuard().judge(100.0, None, 0.0) is ACCEPT


def test_the_first_tick_is_compared_with_the_mid():
    assert PriceGuard().judge(100.0, 101.0, 0.0) is ACCEPT
    assert PriceGuard().judge(90.0, 101.0, 0.0) is HOLD


@pytest.mark.parametrize("price", [97.0, 98.7, 100.0, 101.3, 103.0])
def test_a_tick_within_the_ratio_of_the_previous_one_acts_at_once(price):
    assert guard_at(100.0).judge(price, 500.0, 0.0) is ACCEPT


@pytest.mark.parametrize("price", [96.99, 103.01, 1.0, 10_000.0])
def test_a_tick_far_from_the_previous_one_and_the_mid_is_held(price):
    assert guard_at(100.0).judge(price, 100.0, 0.0) is HOLD


def test_a_tick_far_from_the_previous_one_but_near_the_mid_acts_at_once():
    assert guard_at(100.0).judge(90.0, 91.0, 0.0) is ACCEPT


def test_a_tick_near_the_old_price_drops_the_held_one():
    guard = guard_at(100.0)
    guard.judge(80.0, 100.0, 0.0)

    assert guard.judge(100.1, 100.0, 0.1) is DROP_HELD
    assert guard.previous == 100.1
    assert not guard.release(1.0)


def test_a_tick_near_the_held_one_confirms_it():
    guard = guard_at(100.0)
    guard.judge(80.0, 100.0, 0.0)

    assert guard.judge(80.1, 100.0, 0.1) is APPLY_HELD
    assert guard.previous == 80.1


def test_a_tick_between_both_speaks_for_the_one_it_is_nearer_to():
    for price, verdict in ((98.2, APPLY_HELD), (98.3, DROP_HELD)):
        guard = guard_at(100.0)
        guard.judge(96.5, 100.0, 0.0)
        assert guard.judge(price, 100.0, 0.1) is verdict


def test_a_tick_even_farther_out_confirms_the_held_one_and_is_held_itself():
    guard = guard_at(100.0)
    guard.judge(90.0, 100.0, 0.0)

    assert guard.judge(80.0, 100.0, 0.1) is APPLY_HELD_THEN_HOLD
    assert (guard.previous, guard.held, guard.deadline_s) == (90.0, 80.0, 0.4)


def test_two_wild_ticks_do_not_cancel_each_other():
    guard = guard_at(100.0)
    guard.judge(80.0, 100.0, 0.0)

    assert guard.judge(120.0, 100.0, 0.1) is APPLY_HELD_THEN_HOLD


def test_a_held_tick_is_released_when_its_time_is_over():
    guard = guard_at(100.0)
    guard.judge(80.0, 100.0, 5.0)

    assert not guard.release(5.299)
    assert guard.release(5.3)
    assert not guard.release(9.0)
    assert guard.previous == 80.0


def test_a_contradiction_that_comes_too_late_does_not_drop_the_held_tick():
    guard = guard_at(100.0)
    guard.judge(80.0, 100.0, 0.0)

    assert guard.judge(100.0, 100.0, 0.3) is APPLY_HELD  # plausible by the mid
    assert guard.previous == 100.0


def test_ratio_and_time_are_settings():
    guard = guard_at(100.0, ratio=0.1, hold_s=1.0)

    assert guard.judge(91.0, 100.0, 0.0) is ACCEPT
    assert guard.judge(80.0, 100.0, 0.0) is HOLD
    assert guard.deadline_s == 1.0


def test_no_time_to_wait_means_that_nothing_is_held():
    assert guard_at(100.0, hold_s=0.0).judge(50.0, 100.0, 0.0) is ACCEPT


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1.0, nan, inf])
def test_a_ratio_out_of_range_is_refused(ratio):
    with pytest.raises(ValueError, match="spike ratio"):
        PriceGuard(ratio=ratio)


@pytest.mark.parametrize("hold_s", [-0.1, nan, inf])
def test_a_waiting_time_out_of_range_is_refused(hold_s):
    with pytest.raises(ValueError, match="a spike waits"):
        PriceGuard(hold_s=hold_s)


# Properties: the guard against the rule in words, tick by tick

_steps = st.lists(
    st.tuples(
        st.sampled_from([1.0, 1.001, 0.99, 1.029, 0.971, 1.05, 0.95, 1.2, 0.8]),  # of the anchor
        st.sampled_from([None, 1.0, 1.01, 0.9]),  # mid, of the anchor
        st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0]),  # seconds passed
    ),
    max_size=40,
)


def _near(price, reference):
    return reference is not None and abs(price - reference) <= 0.03 * reference


def _applied(guard, steps, *, inline):
    """Return (applied ticks as (number, time applied), dropped numbers), releasing at deadlines."""
    applied, dropped, held, now = [], [], None, 0.0
    for number, (factor, mid_factor, passed) in enumerate(steps):
        price = 100.0 * factor
        mid = None if mid_factor is None else 100.0 * mid_factor
        now += passed
        if guard.deadline_s < now and guard.release(guard.deadline_s):
            applied.append((held, now))
        if inline and guard.low <= price <= guard.high:
            guard.previous = price
            applied.append((number, now))
            continue
        match guard.judge(price, mid, now):
            case Verdict.ACCEPT:
                applied.append((number, now))
            case Verdict.HOLD:
                held = number
            case Verdict.DROP_HELD:
                dropped.append(held)
                applied.append((number, now))
            case Verdict.APPLY_HELD:
                applied += [(held, now), (number, now)]
            case Verdict.APPLY_HELD_THEN_HOLD:
                applied.append((held, now))
                held = number
    if guard.held is not None:
        assert guard.release(guard.deadline_s)
        applied.append((held, now))
    return applied, dropped


@given(_steps)
def test_the_inline_comparison_changes_nothing(steps):
    assert _applied(PriceGuard(), steps, inline=True) == _applied(PriceGuard(), steps, inline=False)


@given(_steps)
def test_every_tick_is_applied_in_order_or_dropped_by_a_contradiction(steps):
    applied, dropped = _applied(PriceGuard(), steps, inline=True)

    numbers = [number for number, _ in applied]
    assert numbers == sorted(numbers)
    assert sorted(numbers + dropped) == list(range(len(steps)))
    for number in dropped:
        # The next tick came in time, was plausible and nearer to the price before.
        assert steps[number + 1][2] < 0.3
        previous = max((n for n in numbers if n < number), default=None)
        suspect, price = 100.0 * steps[number][0], 100.0 * steps[number + 1][0]
        mid_factor = steps[number + 1][1]
        mid = None if mid_factor is None else 100.0 * mid_factor
        old = mid if previous is None else 100.0 * steps[previous][0]
        assert old is not None
        assert abs(price - old) < abs(price - suspect)
        assert _near(price, old) or _near(price, mid)


@given(_steps)
def test_a_tick_near_the_previous_applied_one_or_the_mid_never_waits(steps):
    applied, _ = _applied(PriceGuard(), steps, inline=True)

    now, stamps = 0.0, []
    for _, _, passed in steps:
        now += passed
        stamps.append(now)
    before = None
    for number, at in applied:
        factor, mid_factor, _ = steps[number]
        price = 100.0 * factor
        mid = None if mid_factor is None else 100.0 * mid_factor
        if _near(price, before) or _near(price, mid):
            assert at == stamps[number]
        before = price


@given(
    st.floats(1e-8, 1e8),
    st.sampled_from([0.0001, 0.03, 0.5, 0.999]),
    st.floats(-1, 1),
    st.floats(-1, 1),
)
def test_any_two_prices_of_the_band_are_plausible_from_each_other(price, ratio, first, second):
    guard = PriceGuard(ratio=ratio)
    guard.judge(price, None, 0.0)
    middle, half = (guard.low + guard.high) / 2, (guard.high - guard.low) / 2
    a = min(max(middle + first * half, guard.low), guard.high)
    b = min(max(middle + second * half, guard.low), guard.high)

    assert abs(a - b) <= ratio * a
