"""A real daemon on `source: okx` and a real server of OKX's frames: it trades, and it guards."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from domain.ids import Symbol
from domain.instrument import Instrument, Kind
from exchanges.recording import FrameWriter, stream_of
from exchanges.simulated_market import MarketShape, simulated_frames
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.okx_market import as_okx

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

CONFIG = """
market: {{source: okx, kind: swap, symbols: [BTC/USDT], url: "{url}", max_silence_s: {silence}}}
paper: {{slippage: 0, latency_ms: 0}}
traders:
  - name: trend
    strategy: ema-cross
    symbols: [BTC/USDT]
    timeframe: 1s
    parameters: {{fast: 2, slow: 4, atr_bars: 3, stop_atr: 3, min_stop_ratio: 0.002}}
    size: {{by: notional, value: 200}}
metrics: {{enabled: false}}
log: {{format: json}}
"""
SECONDS = 60
SPEED = 10
START_NS = 1_723_161_255_000_000_000
BTC = Instrument(
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


@pytest.fixture
def tape(tmp_path: Path) -> tuple[Path, list[Decimal]]:
    """A minute of a made-up market as OKX would have pushed it, and the prices of its trades."""
    path = tmp_path / "okx.gz"
    prices = []
    shape = MarketShape(ticks_per_second=40)
    with FrameWriter(path) as writer:
        market = simulated_frames(
            3, (BTC,), {BTC.symbol: Decimal(61_800)}, shape, start_ns=START_NS
        )
        for offset_ns, raw in market:
            if offset_ns > SECONDS * 10**9:
                break
            frame = as_okx(raw)
            writer.write(START_NS + offset_ns, frame)
            if stream_of(frame).startswith("trades:"):
                prices.append(Decimal(orjson.loads(frame)["data"][0]["px"]))
    return path, prices


def ready(daemon: Daemon) -> bool:
    return daemon.status()["mode"] == "NORMAL" and daemon.status()["prices"][0]["last"] is not None


def until(daemon: Daemon, met: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    """Wait for a position, open or closed, that is as wished; return it."""

    def found() -> list[dict[str, Any]]:
        return [each for each in daemon.positions(closed=True) if met(each)]

    wait_until(lambda: bool(found()), 30, what)
    return found()[0]


def test_a_daemon_on_okx_trades_and_guards(
    processes: Processes, tape: tuple[Path, list[Decimal]]
) -> None:
    path, prices = tape
    server = processes.serve(path, speed=SPEED)
    daemon = processes.run(CONFIG.format(url=server.url, silence=600))
    wait_until(lambda: ready(daemon), 20, "the opening was played and entries are allowed")
    first = prices[0]
    stop = (first + min(prices)) / 2 // BTC.tick_size * BTC.tick_size
    touched = next(price for price in prices if price <= stop)

    opened = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.01", "--stop", str(stop))[
        "position"
    ]
    assert Decimal(opened["entry_price"]) == first
    server.release()

    guarded = until(
        daemon, lambda each: each["id"] == opened["id"] and each["closed_at"], "the stop fired"
    )
    sold = next(each for each in daemon.position(guarded["id"])["exits"] if each["filled"] != "0")
    assert sold["reason"] == "STOP_LOSS"
    assert Decimal(sold["trigger"]["price"]) == touched
    until(daemon, lambda each: each["trader"] == "trend", "a trader acted on the candles")
    assert daemon.health()["feed"]["bad_frames"] == 0


def test_a_server_that_comes_back_is_found_again_and_the_guard_still_stands(
    processes: Processes, tape: tuple[Path, list[Decimal]]
) -> None:
    path, prices = tape
    server = processes.serve(path, speed=1, hold=False)
    daemon = processes.run(CONFIG.format(url=server.url, silence=3))
    wait_until(lambda: ready(daemon), 20, "prices come in")
    stop = min(prices) - 2000
    opened = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.01", "--stop", str(stop))[
        "position"
    ]

    server.process.kill()
    wait_until(lambda: daemon.status()["mode"] == "NO_ENTRY", 15, "the loss is noticed")
    port = server.url.rsplit(":", 1)[1]
    processes.start("again", "serve-recorded", str(path), "--port", port)
    wait_until(lambda: daemon.status()["mode"] == "NORMAL", 15, "it is back")

    assert daemon.position(opened["id"])["status"] == "open_protected"
