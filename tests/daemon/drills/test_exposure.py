"""How long a holding was without a stop: what counts of a gap, and what does not."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from daemon.drills.exposure import EVERYTHING, Exposure, longest_of
from exchanges.sandbox.watch import Gap

INSTANT = st.integers(0, 200)
SPAN = st.tuples(INSTANT, INSTANT).map(lambda pair: (min(pair), max(pair)))


def gap(since_ms: int, until_ms: int | None, inst_id: str = "BTC-USDT-SWAP") -> Gap:
    return Gap(inst_id, "net", since_ms, Decimal(1), until_ms)


def test_a_gap_counts_from_its_fill_to_its_stop() -> None:
    assert Exposure().longest([gap(1_000, 1_250)], now_ms=9_000).seconds == 0.25


def test_a_gap_that_lasts_counts_until_now() -> None:
    assert Exposure().longest([gap(1_000, None)], now_ms=9_000).seconds == 8


def test_time_without_a_daemon_does_not_count() -> None:
    exposure = Exposure()
    exposure.begin(EVERYTHING, 1_100)
    exposure.end(EVERYTHING, 4_000)

    assert exposure.longest([gap(1_000, 4_300)], now_ms=9_000).seconds == 0.3


def test_time_that_has_not_ended_does_not_count_either() -> None:
    exposure = Exposure()
    exposure.begin(EVERYTHING, 1_100)

    assert exposure.longest([gap(1_000, None)], now_ms=9_000).seconds == 0.1


def test_the_daemon_s_own_guard_of_one_instrument_is_none_of_another() -> None:
    exposure = Exposure()
    exposure.begin("BTC-USDT-SWAP", 0)
    exposure.end("BTC-USDT-SWAP", 9_000)

    found = exposure.longest([gap(0, 5_000), gap(0, 700, "ETH-USDT-SWAP")], now_ms=9_000)

    assert (found.inst_id, found.seconds) == ("ETH-USDT-SWAP", 0.7)


def test_nothing_is_left_out_of_what_the_venue_alone_held() -> None:
    exposure = Exposure()
    exposure.begin(EVERYTHING, 0)

    assert exposure.longest([gap(0, 5_000)], now_ms=9_000, all_counts=True).seconds == 5


@given(SPAN, st.lists(SPAN, max_size=5))
def test_the_longest_stretch_is_what_looking_at_each_instant_finds(
    whole: tuple[int, int], left_out: list[tuple[int, int]]
) -> None:
    longest = run = 0
    for instant in range(*whole):
        is_out = any(begin <= instant < end for begin, end in left_out)
        run = 0 if is_out else run + 1
        longest = max(longest, run)

    since, until = longest_of(whole, left_out)

    # Two stretches that an empty span divides are two here and one there.
    empty = [begin for begin, end in left_out if begin == end]
    assert until - since == longest or empty
    assert whole[0] <= since <= until <= max(whole)
