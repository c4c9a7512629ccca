"""Reading Binance's frames: what is taken, passed over, refused, and that nothing raises."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.binance_frames import LastSeen, notice_in, read_frame
from exchanges.dialect import Answer, ShutdownNotice

SYMBOLS = {"BTCUSDT": "BTC/USDT", "ETHUSDT": "ETH/USDT"}

SPOT_TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,'
    b'"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
)
SPOT_QUOTE = (
    b'{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000",'
    b'"B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}'
)
USDM_TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256321,'
    b'"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}'
)
USDM_QUOTE = (
    b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT",'
    b'"b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256314}}'
)
MARK = (
    b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1562305380000,'
    b'"s":"BTCUSDT","p":"11794.15000000","i":"11784.62659091","P":"11784.25641265",'
    b'"r":"0.00038167","T":1562306400000}}'
)
AGGREGATE = (
    b'{"e":"aggTrade","E":123456789,"s":"BTCUSDT","a":5933014,"p":"0.001","q":"100","f":100,'
    b'"l":105,"T":123456785,"m":true}'
)


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (
            SPOT_TRADE,
            ("trade", "BTC/USDT", "61837.63000000", "0.02000000", "3735683259", 1723161255342),
        ),
        (
            SPOT_QUOTE,
            ("quote", "BTC/USDT", "61837.63000000", "61837.64000000", "50093239212", 0),
        ),
        (USDM_TRADE, ("trade", "BTC/USDT", "61800.30", "0.006", "5266583935", 1723161256321)),
        (
            USDM_QUOTE,
            ("quote", "BTC/USDT", "61800.20", "61800.30", "5123107839020", 1723161256313),
        ),
        (MARK, ("mark", "BTC/USDT", "11794.15000000", 1562305380000)),
        (AGGREGATE, ("trade", "BTC/USDT", "0.001", "100", "5933014", 123456785)),
    ],
)
def test_prices_reach_the_sink_as_the_venue_wrote_them(sink, raw, event):
    assert read_frame(raw, SYMBOLS, sink) is None

    assert sink.events == [event]
    assert (sink.frames, sink.bad) == (1, [])


def test_a_bare_payload_and_text_are_read_like_an_envelope_and_bytes(sink):
    bare = orjson.dumps(orjson.loads(USDM_TRADE)["data"])

    read_frame(bare, SYMBOLS, sink)
    read_frame(bare.decode(), SYMBOLS, sink)
    read_frame(USDM_TRADE, SYMBOLS, sink)

    assert len(sink.events) == 3
    assert len(set(sink.events)) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","b":[],"a":[]}}',
        b'{"lastUpdateId":5,"bids":[["1","1"]],"asks":[]}',
        b'{"stream":"btcusdt@depth5","data":{"lastUpdateId":5,"bids":[],"asks":[]}}',
        b'{"e":"kline","s":"BTCUSDT","k":{}}',
        USDM_TRADE.replace(b"BTCUSDT", b"XRPUSDT"),
        USDM_TRADE.replace(b"MARKET", b"INSURANCE_FUND").replace(b"61800.30", b"0"),
        USDM_TRADE.replace(b"MARKET", b"NA"),
    ],
    ids=["depth", "bare snapshot", "partial depth", "kline", "other symbol", "insurance", "NA"],
)
def test_frames_without_a_price_of_ours_are_counted_and_passed_over(sink, raw):
    assert read_frame(raw, SYMBOLS, sink) is None

    assert (sink.frames, sink.events, sink.bad) == (1, [], [])


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b'{"result":null,"id":1}', Answer(1, "")),
        (b'{"result":["btcusdt@trade"],"id":3}', Answer(3, "")),
        (
            b'{"error":{"code":2,"msg":"Invalid request: request ID"},"id":4}',
            Answer(4, "2 Invalid request: request ID"),
        ),
        (b'{"code":3,"msg":"Invalid JSON"}', Answer(None, "3 Invalid JSON")),
        (b'{"id":null,"error":{"code":2,"msg":"no"}}', Answer(None, "2 no")),
    ],
)
def test_answers_are_returned_and_are_no_frames(sink, raw, answer):
    assert read_frame(raw, SYMBOLS, sink) == answer

    assert notice_in(raw) == answer
    assert (sink.frames, sink.bad) == (0, [])


@pytest.mark.parametrize(
    "raw",
    [
        b'{"e":"serverShutdown","E":1770123456789}',
        b'{"event":{"e":"serverShutdown","E":1770123456789}}',
        b'{"stream":"x","data":{"e":"serverShutdown","E":1770123456789}}',
    ],
)
def test_a_server_that_goes_away_says_so_in_any_envelope(sink, raw):
    assert read_frame(raw, SYMBOLS, sink) == ShutdownNotice()
    assert notice_in(raw) == ShutdownNotice()


BAD_NUMBERS = [
    "0", "0.00000000", "-1", "-61800.30", "NaN", "nan", "Infinity", "inf", "1e5", "1E-400", "", " ",
    ".", "1.2.3", "1_000", " 1", "1 ", "+1", "0x10", "abc", "\u0663", "\uff11", "9" * 41,
    "1" + "0" * 400, None, True, 61800.3, 61800, [], {}, ["61800.30"],
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_NUMBERS, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (USDM_TRADE, "p"),
        (USDM_TRADE, "q"),
        (USDM_QUOTE, "b"),
        (USDM_QUOTE, "a"),
        (MARK, "p"),
    ],
    ids=["trade price", "trade quantity", "bid", "ask", "mark"],
)
def test_a_price_that_is_none_is_refused_by_name(sink, raw, field, value):
    frame = orjson.loads(raw)
    frame["data"][field] = value

    read_frame(orjson.dumps(frame), SYMBOLS, sink)

    assert sink.events == []
    assert sink.frames == 1
    (why,) = sink.bad
    assert f"BTCUSDT {frame['data']['e']}: {field} is " in why
    assert len(why) < 200


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"ping", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (USDM_TRADE[:-1], "not JSON"),
        (USDM_TRADE.replace(b'"61800.30"', b"NaN"), "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not an object"),
        (b"[" * 900 + b"]" * 900, "not an object: a list"),
        (b'"trade"', "not an object"),
        (b"5", "not an object: 5"),
        (b"null", "not an object: None"),
        (b"{}", "neither event, quote nor snapshot"),
        (b'{"stream":"btcusdt@trade","data":[]}', "not an object: a list"),
        (b'{"stream":"btcusdt@trade","data":{"e":7}}', "event type is 7"),
        (b'{"stream":"btcusdt@trade","data":{"e":["trade"]}}', "event type is a list"),
        (USDM_TRADE.replace(b'"BTCUSDT"', b"7"), "symbol is 7"),
        (USDM_TRADE.replace(b'"BTCUSDT"', b"{}"), "symbol is a JSON object"),
        (USDM_TRADE.replace(b"5266583935", b'"5266583935"'), "t is 5266583935, not an id"),
        (USDM_TRADE.replace(b"5266583935", b"-1"), "t is -1, not an id"),
        (USDM_TRADE.replace(b"5266583935", b"1.5"), "t is 1.5, not an id"),
        (USDM_TRADE.replace(b'"T":1723161256321', b'"T":true'), "T is True, not a time"),
        (USDM_TRADE.replace(b'"T":1723161256321', b'"T":0'), "T is 0, not a time"),
        (USDM_TRADE.replace(b"1723161256321", b"1723161256321000000"), "not a time in ms"),
        (USDM_TRADE.replace(b'"T":1723161256321,', b""), "T is None, not a time"),
        (USDM_QUOTE.replace(b"5123107839020", b"null"), "u is None, not an id"),
        (USDM_QUOTE.replace(b'"61800.20"', b'"61800.31"'), "bid 61800.31 is above ask 61800.30"),
        (MARK.replace(b"1562305380000", b'"soon"'), "E is soon, not a time"),
    ],
)
def test_a_frame_of_the_wrong_shape_is_refused_with_the_reason(sink, raw, why):
    assert read_frame(raw, SYMBOLS, sink) is None

    assert sink.events == []
    assert sink.frames == 1
    assert len(sink.bad) == 1
    assert why in sink.bad[0]


def test_what_was_seen_before_is_dropped_for_each_symbol_and_kind_apart(sink, make):
    seen = LastSeen()
    frames = [
        make.trade(10), make.quote(7), make.mark(2000), make.trade(3, symbol="ETHUSDT"),
        make.trade(10), make.trade(9), make.quote(7), make.quote(6), make.mark(2000), make.mark(9),
        make.trade(11), make.quote(8), make.mark(3000), make.trade(4, symbol="ETHUSDT"),
    ]  # fmt: skip

    for raw in frames:
        read_frame(raw, SYMBOLS, sink, seen)

    assert [event[0] for event in sink.events] == ["trade", "quote", "mark", "trade"] * 2
    assert sink.trade_ids() == [10, 3, 11, 4]
    assert sink.frames == len(frames)


def test_aggregate_trades_count_apart_from_trades(sink, make):
    seen = LastSeen()

    read_frame(make.trade(10_000_000), SYMBOLS, sink, seen)
    read_frame(AGGREGATE, SYMBOLS, sink, seen)
    read_frame(AGGREGATE, SYMBOLS, sink, seen)

    assert sink.trade_ids() == [10_000_000, 5933014]


class _StrictSink:
    """Fails on anything a sink must never see."""

    def on_frame(self):
        pass

    def on_trade(self, symbol, price, quantity, trade_id, event_ms):
        assert symbol in SYMBOLS.values()
        assert float(price) > 0
        assert float(quantity) > 0
        assert int(trade_id) >= 0
        assert event_ms > 0

    def on_quote(self, symbol, bid, ask, update_id, event_ms):
        assert symbol in SYMBOLS.values()
        assert 0 < float(bid) <= float(ask)
        assert int(update_id) >= 0
        assert event_ms >= 0

    def on_mark(self, symbol, price, event_ms):
        assert symbol in SYMBOLS.values()
        assert float(price) > 0
        assert event_ms > 0

    def on_bad_frame(self, why):
        assert why.isprintable()
        assert len(why) < 400


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=50)
    | st.sampled_from(["0", "-1", "NaN", "1e999", "61800.30", "trade", "BTCUSDT", "bookTicker"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*"esptquabETX", "data", "stream", "id"]), inner)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=300) | st.text(max_size=100))
def test_no_bytes_raise(raw):
    read_frame(raw, SYMBOLS, _StrictSink(), LastSeen())
    notice_in(raw)


@given(json_values)
def test_no_json_raises(value):
    raw = orjson.dumps(value)

    read_frame(raw, SYMBOLS, _StrictSink(), LastSeen())
    notice_in(raw)


@given(
    st.sampled_from([SPOT_TRADE, SPOT_QUOTE, USDM_TRADE, USDM_QUOTE, MARK, AGGREGATE]),
    st.data(),
)
def test_no_mutation_of_a_real_frame_raises_or_passes_a_bad_price(raw, data):
    frame = orjson.loads(raw)
    payload = frame.get("data", frame)
    field = data.draw(st.sampled_from(sorted(payload)))
    if data.draw(st.booleans()):
        del payload[field]
    else:
        payload[field] = data.draw(json_values)
    mutated = bytearray(orjson.dumps(frame))
    for _ in range(data.draw(st.integers(0, 3))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))

    read_frame(bytes(mutated), SYMBOLS, _StrictSink(), LastSeen())
    notice_in(bytes(mutated))
