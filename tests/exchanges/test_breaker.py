from datetime import UTC, datetime

from exchanges.breaker import Breaker, BreakerState

AT = datetime(2026, 1, 2, tzinfo=UTC)


def test_it_opens_after_several_failures_in_a_row() -> None:
    breaker = Breaker(failures=3, lasts_s=0)

    assert [breaker.failed("refused", now_s, AT) for now_s in (1.0, 2.0, 3.0, 4.0)] == [
        False,
        False,
        True,
        False,
    ]
    assert breaker.is_open
    assert (breaker.why, breaker.since) == ("refused", AT)


def test_an_answer_in_between_begins_the_count_anew() -> None:
    breaker = Breaker(failures=2, lasts_s=0)
    breaker.failed("refused", 1.0, AT)
    breaker.answered(AT)
    breaker.failed("refused", 2.0, AT)

    assert not breaker.is_open


def test_failures_long_ago_do_not_count() -> None:
    breaker = Breaker(failures=2, lasts_s=0, window_s=30.0)
    breaker.failed("refused", 1.0, AT)
    breaker.failed("refused", 40.0, AT)

    assert not breaker.is_open


def test_one_answer_closes_it() -> None:
    breaker = Breaker(failures=1, lasts_s=0)
    breaker.failed("refused", 1.0, AT)

    assert breaker.answered(AT)
    assert not breaker.answered(AT)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.why == ""


def test_a_burst_of_failures_does_not_open_it_until_it_lasts() -> None:
    breaker = Breaker(failures=2, lasts_s=2.0)

    assert not any(breaker.failed("lost", 1.0, AT) for _ in range(50))
    assert breaker.failed("lost", 3.0, AT)
