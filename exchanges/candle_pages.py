"""Whether candles answer what was asked, the same for every venue; pure."""

from collections.abc import Iterable, Sequence

from domain.candles import Candle, Timeframe
from exchanges.rest import LieError

MAX_PAGES = 60  # of one question; beyond it the question is too large


def opens_in(timeframe: Timeframe, begin_ms: int, end_ms: int) -> range:
    """Return the opening times of the candles that open in [begin_ms, end_ms)."""
    first = -(-begin_ms // timeframe.ms) * timeframe.ms
    return range(first, max(first, end_ms), timeframe.ms)


def in_order(candles: Iterable[Candle], wanted: range) -> tuple[Candle, ...]:
    """Return the wanted candles, oldest first, each once. Raises `LieError` for two unlike ones.

    A candle that was still running on one page and further on the next is the later one.
    """
    found: dict[int, Candle] = {}
    for candle in candles:
        known = found.get(candle.open_ms)
        if known is not None and known.whole and candle.whole and known != candle:
            raise LieError(f"two candles that open at {candle.open_ms}")
        if candle.open_ms in wanted and (known is None or not known.whole):
            found[candle.open_ms] = candle
    return tuple(found[key] for key in sorted(found))


def require_ends(candles: Sequence[Candle], wanted: range, now_ms: int) -> None:
    """Raise `LieError` unless the first and the last wanted candle are there.

    The last may lack when it opened just now by our clock: the venue's may be behind.
    """
    if not wanted:
        return
    if not candles:
        raise LieError("no candles at all")
    if candles[0].open_ms != wanted[0]:
        raise LieError(f"candles from {candles[0].open_ms} on, asked from {wanted[0]} on")
    last = min(wanted[-1], (now_ms // wanted.step - 1) * wanted.step)
    if candles[-1].open_ms < last:
        raise LieError(f"candles up to {candles[-1].open_ms} only, asked up to {last}")
