"""Extremes against a list of everything ever seen."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvariantError
from domain.extremes import Extremes, Interval, Span

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def seen(*intervals: tuple[int, str, str]) -> Extremes:
    """Build from (second of the begin, low, high); each lasts one second."""
    extremes = Extremes()
    for second, low, high in intervals:
        extremes = extremes.see(Decimal(low), Decimal(high), at(second), at(second + 1))
    return extremes


def range_of(low: str, high: str) -> tuple[Decimal, Decimal]:
    return Decimal(low), Decimal(high)


def test_nothing_seen_is_nothing_known() -> None:
    assert Extremes().since(at(0)) is None
    assert Extremes().until is None


def test_an_interval_counts_from_its_begin_on_and_not_before() -> None:
    extremes = seen((0, "90", "110"), (5, "95", "105"))

    assert extremes.since(at(0)) == range_of("90", "110")
    assert extremes.since(at(1)) == range_of("95", "105")
    assert extremes.since(at(5)) == range_of("95", "105")
    assert extremes.since(at(6)) is None
    assert extremes.until == at(6)


def test_an_interval_reported_again_after_it_grew_counts_as_one() -> None:
    extremes = seen((0, "95", "105"), (0, "90", "105"), (0, "90", "107"))

    assert extremes.since(at(0)) == range_of("90", "107")
    assert len(extremes.lows) == len(extremes.highs) == 1


def test_a_higher_high_removes_what_it_overtops() -> None:
    extremes = seen((0, "90", "100"), (1, "91", "99"), (2, "92", "120"))

    assert [step.price for step in extremes.highs] == [Decimal(120)]
    assert [step.price for step in extremes.lows] == [Decimal(90), Decimal(91), Decimal(92)]


def test_an_hour_of_the_same_range_is_one_step() -> None:
    extremes = seen(*[(second, "99", "101") for second in range(3600)])

    assert len(extremes.lows) == len(extremes.highs) == 1
    assert extremes.since(at(3599)) == range_of("99", "101")


def test_what_was_forgotten_is_no_longer_needed_for_later_questions() -> None:
    extremes = seen((0, "90", "110"), (1, "91", "109"), (2, "92", "108"))

    pruned = extremes.forget_before(at(2))

    assert pruned.since(at(0)) == pruned.since(at(2)) == extremes.since(at(2))
    assert len(pruned.lows) == 1
    assert pruned.until == extremes.until


@pytest.mark.parametrize(
    ("low", "high", "begin", "end"),
    [("90", "110", 3, 4), ("90", "110", 6, 5), ("110", "90", 6, 7)],
)
def test_an_interval_that_cannot_be_is_a_bug(low: str, high: str, begin: int, end: int) -> None:
    extremes = seen((5, "95", "105"))

    with pytest.raises(InvariantError):
        extremes.see(Decimal(low), Decimal(high), at(begin), at(end))


SEEN = st.lists(
    st.tuples(st.integers(0, 3), st.integers(95, 105), st.integers(0, 4)), min_size=1, max_size=40
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(SEEN, st.integers(0, 60))
def test_extremes_equal_a_scan_of_all_intervals(
    steps: list[tuple[int, int, int]], forgotten: int
) -> None:
    extremes = Extremes()
    everything: list[Span] = []
    second = 0
    for gap, low, height in steps:
        second += gap
        span = Span(Decimal(low), Decimal(low + height), at(second), at(second + 1))
        everything.append(span)
        extremes = extremes.see(span.low, span.high, span.begin, span.end)
    pruned = extremes.forget_before(at(forgotten))

    for moment in range(second + 2):
        later = [span for span in everything if span.begin >= at(moment)]
        scanned = (min(s.low for s in later), max(s.high for s in later)) if later else None
        assert extremes.since(at(moment)) == scanned
        if moment >= forgotten:
            assert pruned.since(at(moment)) == scanned


def watched(interval: Interval, *prices: str) -> Interval:
    """Let an interval see prices the way a feed does."""
    for text in prices:
        price = float(text)
        if not interval.low < price < interval.high:
            interval.see(price, text)
    return interval


def span(low: str, high: str, begin: int, end: int) -> Span:
    return Span(Decimal(low), Decimal(high), at(begin), at(end))


def test_an_interval_without_a_price_has_nothing_to_report() -> None:
    interval = Interval(at(0))

    assert interval.span(at(1)) is None
    assert interval.report(at(1)) is None
    assert interval.cut(at(1)) is None


def test_an_interval_is_reported_when_it_has_grown_and_not_again() -> None:
    interval = watched(Interval(at(0)), "100.50", "99.10", "100.00")

    assert interval.report(at(1)) == span("99.10", "100.50", 0, 1)
    watched(interval, "100.50", "99.10", "100.20")
    assert interval.report(at(2)) is None
    watched(interval, "99.00")
    assert interval.report(at(3)) == span("99.00", "100.50", 0, 3)


def test_a_cut_reports_the_rest_and_begins_anew() -> None:
    interval = watched(Interval(at(0)), "100", "90")

    assert interval.cut(at(1)) == span("90", "100", 0, 1)
    assert interval.begin == at(1)
    watched(interval, "95")
    assert interval.span(at(2)) == span("95", "95", 1, 2)
    assert interval.report(at(2)) == span("95", "95", 1, 2)
    assert interval.cut(at(3)) is None


def test_an_interval_tells_prices_apart_that_floats_cannot() -> None:
    interval = watched(
        Interval(at(0)),
        "100.00000000000000000005",
        "100.00000000000000000007",
        "100.00000000000000000001",
        "100.00000000000000000006",
    )

    assert interval.span(at(1)) == span(
        "100.00000000000000000001", "100.00000000000000000007", 0, 1
    )


def test_an_interval_that_begins_with_the_price_that_stands_is_quiet() -> None:
    interval = Interval(at(0))

    interval.carry(100.0, "100")
    assert interval.is_quiet
    assert interval.report(at(1)) == span("100", "100", 0, 1)
    watched(interval, "99")
    assert not interval.is_quiet
    assert interval.span(at(2)) == span("99", "100", 0, 2)


def test_a_price_that_stands_adds_nothing_to_an_interval_that_has_seen_it() -> None:
    interval = watched(Interval(at(0)), "100", "101")

    interval.carry(101.0, "101.0")

    assert not interval.is_quiet
    assert interval.span(at(1)) == span("100", "101", 0, 1)


PRICES = st.integers(9_990, 10_010).map(lambda cents: f"{cents / 100:.2f}")
MOVES = st.lists(st.one_of(PRICES, PRICES, st.sampled_from(["report", "arm"])), max_size=60)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(MOVES)
def test_extremes_since_each_arming_survive_a_crash_up_to_the_last_report(moves: list[str]) -> None:
    interval = Interval(at(0))
    extremes = Extremes()
    prices: dict[int, list[Decimal]] = {0: []}  # since each arming

    def journal(report: Span | None) -> None:
        nonlocal extremes
        if report is not None:
            extremes = extremes.see(report.low, report.high, report.begin, report.end)

    for second, move in enumerate(moves, start=1):
        if move == "report":
            journal(interval.report(at(second)))
        elif move == "arm":
            journal(interval.cut(at(second)))
            prices[second] = []
        else:
            watched(interval, move)
            for since in prices.values():
                since.append(Decimal(move))
    journal(interval.report(at(len(moves) + 1)))

    for armed, since in prices.items():
        assert extremes.since(at(armed)) == ((min(since), max(since)) if since else None)


def test_extremes_between_two_moments_are_never_those_of_a_later_interval() -> None:
    extremes = seen((0, "90", "120"), (10, "95", "110"), (20, "85", "115"))
    assert extremes.between(at(0), at(10)) == (None, 120)  # the low was overtopped later
    assert extremes.between(at(5), at(10)) == (None, None)
    assert extremes.between(at(0), at(25)) == (85, 120)
    assert extremes.between(at(15), at(25)) == (85, 115)
    assert extremes.between(at(20), at(20)) == (85, 115)


def test_an_interval_may_be_a_single_moment() -> None:
    extremes = Extremes().see(Decimal(90), Decimal(110), at(5), at(5))
    assert extremes.since(at(5)) == range_of("90", "110")
    assert extremes.until == at(5)


def test_the_same_price_written_differently_is_nothing_new() -> None:
    interval = watched(Interval(at(0)), "100", "101")
    assert interval.report(at(1)) == span("100", "101", 0, 1)
    for price, text in ((100.0, "100.0"), (101.0, "101.00")):
        interval.see(price, text)
        assert interval.report(at(2)) is None
