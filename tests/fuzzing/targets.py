"""Every place where text from outside, or from the disk, becomes values of ours."""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
import orjson
import yaml

from actors.streams import registry
from daemon.admin_grammar import parse
from daemon.config import load
from daemon.config_file import ConfigError, ConfigFile
from domain.candles import Timeframe
from domain.ids import Symbol
from domain.money import InvalidNumberError
from exchanges import (
    binance_frames,
    binance_requests,
    binance_rest,
    okx_account_rows,
    okx_answers,
    okx_frames,
    okx_private_frames,
    okx_rest,
    translate,
)
from exchanges.ccxt_wire import Reply
from exchanges.closed_candles import ClosedCandles
from exchanges.okx_private_told import Told
from exchanges.order_books import OrderBooks
from exchanges.rest import LieError
from runtime.disk import RealDisk
from storage.chain import Record, Tail, line_of, linked, record_in, sealed
from storage.errors import DamagedRecordError, NewerSchemaError
from storage.snapshot import _HEADER_BYTES, _PREFIX, SnapshotError, SnapshotWriter, load_snapshot
from tests.exchanges import okx_rows, test_binance_frames, test_okx_frames
from tests.exchanges.okx_account_frames import (
    AccountLog,
    account,
    algos,
    both,
    filled_row,
    orders,
    positions,
    push,
)
from tests.exchanges.okx_rows import INSTRUMENTS
from tests.fuzzing.engine import Target

ROOT = Path(__file__).parents[2]
BTC = Symbol("BTC/USDT")
MINUTE = Timeframe.parse("1m")
_REGISTRY = registry()


class Sink:
    """Takes what a market's reader says, and checks that it is what it promises to be."""

    def on_frame(self) -> None: ...

    def on_trade(
        self, symbol: str, price: str, quantity: str, trade_id: str, event_ms: int
    ) -> None:
        assert Decimal(price) > 0
        assert Decimal(quantity) > 0
        assert isinstance(event_ms, int)

    def on_quote(self, symbol, bid, ask, update_id, event_ms) -> None:
        assert Decimal(bid) > 0
        assert Decimal(ask) > 0

    def on_mark(self, symbol, price, event_ms) -> None:
        assert Decimal(price) > 0

    def on_bad_frame(self, why: str) -> None:
        assert len(why) < 2_000, "a log line must not carry a whole frame"
        why.encode()


def _okx_frame(data: bytes) -> None:
    wanted = okx_frames.Wanted(ClosedCandles(lambda *_: None), OrderBooks())
    for raw in (data, data):  # the second time it was seen before
        okx_frames.read_frame(raw, test_okx_frames.LISTED, Sink(), okx_frames.LastSeen(), wanted)
    okx_frames.notice_in(data)


def _binance_frame(data: bytes) -> None:
    symbols = {"BTCUSDT": BTC, "ETHUSDT": Symbol("ETH/USDT")}
    binance_frames.read_frame(data, symbols, Sink(), binance_frames.LastSeen())
    binance_frames.notice_in(data)


def _private_frame(data: bytes) -> None:
    told, log = Told(), AccountLog()
    for _ in range(2):
        okx_private_frames.read_frame(data, INSTRUMENTS, log, told)
    okx_private_frames.notice_in(data)
    for update in log.updates:
        msgspec.json.encode(update)


_ROWS: tuple[Callable[[Any], object], ...] = (
    partial(translate.order_from_row, instruments=INSTRUMENTS),
    partial(translate.algo_from_row, instruments=INSTRUMENTS),
    partial(translate.fill_from_row, instruments=INSTRUMENTS),
    partial(translate.fill_from_order_row, instruments=INSTRUMENTS),
    partial(translate.position_from_row, instruments=INSTRUMENTS),
    translate.balance_from_row,
    translate.children_of,
    translate.owner_of,
    translate.direction_of,
    partial(okx_account_rows.facts_from_row, stops_work=True),
    partial(okx_account_rows.cash_flow_from_row, instruments=INSTRUMENTS),
    partial(okx_account_rows.instrument_from_row, known=okx_rows.BTC_SWAP),
)


def _row(data: bytes) -> None:
    with suppress(orjson.JSONDecodeError):
        row = orjson.loads(data)
        if isinstance(row, dict):
            for reader in _ROWS:
                with suppress(LieError):
                    msgspec.json.encode(reader(row))


def _answer(data: bytes) -> None:
    """An answer of OKX's account: what becomes of an order must be said, whatever it is."""
    with suppress(orjson.JSONDecodeError):
        payload = orjson.loads(data)
        judge = okx_answers.OkxJudge()
        judge.time_ms(payload)
        answer = Reply(payload, judge.verdict(payload))
        okx_answers.placed(answer, "ordId", ours=("clOrdId", okx_rows.OURS))
        okx_answers.read(answer, lambda rows: [_placed(row) for row in rows])
        okx_answers.is_not_found(answer)


def _placed(row: Any) -> object:
    return translate.order_from_row(row, INSTRUMENTS)


_READS: tuple[Callable[[Any], object], ...] = (
    partial(okx_rest.read_last, symbol=BTC, name="BTC-USDT"),
    partial(okx_rest.read_mark, symbol=BTC, name="BTC-USDT"),
    partial(okx_rest.read_funding, symbol=BTC, name="BTC-USDT"),
    partial(okx_rest.read_book, symbol=BTC, depth=5, contract_size=Decimal(1)),
    partial(okx_rest.read_open_interest, symbol=BTC, name="BTC-USDT", contract_size=Decimal(1)),
    partial(okx_rest.read_candles, symbol=BTC, timeframe=MINUTE,
            contract_size=Decimal(1), is_mark=False),
    partial(binance_rest.read_candles, symbol=BTC, timeframe=MINUTE, now_ms=1718000100000),
    partial(binance_rest.read_last, symbol=BTC, name="BTCUSDT"),
    partial(binance_rest.read_mark, symbol=BTC, name="BTCUSDT"),
    partial(binance_rest.read_book, symbol=BTC, depth=5),
    partial(binance_rest.read_funding, symbol=BTC, name="BTCUSDT"),
    partial(binance_rest.read_open_interest, symbol=BTC, name="BTCUSDT"),
)  # fmt: skip


def _read(data: bytes) -> None:
    with suppress(orjson.JSONDecodeError):
        answer = orjson.loads(data)
        for reader in _READS:
            with suppress(LieError, InvalidNumberError):  # whoever asks takes both for a lie
                reader(answer)


_config_file = Path(mkdtemp(prefix="holdfast-fuzz-")) / "config.yaml"


def _config(data: bytes) -> None:
    _config_file.write_bytes(data)
    said: list[str] = ["nothing was wrong"]
    try:
        load(ConfigFile(_config_file))
    except ConfigError as error:
        said = error.lines()
    assert said


def _admin(data: bytes) -> None:
    msgspec.json.encode(parse(data))


def _record(data: bytes) -> None:
    try:
        record = linked(sealed(record_in(data)), Tail())
    except (msgspec.MsgspecError, UnicodeDecodeError, DamagedRecordError):
        return
    with suppress(NewerSchemaError, msgspec.MsgspecError):
        _REGISTRY.codec.decode(record.type, record.schema_version, record.payload)


def _event(data: bytes) -> None:
    """What a record says, given that its hash is right: a bug or another version wrote it."""
    name, _, payload = data.decode(errors="replace").partition("\n")
    with suppress(NewerSchemaError, msgspec.MsgspecError):
        again = _REGISTRY.codec.encode(_REGISTRY.codec.decode(name, 1, payload))
        assert _REGISTRY.codec.encode(_REGISTRY.codec.decode(*again)) == again


_snapshot_file = _config_file.with_name("0000000000000001.snapshot")


def _snapshot(data: bytes) -> None:
    _snapshot_file.write_bytes(data)
    with suppress(SnapshotError):
        load_snapshot(_snapshot_file, RealDisk(), _REGISTRY, lambda _: "1" * 32)
    _snapshot_file.write_bytes(_resealed(data))
    with suppress(SnapshotError):
        load_snapshot(_snapshot_file, RealDisk(), _REGISTRY, lambda _: "1" * 32)


def _resealed(data: bytes) -> bytes:
    """Return it with the right hash over the wrong content, as a bug of ours would write it."""
    if len(data) < _HEADER_BYTES:
        return data
    start = _PREFIX.unpack_from(data)[4]
    digest = sha256(data[start:])
    digest.update(data[: _PREFIX.size] + data[_HEADER_BYTES:start])
    return data[: _PREFIX.size] + digest.digest() + data[_HEADER_BYTES:]


def _request(data: bytes) -> None:
    """What a client of the recorded server sends."""
    binance_requests.request_in(data)


# --- examples


def _dumped(*rows: Any) -> list[bytes]:
    return [orjson.dumps(row) for row in rows]


def _envelopes() -> list[bytes]:
    rows = [
        {"ordId": "1", "clOrdId": okx_rows.OURS, "sCode": "0", "sMsg": "", "ts": "1718000000000"},
        {"ordId": "", "clOrdId": okx_rows.OURS, "sCode": "51008", "sMsg": "Insufficient balance"},
        okx_rows.order_row(),
        okx_rows.fill_row(),
    ]
    found = [{"code": code, "msg": "", "data": [row]} for row in rows for code in ("0", "1", "2")]
    return _dumped(*found, {"code": "50011", "msg": "Too Many Requests", "data": []})


def _market_answers() -> list[bytes]:
    ts = "1718000000000"
    swap = "BTC-USDT"
    rows = [
        {"instId": swap, "last": "60000.1", "ts": ts},
        {"instId": swap, "instType": "SWAP", "markPx": "60000.1", "ts": ts},
        {"instId": swap, "fundingRate": "0.0001", "fundingTime": ts, "nextFundingTime": ts,
         "method": "next_period", "ts": ts},
        {"asks": [["60001", "1", "0", "2"]], "bids": [["60000", "1", "0", "2"]], "ts": ts,
         "seqId": 3},
    ]  # fmt: skip
    candle = ["1718000040000", "1", "3", "1", "2", "10", "10", "10", "1"]
    rows += [candle, {"instId": swap, "oi": "5", "oiCcy": "5", "ts": ts}]
    kline = [1718000040000, "1", "3", "1", "2", "10", 1718000099999, "10", 5, "1", "1", "0"]
    binance = [
        [kline],
        {"symbol": "BTCUSDT", "price": "60000.1", "time": 1718000000000},
        {"symbol": "BTCUSDT", "markPrice": "60000.1", "indexPrice": "60000", "time": 1718000000000,
         "lastFundingRate": "0.0001", "nextFundingTime": 1718000000000},
        {"lastUpdateId": 3, "bids": [["60000", "1"]], "asks": [["60001", "1"]], "T": 1718000000000},
        {"symbol": "BTCUSDT", "openInterest": "10", "time": 1718000000000},
    ]  # fmt: skip
    return _dumped(*({"code": "0", "msg": "", "data": [row]} for row in rows), *binance)


def _configs() -> list[bytes]:
    shipped = [path.read_bytes() for path in (ROOT / "config.yaml", ROOT / "replay.yaml")]
    bare = [
        "\n".join(line for line in data.decode().splitlines() if not line.lstrip().startswith("#"))
        for data in shipped
    ]
    venue = {
        "account": {"name": "main", "quote": "USDT", "venue": "okx-demo"},
        "market": {"source": "simulated", "symbols": ["BTC/USDT"], "seed": 1},
        "venues": {"okx-demo": {"exchange": "okx", "environment": "demo", "margin_mode": "cross"}},
        "limits": {"max_positions": 3, "daily_drawdown_ratio": "5%"},
        "journal": {"snapshot_every_events": 1000, "min_free_mb": 1},
    }
    return [*map(str.encode, bare), yaml.safe_dump(venue).encode()]


def _lines() -> list[bytes]:
    commands = [
        {"command": "ping", "id": 1},
        {"command": "positions", "closed": True, "limit": 10},
        {"command": "open", "symbol": "BTC/USDT", "side": "long", "size": "0.1", "by": "quantity",
         "stop": "59000", "targets": [{"price": "61000", "part": "0.5"}]},
        {"command": "close", "position": "00000000-0000-4000-8000-000000000001", "part": "0.5"},
        {"command": "move-stop", "position": "p", "price": "59000", "widen": True},
        {"command": "trail-stop", "position": "p", "ratio": "0.01"},
        {"command": "add-target", "position": "p", "price": "61000", "part": "0.5"},
        {"command": "set-account-limits", "max_positions": 3},
        {"command": "set-trader-limits", "trader": "t", "max_positions": 3},
        {"command": "watch", "every_s": 1},
        {"command": "journal-archive", "before_seq": 10},
        {"command": "executions", "since": "2026-01-01T00:00:00Z", "limit": 5},
    ]  # fmt: skip
    return _dumped(*commands)


def _journal() -> tuple[list[Record], dict[str, Any]]:
    """Return what a small daemon journals, and its states."""
    from daemon.assembly import open_store  # noqa: PLC0415
    from tests.disk.specimens import crashed, lay  # noqa: PLC0415 - brings in the whole daemon

    scratch = _config_file.parent
    files = crashed(scratch / "life")
    lay(scratch / "data", files)
    with open_store(scratch / "data", RealDisk()) as store:
        return list(store.journal.read()), store.recovered.streams


def targets() -> list[Target]:
    """Return all of them."""
    records, streams = _journal()
    writer = SnapshotWriter(_REGISTRY, Tail(1, "1" * 32), streams)
    snapshot = writer.write(RealDisk(), _config_file.parent / "made").read_bytes()
    first = {record.type: record for record in records}
    events = [f"{each.type}\n{each.payload}".encode() for each in first.values()]
    okx, binance = test_okx_frames, test_binance_frames
    frames = [okx.TRADE, okx.TICKER, okx.MARK, okx.CANDLE, okx.BOOK]
    notices = _dumped(
        {"event": "subscribe", "arg": {"channel": "trades", "instId": "BTC-USDT"}, "connId": "1"},
        {"event": "error", "code": "60018", "msg": "Wrong URL", "connId": "1", "id": "1"},
        {"event": "notice", "code": "64008", "msg": "The connection will soon be closed"},
        {"event": "login", "code": "0", "msg": "", "connId": "1"},
    )
    rows = [
        okx_rows.order_row(),
        okx_rows.algo_row(),
        okx_rows.fill_row(),
        okx_rows.position_row(),
        okx_rows.balance_row(),
        filled_row(),
    ]
    private = [
        orders(okx_rows.order_row(), filled_row()),
        algos(okx_rows.algo_row()),
        positions(okx_rows.position_row()),
        account(okx_rows.balance_row()),
        both(okx_rows.position_row(), balances=[okx_rows.balance_row()]),
        push("fills", okx_rows.fill_row()),
    ]
    public = [
        binance.SPOT_TRADE, binance.SPOT_QUOTE, binance.USDM_TRADE, binance.USDM_QUOTE,
        binance.MARK, binance.AGGREGATE, b'{"result":null,"id":1}',
        b'{"error":{"code":2,"msg":"Invalid request"},"id":3}',
        b'{"event":{"e":"serverShutdown","E":1}}',
    ]  # fmt: skip
    subscribe = {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}
    return [
        Target("okx frames", frames + notices, _okx_frame, ("okx_frames.py", "order_books.py")),
        Target("binance frames", public, _binance_frame, ("binance_frames.py",)),
        Target(
            "private frames", private + notices, _private_frame,
            ("okx_private_frames.py", "okx_private_told.py", "translate.py"),
        ),
        Target("account rows", _dumped(*rows), _row, ("translate.py", "okx_account_rows.py")),
        Target("account answers", _envelopes(), _answer, ("okx_answers.py", "translate.py")),
        Target("market answers", _market_answers(), _read, ("okx_rest.py", "binance_rest.py")),
        Target("stream requests", _dumped(subscribe), _request, ("binance_requests.py",)),
        Target("admin lines", _lines(), _admin, ("admin_grammar.py",)),
        Target("config", _configs(), _config, ("config.py", "yaml_lines.py", "config_types.py")),
        Target("journal lines", list(map(line_of, records)), _record, ("chain.py",)),
        Target("journal events", events, _event, ("codec.py",)),
        Target("snapshot", [snapshot], _snapshot, ("snapshot.py", "streams.py")),
    ]  # fmt: skip
