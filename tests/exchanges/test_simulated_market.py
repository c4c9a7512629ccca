"""The simulated market: reproducible, on the grid, lively, honest about its gaps, and on time."""

import asyncio
import math
from decimal import Decimal
from functools import partial
from itertools import islice

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.instrument import Instrument, Kind
from exchanges.binance_frames import read_frame
from exchanges.recording import FrameWriter, RecordedStream, frames
from exchanges.simulated_market import MarketShape, SimulatedMarket, simulated_frames

WALL_NS = 1_723_161_255_000_000_000


def instrument(name="BTC", *, tick="0.10", lot="0.001", kind=Kind.SWAP) -> Instrument:
    return Instrument(
        symbol=f"{name}/USDT",
        venue_symbol=f"{name}USDT",
        base=name,
        quote="USDT",
        kind=kind,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_quantity=Decimal(lot),
        min_notional=Decimal(5),
    )


BTC = instrument()
DOGE = instrument("DOGE", tick="0.00001", lot="1", kind=Kind.SPOT)
PRICES = {"BTC/USDT": Decimal(61_700), "DOGE/USDT": Decimal("0.1")}
SYMBOLS = {"BTCUSDT": "BTC/USDT", "DOGEUSDT": "DOGE/USDT"}


def reader(sink):
    return partial(read_frame, symbols=SYMBOLS, sink=sink)


def some(count, *, seed=1, instruments=(BTC, DOGE), shape=None):
    made = simulated_frames(seed, instruments, PRICES, shape or MarketShape(), start_ns=WALL_NS)
    return list(islice(made, count))


def test_the_same_seed_makes_the_same_frames_and_another_does_not():
    assert some(5000) == some(5000)
    assert some(5000) != some(5000, seed=2)


def test_a_symbol_walks_alike_whoever_walks_beside_it():
    alone = [frame for frame in some(2000, instruments=[BTC]) if frame[0] < 200 * 10**9]
    beside = [frame for frame in some(9000) if b"BTCUSDT" in frame[1] and frame[0] < 200 * 10**9]

    assert alone == beside


def test_the_parser_of_the_venue_takes_every_frame(sink):
    for _, raw in some(20_000):
        read_frame(raw, SYMBOLS, sink)

    assert sink.bad == []
    assert len(sink.events) == sink.frames == 20_000
    assert {event[1] for event in sink.of("quote")} != set()
    assert {event[0] for event in sink.of("mark")} == {"BTC/USDT"}


def test_the_first_frames_give_every_symbol_its_prices_at_once(sink):
    for at, raw in some(5):
        assert at == 0
        read_frame(raw, SYMBOLS, sink)

    assert [event[:2] for event in sink.events] == [
        ("mark", "BTC/USDT"),
        ("quote", "BTC/USDT"),
        ("trade", "BTC/USDT"),
        ("quote", "DOGE/USDT"),
        ("trade", "DOGE/USDT"),
    ]


def test_prices_and_quantities_lie_on_their_grids(sink):
    for _, raw in some(20_000):
        read_frame(raw, SYMBOLS, sink)

    for one in (BTC, DOGE):
        for symbol, price, quantity, *_ in sink.of("trade"):
            if symbol == one.symbol:
                assert Decimal(price) % one.tick_size == 0
                assert Decimal(quantity) % one.lot_size == 0
        for symbol, bid, ask, *_ in sink.of("quote"):
            if symbol == one.symbol:
                assert Decimal(bid) % one.tick_size == Decimal(ask) % one.tick_size == 0
                assert 1 <= (Decimal(ask) - Decimal(bid)) / one.tick_size <= 3


def test_each_trade_is_at_the_bid_or_ask_quoted_just_before_it():
    quotes: dict[str, tuple] = {}
    for at, raw in some(20_000):
        data = orjson.loads(raw)["data"]
        if "b" in data:
            quotes[data["s"]] = (at, data["b"], data["a"])
        elif data["e"] == "trade":
            quoted_at, bid, ask = quotes[data["s"]]
            assert quoted_at == at
            assert data["p"] == (bid if data["m"] else ask)


def test_ids_and_times_rise():
    numbers: dict[str, int] = {}
    last_at = 0
    for at, raw in some(20_000):
        frame = orjson.loads(raw)
        number = frame["data"].get("t") or frame["data"].get("u") or frame["data"]["E"]
        assert number > numbers.get(frame["stream"], 0)
        numbers[frame["stream"]] = number
        assert at >= last_at
        last_at = at
        if "E" in frame["data"]:
            assert frame["data"]["E"] == (WALL_NS + at) // 10**6


def test_a_swap_is_marked_every_second_and_spot_never():
    marks = [at for at, raw in some(4000) if b"markPrice" in raw]

    assert marks == [second * 10**9 for second in range(len(marks))]
    assert len(marks) > 300


def test_ticks_come_at_the_rate_asked_for():
    shape = MarketShape(ticks_per_second=50.0)
    made = some(10_000, instruments=[DOGE], shape=shape)

    assert made[-1][0] / 10**9 == pytest.approx(200, rel=0.02)


def test_there_are_trends_bursts_and_gaps_of_the_promised_size():
    last, steps, gaps = 61_700.0, [], []
    for _, raw in some(150_000, instruments=[BTC]):
        data = orjson.loads(raw)["data"]
        if data["e"] == "trade":
            move = math.log(float(data["p"]) / last)
            last = float(data["p"])
            (gaps if abs(move) > 0.009 else steps).append(move)
    hours = len(steps) / 2 / 3600

    assert 3 * hours < len(gaps) < 12 * hours
    assert all(0.009 < abs(gap) < 0.044 for gap in gaps)
    calm = sorted(abs(step) for step in steps)
    assert calm[int(len(calm) * 0.99)] > 3.5 * calm[len(calm) // 2]  # normal noise alone: 3.8 / 1.5
    minutes = [sum(steps[at : at + 120]) for at in range(0, len(steps), 120)]
    drifting = sum(abs(minute) > 0.005 for minute in minutes) / len(minutes)
    assert drifting > 0.3  # noise alone, 0.3 % a minute, would leave 10 %


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.floats(0.0001, 0.2),
    st.sampled_from(["0.01", "5", "0.00000001", "1E+1"]),
    st.integers(20, 10**6),
)
def test_no_price_ever_reaches_zero_however_wild_the_market(seed, volatility, tick, ticks):
    wild = MarketShape(volatility=volatility, gap_every_s=5, gap_low=0.5, gap_high=0.9)
    one = instrument("BTC", tick=tick, kind=Kind.SPOT)
    prices = {"BTC/USDT": one.tick_size * ticks}

    for _, raw in islice(simulated_frames(seed, [one], prices, wild), 400):
        data = orjson.loads(raw)["data"]
        price = Decimal(data.get("p") or data["b"])
        assert price > 0
        assert price % one.tick_size == 0


@pytest.mark.parametrize(
    ("instruments", "prices", "why"),
    [
        ([BTC], {}, "no start price for BTC/USDT"),
        ([], PRICES, "no instruments"),
        ([BTC], {"BTC/USDT": Decimal("0.90")}, "a start price of 0.90 is below 1.00, 10 ticks"),
        ([BTC, BTC], PRICES, "same name"),
    ],
)
def test_a_market_that_cannot_be_is_refused(instruments, prices, why):
    with pytest.raises(ValueError, match=why):
        simulated_frames(1, instruments, prices)


def test_in_virtual_time_the_stream_is_the_frames_each_at_its_time(
    sink, loop_clock, virtual_loop, in_virtual_time
):
    heard = []
    market = SimulatedMarket(
        loop_clock,
        seed=1,
        instruments=[BTC, DOGE],
        start_prices=PRICES,
        tap=lambda stamp, raw: heard.append((stamp, raw, virtual_loop.time())),
    )
    start_s = virtual_loop.time()
    start_ns = int(loop_clock.now().timestamp() * 10**9)

    async def watch():
        await asyncio.wait({asyncio.create_task(market.run(sink))}, timeout=600)

    in_virtual_time(watch())
    for task in asyncio.all_tasks(virtual_loop):
        task.cancel()
    expected = islice(simulated_frames(1, [BTC, DOGE], PRICES, start_ns=start_ns), len(heard))

    assert len(heard) == pytest.approx(600 * 9, rel=0.05)
    for (stamp, raw, at_s), (offset, made) in zip(heard, expected, strict=True):
        assert raw == made
        assert stamp == start_ns + offset
        assert at_s - start_s == pytest.approx(offset / 10**9, abs=1e-6)
    assert sink.events[0] == ("connected",)


def test_a_machine_that_slept_is_not_flooded_and_times_are_of_the_present(
    sink, loop_clock, virtual_loop, in_virtual_time
):
    market = SimulatedMarket(loop_clock, seed=1, instruments=[BTC], start_prices=PRICES)

    async def watch():
        running = asyncio.create_task(market.run(sink))
        await asyncio.sleep(10)
        before = sink.frames
        virtual_loop.seconds += 600  # asleep
        await asyncio.sleep(10)
        running.cancel()
        return sink.frames - before

    assert in_virtual_time(watch()) == pytest.approx(50, abs=12)
    age_ms = loop_clock.now().timestamp() * 1000 - sink.of("trade")[-1][4]
    assert 0 <= age_ms < 1500


def test_run_again_it_goes_on_where_it_was(sink, new_sink, loop_clock, in_virtual_time):
    market = SimulatedMarket(loop_clock, seed=1, instruments=[BTC], start_prices=PRICES)
    again = new_sink()

    async def watch():
        for one in (sink, again):
            await asyncio.wait({task := asyncio.create_task(market.run(one))}, timeout=30)
            task.cancel()
            await asyncio.sleep(100)

    in_virtual_time(watch())
    told = [event[1:3] for event in sink.of("trade") + again.of("trade")]
    made = []
    for _, raw in simulated_frames(1, [BTC], PRICES):
        data = orjson.loads(raw)["data"]
        if data["e"] == "trade":
            made.append((data["p"], data["q"]))
        if len(made) == len(told):
            break

    assert told == made
    assert again.events[0] == ("connected",)
    assert again.of("trade")[0][4] - sink.of("trade")[-1][4] > 90_000


def test_a_recorded_simulation_replays_to_the_same_prices(
    sink, new_sink, tmp_path, loop_clock, in_virtual_time
):
    path = tmp_path / "simulated.gz"
    replayed = new_sink()

    async def watch():
        with FrameWriter(path) as writer:
            market = SimulatedMarket(
                loop_clock,
                seed=3,
                instruments=[BTC, DOGE],
                start_prices=PRICES,
                tap=writer.write,
            )
            await asyncio.wait({task := asyncio.create_task(market.run(sink))}, timeout=60)
            task.cancel()
            await asyncio.wait({task})
        await RecordedStream([path], reader).run(replayed)

    in_virtual_time(watch())

    assert replayed.events == sink.events
    assert replayed.frames == len(list(frames(path))) == sink.frames
