"""Ratios over closed positions."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from domain.performance import Performance, TradeRecord, drawdown_of, summarize

D = Decimal


def record_of(*pnls):
    record = TradeRecord()
    for pnl in pnls:
        record = record.after(D(pnl))
    return record


def test_a_record_counts_and_sums_wins_and_losses():
    record = record_of("30", "-10", "10", "-20")

    assert (record.wins, record.losses, record.count, record.total_pnl) == (2, 2, 4, 10)
    assert (record.win_rate, record.average_win, record.average_loss) == (D("0.5"), 20, 15)
    assert record.profit_factor == D(4) / 3


def test_earning_nothing_after_fees_is_a_loss():
    assert record_of("0") == TradeRecord(losses=1)


def test_ratios_without_a_base_are_unknown():
    empty, lucky = TradeRecord(), record_of("5")

    assert empty.win_rate is empty.average_win is empty.average_loss is empty.profit_factor is None
    assert lucky.profit_factor is None
    assert lucky.average_loss is None


def test_a_summary_has_best_worst_and_the_deepest_fall_from_a_peak():
    summary = summarize(map(D, ["100", "-220", "40", "-80", "500"]), initial_balance=D(1000))

    assert (summary.best, summary.worst) == (500, -220)
    assert summary.max_drawdown == D(260) / 1100


def test_nothing_closed_is_no_performance():
    assert summarize([], initial_balance=D(1000)) == Performance()


def test_drawdown_is_zero_at_the_peak_and_one_at_ruin():
    assert (drawdown_of(D(100), D(100)), drawdown_of(D(0), D(100))) == (0, 1)
    assert drawdown_of(D(120), D(100)) == 0
    assert drawdown_of(D(0), D(0)) == 0


@given(st.lists(st.integers(-100, 100).map(D), max_size=30))
def test_a_summary_agrees_with_its_positions(pnls):
    summary = summarize(pnls, initial_balance=D(10_000))

    assert summary.record.total_pnl == sum(pnls)
    assert summary.record.count == len(pnls)
    assert 0 <= summary.max_drawdown <= 1
