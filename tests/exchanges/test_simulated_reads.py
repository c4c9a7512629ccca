"""Asking the simulated market: what it printed, and no history."""

import asyncio
from types import SimpleNamespace

import pytest

from domain.candles import Timeframe
from domain.instrument import Kind, PriceSource
from exchanges.port import Unknown
from exchanges.simulated_reads import NO_HISTORY, SimulatedReads
from tests.builders import BTC, NOW, D, swap


def reads(kind: Kind = Kind.SWAP, **printed: object) -> SimulatedReads:
    text = {"last": "", "bid": "", "ask": "", "mark": "", "event_ms": 0} | printed
    clock = SimpleNamespace(now=lambda: NOW)
    return SimulatedReads(clock, {BTC: swap(kind=kind)}, {BTC: SimpleNamespace(**text)})


def ask(reads: SimulatedReads, method: str, *arguments):
    return asyncio.run(getattr(reads, method)(BTC, *arguments))


def test_the_last_price_is_the_one_that_was_printed():
    assert isinstance(ask(reads(), "last"), Unknown)
    told = ask(reads(last="60000.1", mark="60001", event_ms=7), "last")
    assert (told.price, told.event_ms) == ("60000.1", 7)
    assert ask(reads(mark="60001"), "mark").price == "60001"


def test_there_is_no_history_and_it_says_why():
    market = reads(last="60000")
    assert ask(market, "candles", Timeframe(60_000), 0, 10**12) == Unknown(NO_HISTORY)
    assert not any(market.timeframes(source) for source in PriceSource)


@pytest.mark.parametrize("depth", [1, 7])
def test_a_book_is_made_up_around_the_quote(depth):
    assert isinstance(ask(reads(), "book", depth), Unknown)
    book = ask(reads(bid="60000.1", ask="60000.4"), "book", depth)
    assert (len(book.bids), len(book.asks)) == (depth, depth)
    assert (book.bids[0].price, book.asks[0].price) == (D("60000.1"), D("60000.4"))
    assert book.bids[0].quantity == D("0.016")  # about a thousand's worth, in whole lots
    prices = [level.price for level in book.asks]
    assert prices == sorted(set(prices))


def test_a_book_near_zero_has_no_price_at_or_below_it():
    book = ask(reads(bid="0.2", ask="0.3"), "book", 9)
    assert [level.price for level in book.bids] == [D("0.2"), D("0.1")]


def test_funding_is_eight_hourly_and_spot_has_none():
    funding = ask(reads(), "funding")
    assert funding.rate == D("0.0001")
    assert funding.next_ms % (8 * 3_600_000) == 0
    assert 0 < funding.next_ms - NOW.timestamp() * 1000 <= 8 * 3_600_000
    for method in ("funding", "open_interest", "mark"):
        assert ask(reads(Kind.SPOT), method) is None
    assert isinstance(ask(reads(), "open_interest"), Unknown)
