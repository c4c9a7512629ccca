"""Whom a configuration lets the daemon ask for prices."""

from types import SimpleNamespace

import pytest

from daemon.config import load
from daemon.config_file import ConfigFile
from daemon.instruments import instruments_of
from daemon.markets import reads_of
from runtime.clocks import SystemClock


def reads(tmp_path, market: str):
    path = tmp_path / "config.yaml"
    path.write_text(f"market: {{symbols: [BTC/USDT], {market}}}\n")
    config = load(ConfigFile(path)).config
    instruments = {each.symbol: each for each in instruments_of(config)}
    board = SimpleNamespace(prices={})
    world = SimpleNamespace(clock=SystemClock(), instruments=instruments, prices=board)
    return reads_of(config)(world)


@pytest.mark.parametrize(
    ("market", "kind", "url"),
    [
        ("source: binance", "BinanceReads", "https://fapi.binance.com"),
        ("source: binance, kind: spot", "BinanceReads", "https://api.binance.com"),
        ("source: okx", "OkxReads", "https://www.okx.com"),
        ("source: okx, rest_url: 'http://127.0.0.1:9'", "OkxReads", "http://127.0.0.1:9"),
        (
            "source: binance, url: 'ws://127.0.0.1:8', rest_url: 'http://127.0.0.1:9'",
            "BinanceReads",
            "http://127.0.0.1:9",
        ),
    ],
)
def test_a_venue_is_asked_where_it_lives_or_where_the_configuration_says(
    tmp_path, market, kind, url
):
    found = reads(tmp_path, market)
    assert type(found).__name__ == kind
    assert found._rest._base_url == url


@pytest.mark.parametrize("market", ["source: recorded", "source: binance, url: 'ws://127.0.0.1:8'"])
def test_nobody_is_asked_about_a_recording(tmp_path, market):
    assert reads(tmp_path, market) is None


def test_the_simulated_market_answers_for_itself(tmp_path):
    assert type(reads(tmp_path, "source: simulated")).__name__ == "SimulatedReads"
