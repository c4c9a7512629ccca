from hypothesis import given
from hypothesis import strategies as st

from exchanges.budget import Budget, Limit

TEN = Limit("orders", 10, 2.0)  # nine of them are used


def taken(budget: Budget, count: int, now_s: float, *, urgent: bool, key: str = "") -> int:
    return sum(budget.take(TEN, now_s, urgent=urgent, key=key) == 0 for _ in range(count))


def test_what_can_wait_leaves_a_share_for_what_is_urgent() -> None:
    budget = Budget()

    assert taken(budget, 20, 0.0, urgent=False) == 6
    assert taken(budget, 20, 0.0, urgent=True) == 3
    assert budget.used(0.0) == 1.0


def test_the_wait_ends_when_the_oldest_has_left_the_window() -> None:
    budget = Budget()
    taken(budget, 9, 5.0, urgent=True)

    assert budget.take(TEN, 6.5, urgent=True) == 0.5
    assert budget.take(TEN, 7.0, urgent=True) == 0


def test_instruments_are_counted_apart() -> None:
    budget = Budget()
    taken(budget, 9, 0.0, urgent=True, key="BTC")

    assert budget.take(TEN, 0.0, urgent=True, key="ETH") == 0


def test_after_the_venue_called_it_too_often_nothing_is_sent_for_a_while() -> None:
    budget = Budget()
    budget.refused(TEN, 1.0)

    assert budget.take(TEN, 1.0, urgent=True) == 0.5
    assert budget.take(TEN, 1.5, urgent=True) == 0


@given(
    st.lists(st.tuples(st.floats(0, 1, allow_nan=False), st.booleans()), min_size=1, max_size=120)
)
def test_no_window_ever_holds_more_than_the_venue_allows(steps: list[tuple[float, bool]]) -> None:
    budget, now_s, sent = Budget(), 0.0, []
    for gap_s, urgent in steps:
        now_s += gap_s / 4
        wait_s = budget.take(TEN, now_s, urgent=urgent)
        if wait_s == 0:
            sent.append(now_s)
        else:
            assert 0 < wait_s <= TEN.window_s
    for begin_s in sent:
        assert sum(begin_s <= at_s < begin_s + TEN.window_s for at_s in sent) <= TEN.count


@given(st.lists(st.booleans(), max_size=40))
def test_who_waits_as_told_is_let_through_in_the_end(others: list[bool]) -> None:
    budget, now_s = Budget(), 0.0
    for urgent in others:
        budget.take(TEN, now_s, urgent=urgent)
    for _ in range(30):
        wait_s = budget.take(TEN, now_s, urgent=False)
        if wait_s == 0:
            return
        now_s += wait_s
    raise AssertionError("never let through")
