"""Recordings: read, checked, merged, replayed in virtual time, and written."""

import asyncio
import gzip
from functools import partial

import orjson
import pytest

from exchanges.binance_frames import read_frame
from exchanges.recording import (
    FrameWriter,
    RecordedStream,
    RecordingError,
    first_stamp_ns,
    frames,
    merge,
    stream_of,
    survey,
    venue_of,
)

SYMBOLS = {"BTCUSDT": "BTC/USDT", "ETHUSDT": "ETH/USDT"}
SECOND = 10**9


def reader(sink):
    return partial(read_frame, symbols=SYMBOLS, sink=sink)


@pytest.mark.parametrize("name", ["some.gz", "some.frames"])
def test_what_is_written_is_read_back(tmp_path, make, name):
    path = tmp_path / name
    written = [(5, make.trade(1)), (5, make.quote(2)), (9, make.snapshot())]

    with FrameWriter(path) as writer:
        for stamp, raw in written:
            writer.write(stamp, raw)

    assert list(frames(path)) == written


def test_the_same_frames_make_the_same_file(tmp_path, make):
    for name in ("one.gz", "two.gz"):
        with FrameWriter(tmp_path / name) as writer:
            writer.write(5, make.trade(1))

    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_a_frame_with_line_breaks_stays_one_line(tmp_path):
    path = tmp_path / "some.frames"
    with FrameWriter(path) as writer:
        writer.write(5, b'{\r\n"e":\n"x"}')

    assert list(frames(path)) == [(5, b'{  "e": "x"}')]


def test_a_clock_that_stepped_back_does_not_reorder_frames(record, make):
    path = record((7, make.trade(1)), (5, make.trade(2)), (9, make.trade(3)))

    assert [stamp for stamp, _ in frames(path)] == [7, 7, 9]


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        (b"5 {}\nno stamp here {}\n", 2, "not '<receive time in ns> <raw JSON>' but b'no stamp"),
        (b'{"stream":"x"}\n', 1, "not '<receive time in ns> <raw JSON>'"),
        (b"5 {}\n\n6 {}\n", 2, "not '<receive time in ns> <raw JSON>'"),
        (b"5 {}\n6\n", 2, "not '<receive time in ns> <raw JSON>'"),
        (b"-5 {}\n", 1, "not '<receive time in ns> <raw JSON>'"),
        (b"9" * 30 + b" {}\n", 1, "not '<receive time in ns> <raw JSON>'"),
    ],
)
def test_a_damaged_line_is_named_with_its_file(tmp_path, content, line, why):
    path = tmp_path / "damaged.frames"
    path.write_bytes(content)

    with pytest.raises(RecordingError) as raised:
        list(frames(path))

    assert (raised.value.path, raised.value.line) == (path, line)
    assert str(raised.value).startswith(f"{path}, line {line}: {why}")


def test_a_gzip_file_that_is_cut_off_is_named_with_the_line_it_ends_before(record, make):
    path = record(*(make.trade(number) for number in range(2000)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    read = []
    with pytest.raises(RecordingError, match="the gzip file is cut off here") as raised:
        read.extend(frames(path))

    assert 1 < raised.value.line < 2000


def test_a_gzip_file_with_a_flipped_bit_is_refused(record, make):
    path = record(*(make.trade(number) for number in range(2000)))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0x40
    path.write_bytes(bytes(damaged))

    with pytest.raises(RecordingError, match=r"recording\.gz, line \d+: "):
        survey([path])


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("missing.gz", None, "cannot be read: No such file or directory"),
        ("plain.gz", b"5 {}\n", "cannot be read: Not a gzipped file"),
        ("empty.frames", b"", "holds no frames"),
        ("empty.gz", gzip.compress(b"", mtime=0), "holds no frames"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_by_name(tmp_path, name, content, why):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(RecordingError) as raised:
        survey([path])

    assert str(raised.value).startswith(f"{path}: {why}")


def test_no_files_hold_no_frames():
    with pytest.raises(RecordingError, match="holds no frames"):
        first_stamp_ns([])


def test_files_are_merged_by_time_and_at_the_same_instant_in_the_order_given(record):
    one = record((1, b'{"n":1}'), (3, b'{"n":3}'), (5, b'{"n":5}'), name="one.gz")
    two = record((2, b'{"n":2}'), (3, b'{"n":30}'), (3, b'{"n":31}'), name="two.gz")

    def order(*paths):
        return [orjson.loads(raw)["n"] for _, raw in merge(paths)]

    assert order(one, two) == [1, 2, 3, 30, 31, 5]
    assert order(two, one) == [1, 2, 30, 31, 3, 5]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'{"stream":"btcusdt@trade","data":{}}', "btcusdt@trade"),
        (b'{ "stream" : "btcusdt@trade", "data": {}}', "btcusdt@trade"),
        (b'{"data":{},"stream":"btcusdt@trade"}', "btcusdt@trade"),
        (b'{"stream":"a\\u0062c@trade","data":{}}', "abc@trade"),
        (b'{"lastUpdateId":5}', ""),
        (b'{"stream":7}', ""),
        (b"[]", ""),
        (b'{"stream":"cut', ""),
    ],
)
def test_a_frame_says_which_stream_it_is_of(raw, name):
    assert stream_of(raw) == name


def test_a_survey_tells_what_is_in_the_files(record, make):
    one = record((3, make.trade(1)), (8, make.snapshot()), name="one.gz")
    two = record((2, make.quote(1, symbol="ETHUSDT")), name="two.gz")

    contents = survey([one, two])

    assert contents.frames == 3
    assert contents.streams == {"btcusdt@trade", "ethusdt@bookTicker"}
    assert (contents.first_ns, contents.last_ns) == (2, 8)


def test_a_replay_gives_every_frame_at_its_time(sink, record, make, virtual_loop, in_virtual_time):
    path = record(
        (50 * SECOND, make.trade(1)),
        (50 * SECOND, make.quote(1)),
        (53 * SECOND + 250_000_000, make.trade(2)),
        (53 * SECOND + 250_000_001, b"broken"),
        (3653 * SECOND, make.trade(3)),
    )
    heard = []
    stream = RecordedStream([path], reader)
    start = virtual_loop.time()
    sink.on_frame = lambda: heard.append(virtual_loop.time() - start)

    in_virtual_time(stream.run(sink))

    assert heard == pytest.approx([0, 0, 3.25, 3.25, 3603])
    assert [event[0] for event in sink.events] == [
        *("connected", "trade", "quote", "trade"),
        *("disconnected", "connected", "trade"),  # an hour of which nothing is known
    ]
    assert sink.of("disconnected") == [("nothing was recorded for 3600 s",)]
    assert len(sink.bad) == 1


def test_frames_of_one_instant_are_not_parted_and_others_let_the_loop_turn(
    sink, record, make, in_virtual_time
):
    path = record((1, make.trade(1)), (1, make.trade(2)), (2, make.trade(3)))
    order = []
    sink.on_trade = lambda *trade: (
        order.append(f"trade {trade[3]}"),
        asyncio.get_running_loop().call_soon(order.append, f"after {trade[3]}"),
    )

    in_virtual_time(RecordedStream([path], reader).run(sink))

    assert order[:5] == ["trade 1", "trade 2", "after 1", "after 2", "trade 3"]


def test_a_replay_of_a_damaged_file_ends_with_its_error(sink, tmp_path, make, in_virtual_time):
    path = tmp_path / "damaged.frames"
    path.write_bytes(b"5 " + make.trade(1) + b"\nnonsense\n")

    with pytest.raises(RecordingError, match="line 2"):
        in_virtual_time(RecordedStream([path], reader).run(sink))

    assert sink.trade_ids() == [1]


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("name", "lines", "trades", "quotes"),
    [
        ("usdm_btcusdt_20240808.gz", 93_954, 21_313, 66_089),
        ("usdm_ethusdt_20240808.gz", 74_655, 14_076, 53_992),
        ("spot_btcusdt_20240808.gz", 41_249, 9_757, 28_040),
    ],
)
def test_every_line_of_a_real_recording_is_a_frame_and_every_price_a_tick(
    sink, recorded, in_virtual_time, virtual_loop, name, lines, trades, quotes
):
    path = recorded(name)
    start = virtual_loop.time()

    in_virtual_time(RecordedStream([path], reader).run(sink))

    assert sink.frames == lines
    assert len(sink.of("trade")) == trades
    assert len(sink.of("quote")) == quotes
    assert sink.bad == []
    assert virtual_loop.time() - start == pytest.approx(345, abs=1.5)


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[]}', "trades:BTC-USDT"),
        (
            b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[]}',
            "books:BTC-USDT",
        ),
        (b'{"data":[], "arg":{"instId":"X-Y-SWAP","channel":"tickers"}}', "tickers:X-Y-SWAP"),
        (b'{"event":"subscribe","arg":{"channel":"trades","instId":"BTC-USDT"}}', ""),
        (b'{"event":"notice","code":"64008"}', ""),
        (b'{"arg":{"channel":7,"instId":"BTC-USDT"},"data":[]}', ""),
        (b"pong", ""),
        (b"[]", ""),
    ],
)
def test_a_stream_of_okx_is_its_channel_and_instrument(frame, name):
    assert stream_of(frame) == name


def test_whose_frames_they_are_is_told_by_the_first_that_can_tell(record, make, okx):
    noise = (b"pong", b"[]", b'{"code":3,"msg":"no"}')

    assert venue_of([record(*noise, make.snapshot())]) == "binance"
    assert venue_of([record(*noise, make.trade(1), okx.trade(1))]) == "binance"
    assert venue_of([record(*noise, okx.trade(1), make.trade(1))]) == "okx"
    with pytest.raises(RecordingError, match="no frame in it is of a venue that is known"):
        venue_of([record(*noise)])
