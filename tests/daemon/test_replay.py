"""A replay is the daemon in virtual time: the same frames and seed give the same journal."""

from decimal import Decimal
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.cli.program import build
from daemon.config import load
from daemon.config_file import ConfigFile, shipped
from daemon.replay import replay
from domain.ids import Symbol
from domain.instrument import Instrument, Kind
from exchanges.recording import FrameWriter, RecordingError, frames
from exchanges.simulated_market import MarketShape, simulated_frames
from tests.okx_market import as_okx

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Two minutes of a made-up market, as the venue would have sent them."""
    path = tmp_path_factory.mktemp("frames") / "market.gz"
    bitcoin = Instrument(
        symbol=Symbol("BTC/USDT"),
        venue_symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        kind=Kind.SWAP,
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
        min_notional=Decimal(5),
    )
    shape = MarketShape(ticks_per_second=20, gap_every_s=40)
    start = {bitcoin.symbol: Decimal(61_800)}
    with FrameWriter(path) as writer:
        for offset_ns, raw in simulated_frames(5, (bitcoin,), start, shape):
            if offset_ns > 120_000_000_000:
                break
            writer.write(1_723_161_255_000_000_000 + offset_ns, raw)
    return path


def played(path, seed=None, config=None):
    file = ConfigFile(config) if config else shipped("replay.yaml")
    return replay([path], load(file), seed=seed)


def test_the_same_frames_and_seed_give_the_same_journal(recording):
    first = played(recording)
    assert first == played(recording)
    assert first["positions_opened"] > 0
    assert first["journal_hash"] != played(recording, seed=99)["journal_hash"]


def test_every_exit_says_why_and_on_which_frame(recording):
    report = played(recording)
    assert report["exits"]
    for exit_ in report["exits"]:
        assert exit_["reason"]
        assert 0 < exit_["frame"] <= report["frames"]
        assert Decimal(exit_["price"]) > 0
        assert exit_["fill_price"] is not None


def test_a_person_is_shown_every_exit(recording):
    arguments = ["replay", str(recording)]
    said = CliRunner().invoke(build(arguments), arguments).stdout
    report = played(recording)
    rows = [
        line
        for line in said.splitlines()
        if line[:8] in {e["position"][:8] for e in report["exits"]}
    ]
    assert len(rows) == len(report["exits"]) > 0


def test_a_strategy_in_a_file_of_ones_own_trades_in_a_replay(recording, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from strategies import Step, Strategy, go_long\n"
        "class Eager(Strategy, frozen=True):\n"
        '    """Buys whenever it may."""\n'
        "    def on_candle(self, state, candle, view):\n"
        "        if not view.is_free:\n"
        "            return Step(state)\n"
        "        return Step(state, go_long('because', stop_price=candle.close * 99 / 100))\n"
    )
    (tmp_path / "mine.yaml").write_text(
        "market: {source: recorded, kind: swap, symbols: [BTC/USDT]}\n"
        "traders:\n"
        "  - {name: mine, strategy: './mine.py:Eager', symbols: [BTC/USDT], timeframe: 5s}\n"
    )
    report = played(recording, config=tmp_path / "mine.yaml")
    assert report["positions_opened"] >= 1


def test_nobody_buys_what_a_hole_in_the_recording_looks_like(recording, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from strategies import Step, Strategy, go_long\n"
        "class Calm(Strategy, frozen=True):\n"
        '    """Buys where nobody trades."""\n'
        "    def on_candle(self, state, candle, view):\n"
        "        if candle.trades or not candle.whole or not view.is_free:\n"
        "            return Step(state)\n"
        "        return Step(state, go_long('calm', stop_price=candle.close * 99 / 100))\n"
    )
    (tmp_path / "mine.yaml").write_text(
        "market: {source: recorded, kind: swap, symbols: [BTC/USDT], stale_after_s: 500}\n"
        "traders:\n"
        "  - {name: mine, strategy: './mine.py:Calm', symbols: [BTC/USDT], timeframe: 5s}\n"
    )
    path = tmp_path / "hole.gz"
    begin_ns = next(iter(frames(recording)))[0]
    with FrameWriter(path) as writer:
        for stamp_ns, raw in frames(recording):
            if not 30 <= (stamp_ns - begin_ns) / 1e9 < 90:
                writer.write(stamp_ns, raw)

    report = played(path, config=tmp_path / "mine.yaml")

    assert report["positions_opened"] == 0


def test_the_same_market_tells_the_same_story_in_the_frames_of_either_venue(recording, tmp_path):
    (tmp_path / "same-rules.yaml").write_text(
        (ROOT / "replay.yaml").read_text() + "instruments:\n"
        "  BTC/USDT: {lot_size: 0.001, min_quantity: 0.001, max_leverage: 125}\n"
    )
    path = tmp_path / "okx.gz"
    with FrameWriter(path) as writer:
        for stamp_ns, raw in frames(recording):
            writer.write(stamp_ns, as_okx(raw))

    binance = played(recording, config=tmp_path / "same-rules.yaml")
    okx = played(path, config=tmp_path / "same-rules.yaml")

    assert okx["exits"] == binance["exits"] != []
    for name in ("frames", "ticks", "positions_opened", "pnl", "unrealized_pnl", "events"):
        assert okx[name] == binance[name]


def test_a_recording_of_other_symbols_is_refused_by_name(recording, tmp_path):
    (tmp_path / "spot.yaml").write_text(
        "market: {source: recorded, kind: spot, symbols: [BTC/USDT]}\n"
    )
    path = tmp_path / "swap.gz"
    with FrameWriter(path) as writer:
        for stamp_ns, raw in islice(frames(recording), 5):
            writer.write(stamp_ns, as_okx(raw))

    with pytest.raises(RecordingError, match=r"none of its frames has a price of BTC-USDT; see"):
        played(path, config=tmp_path / "spot.yaml")


def test_a_damaged_recording_is_named_with_its_line(tmp_path):
    path = tmp_path / "bad"
    path.write_text("1723161255030314667 {}\nnonsense\n")
    with pytest.raises(RecordingError, match="2"):
        played(path)


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("name", "frames", "ticks"),
    [("usdm_btcusdt_20240808.gz", 93_954, 87_402), ("usdm_ethusdt_20240808.gz", 74_655, 68_068)],
)
def test_the_recorded_market_is_played_to_the_last_frame(name, frames, ticks):
    if not (DATA / name).exists():
        pytest.skip("the recorded market data is not beside this checkout")
    report = played(DATA / name)
    assert (report["frames"], report["ticks"]) == (frames, ticks)
    assert report["positions_opened"] >= report["positions_closed"] > 0


def test_an_account_at_a_venue_is_replayed_at_the_paper_venue(recording, tmp_path):
    """Frames of the past and orders of today do not go together."""
    text = shipped("replay.yaml").path.read_text(encoding="utf-8")
    venue = "venues: {okx-demo: {}}\naccount: {name: paper, quote: USDT, venue: okx-demo}\n"
    config = tmp_path / "config.yaml"
    without = "\n".join(line for line in text.splitlines() if not line.startswith("account:"))
    config.write_text(f"{venue}{without}\n", encoding="utf-8")

    assert played(recording, config=config) == played(recording)
