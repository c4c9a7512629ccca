"""What `holdfast market` is told: everything that can be had in time, and why the rest is not."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

from actors.world import PriceBoard
from daemon.market_view import ASK_WITHIN_S, NOT_ASKED, market_view
from domain.candles import Candle
from domain.freshness import Trust
from domain.ids import Symbol
from domain.instrument import PriceSource
from exchanges.port import Unknown
from runtime.clocks import VirtualClock
from runtime.virtual import run_virtual
from tests.actors.asked import MINUTE, Asked
from tests.builders import D

BTC = Symbol("BTC/USDT")
START = datetime(2026, 1, 2, 3, 4, 30, tzinfo=UTC)


def candle(number: int, *, whole: bool = True) -> Candle:
    open_ms = MINUTE.open_of(int(START.timestamp() * 1000)) + number * 60_000
    prices = (D(100), D(103), D(99), D(101))
    return Candle(BTC, MINUTE, open_ms, *prices, volume=D("1.5"), trades=3, whole=whole)


def told(reads: Asked | None, depth: int = 2, **price: object) -> tuple[dict, float]:
    """Return the view, and how long it took in virtual seconds."""

    async def main():
        loop = asyncio.get_running_loop()
        clock = VirtualClock(loop, START)
        board = PriceBoard(clock, (BTC,), 5.0)
        await asyncio.sleep(10)
        for name, value in price.items():
            setattr(board.prices[BTC], name, value)
        world = SimpleNamespace(prices=board, clock=clock, reads=reads, watched_only=frozenset())
        began_s = loop.time()
        found = await market_view(world, BTC, depth)
        return found, loop.time() - began_s

    return run_virtual(main)


def test_prices_come_with_an_age_each_and_the_rest_as_the_venue_tells():
    reads = Asked(BTC="100")
    reads.books[BTC] = ("99", "101")
    reads.history[BTC, PriceSource.LAST] = [candle(-2), candle(-1), candle(0, whole=False)]
    found, _ = told(reads, last="100", traded=9.5, bid="99", ask="101", quoted=9.0)
    assert found["last"] == {"price": "100", "age_s": 0.55}
    assert found["ask"] == {"price": "101", "age_s": 1.05}
    assert found["mark"] == {"price": None, "age_s": None}
    assert found["book"]["bids"] == [{"price": "99", "quantity": "1"}] * 2
    assert found["funding"]["rate_pct"] == "0.01"
    assert found["open_interest"]["quantity"] == "1234"
    assert found["candle"]["opened_at"] == "2026-01-02T03:03:00Z"  # the running one is not closed
    assert found["failed"] == {}


def test_what_the_venue_does_not_tell_is_named_and_the_rest_is_there():
    reads = Asked(BTC="100")
    reads.history[BTC, PriceSource.LAST] = Unknown("HTTP 502")
    found, _ = told(reads)
    assert found["failed"] == {"book": "nobody answers", "candle": "HTTP 502"}
    assert found["funding"] is not None
    assert found["book"] is None


def test_a_venue_that_does_not_answer_is_waited_for_a_few_seconds():
    found, took_s = told(Asked(BTC="100", latency_s=3600), last="100")
    assert took_s == ASK_WITHIN_S
    assert set(found["failed"].values()) == {"timed out"}
    assert found["last"]["price"] == "100"


def test_where_nobody_can_be_asked_it_says_what_to_set():
    found, took_s = told(None)
    assert took_s == 0
    assert set(found["failed"].values()) == {NOT_ASKED}


def test_a_stale_price_says_why_and_one_that_was_asked_for_is_as_old_as_the_answer():
    stale = {"trust": Trust.STALE, "why": "the stream is down", "last": "100", "traded": 2.0}
    found, _ = told(None, **stale)
    assert (found["source"], found["why"]) == ("stale", "the stream is down")
    assert found["last"]["age_s"] == 8
    found, _ = told(None, **stale, asked_for="100", asked=9.0)
    assert (found["source"], found["is_fresh"]) == ("fallback", False)
    assert found["last"]["age_s"] == 1
