"""The sandbox's prices: a walk that repeats by its seed, a past, a recording."""

import asyncio
from pathlib import Path

from exchanges.recording import FrameWriter
from exchanges.sandbox.catalog import listings
from exchanges.sandbox.endpoints_public import candles
from exchanges.sandbox.market import MINUTE_MS, Market
from exchanges.sandbox.numbers import is_multiple
from exchanges.sandbox.params import Params
from exchanges.sandbox.walk import Walks
from tests.exchanges.sandbox.client import trading, until
from tests.exchanges.sandbox.desk import NOW_MS, SPOT, SWAP, Desk


def walked(seed: int) -> list:
    market = Market(listings(("BTC", "DOGE")), NOW_MS)
    walks = Walks(market, seed=seed, volatility=0.01)
    found = []
    for _ in range(50):
        walks.step(1)
        found += [quote.last for quote in market.quotes.values()]
        for quote in market.quotes.values():
            assert is_multiple(quote.last, quote.listing.tick)
            assert quote.bid < quote.ask
    return found


def test_the_same_seed_walks_the_same_way() -> None:
    assert walked(1) == walked(1)
    assert walked(1) != walked(2)


def test_a_past_has_a_candle_for_every_minute() -> None:
    market = Market(listings(("BTC",)), NOW_MS)

    Walks(market, seed=1, volatility=0.001).live_through(90, NOW_MS)

    opens = [bar.open_ms for bar in market.quotes[SPOT].bars][:-1]
    assert opens == [opens[0] + MINUTE_MS * number for number in range(90)]


def test_minutes_without_a_trade_are_flat() -> None:
    desk = Desk()
    desk.price("60000")
    desk.pass_time(5 * MINUTE_MS)
    desk.price("61000")

    closes = [str(bar.close) for bar in desk.venue.market.quotes[SPOT].bars]

    assert closes == ["60000"] * 5 + ["61000"]


def test_candles_of_an_hour_are_made_of_minutes() -> None:
    market = Market(listings(("BTC",)), NOW_MS)
    Walks(market, seed=1, volatility=0.001).live_through(600, NOW_MS)
    desk = Desk()
    desk.venue.market.quotes[SPOT].bars = market.quotes[SPOT].bars

    hours = candles(desk.venue, Params({"instId": SPOT, "bar": "1H", "limit": "3"}))
    minutes = candles(desk.venue, Params({"instId": SPOT, "bar": "1m", "limit": "300"}))

    inside = [row for row in minutes if 0 <= int(row[0]) - int(hours[1][0]) < 60 * MINUTE_MS]
    assert len(inside) == 60
    assert hours[1][2] == max((row[2] for row in inside), key=float)
    assert (hours[0][8], hours[1][8]) == ("0", "1")


def test_prices_move_by_themselves_when_they_should() -> None:
    async def work() -> None:
        async with trading(ticks_per_second=100.0) as client:
            market = client.sandbox.venue.market
            seen = {market.quotes[SWAP].last}
            market.on_move.append(lambda quote, _: seen.add(quote.last))
            await until(lambda: len(seen) > 5, market.on_move)

    asyncio.run(asyncio.wait_for(work(), 20))


def test_a_recording_moves_spot_and_swap(tmp_path: Path) -> None:
    file = tmp_path / "some.txt"
    trade = (
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":1,'
        b'"p":"54321.06","q":"1","m":false}}'
    )
    with FrameWriter(file) as writer:
        writer.write(NOW_MS * 1_000_000, trade)
        writer.write(NOW_MS * 1_000_000 + 10**9, trade)

    async def work() -> None:
        async with trading(recorded=(file,)) as client:
            market = client.sandbox.venue.market
            await until(
                lambda: {str(market.quotes[name].last) for name in (SPOT, SWAP)} == {"54321.1"},
                market.on_move,
            )

    asyncio.run(asyncio.wait_for(work(), 20))
