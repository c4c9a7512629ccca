"""What changed between two configurations, and what of it needs no restart."""

from pathlib import Path

import pytest

from daemon.config import load
from daemon.config_changes import Change, changes, keys, merged
from daemon.config_file import ConfigFile
from daemon.config_models import Config

LOSS_CAP = "limits.daily_loss_cap"
FILE = """
data_dir: ./var
market: {source: simulated, symbols: [BTC/USDT, ETH/USDT], spike_ratio: 3%, stale_after_s: 5}
limits: {max_positions: 10}
traders:
  - {name: trend, strategy: ema-cross, symbols: [BTC/USDT], timeframe: 1m, cooldown_s: 5}
  - {name: swing, strategy: ema-cross, symbols: [ETH/USDT], timeframe: 5m, size: {value: 0.1}}
journal: {min_free_mb: 64}
log: {level: info}
secrets:
  okx-key: {env: OKX_KEY}
"""


@pytest.fixture
def config(tmp_path: Path):
    def read(*pairs: tuple[str, str]) -> Config:
        text = FILE
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "config.yaml").write_text(text)
        return load(ConfigFile(tmp_path / "config.yaml")).config

    return read


def test_the_same_file_has_no_changes(config):
    assert changes(config(), config()) == []
    assert merged(config(), config()) == config()


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("max_positions: 10", "max_positions: 4", Change("limits.max_positions", "10", "4")),
        ("limits: {", "limits: {daily_loss_cap: 3, ", Change(LOSS_CAP, "not set", "3")),
        ("spike_ratio: 3%", "spike_ratio: 4%", Change("market.spike_ratio", "0.03", "0.04")),
        ("stale_after_s: 5", "stale_after_s: 9", Change("market.stale_after_s", "5.0", "9.0")),
        ("cooldown_s: 5", "cooldown_s: 7", Change("traders.trend.cooldown_s", "5.0", "7.0")),
        ("{value: 0.1}", "{value: 90}", Change("traders.swing.size.value", "0.1", "90")),
        ("{value", "{by: kelly, value", Change("traders.swing.size.by", "notional", "kelly")),
        ("timeframe: 1m", "timeframe: 1m, leverage: 2", Change("traders.trend.leverage", "1", "2")),
        (
            "timeframe: 5m,",
            "timeframe: 5m, limits: {max_positions: 1},",
            Change("traders.swing.limits.max_positions", "3", "1"),
        ),
        ("min_free_mb: 64", "min_free_mb: 128", Change("journal.min_free_mb", "64", "128")),
        ("level: info", "level: debug", Change("log.level", "info", "debug")),
        (
            "journal: {",
            "protection: {exit_after_s: 6}\njournal: {",
            Change("protection.exit_after_s", "3.0", "6.0"),
        ),
    ],
)  # fmt: skip
def test_these_are_taken_while_it_runs(config, old, new, change):
    before, after = config(), config((old, new))
    assert changes(before, merged(before, after)) == [change]
    assert changes(merged(before, after), after) == []


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("./var", "./elsewhere", "data_dir"),
        ("source: simulated", "source: binance", "market.source"),
        ("[BTC/USDT, ETH/USDT]", "[ETH/USDT, BTC/USDT]", "market.symbols"),
        ("timeframe: 5m", "timeframe: 15m", "traders.swing.timeframe"),
        ("trend, strategy: ema-cross", "trend, strategy: mine", "traders.trend.strategy"),
        ("timeframe: 1m", "timeframe: 1m, parameters: {fast: 3}", "traders.trend.parameters.fast"),
        ("log: {", "log: {format: json, ", "log.format"),
        ("market: {", "paper: {balance: 5}\nmarket: {", "paper.balance"),
        ("market: {", "account: {name: other}\nmarket: {", "account.name"),
        ("market: {", "metrics: {port: 1}\nmarket: {", "metrics.port"),
    ],
)  # fmt: skip
def test_these_wait_for_a_restart(config, old, new, key):
    before, after = config(), config((old, new))
    assert merged(before, after) == before
    assert [each.key for each in changes(before, after)] == [key]


def test_a_trader_that_comes_or_goes_waits_and_the_others_do_not(config):
    renamed = config(("name: swing", "name: surf"), ("cooldown_s: 5", "cooldown_s: 6"))
    now = merged(config(), renamed)
    assert [each.key for each in changes(config(), now)] == ["traders.trend.cooldown_s"]
    waiting = {each.key.split(".")[1] for each in changes(now, renamed)}
    assert waiting == {"swing", "surf"}
    assert [each.name for each in now.traders] == ["trend", "swing"]


def test_where_a_secret_is_shows_as_changed_and_not_as_what(config):
    (change,) = changes(config(), config(("env: OKX_KEY", "env: CANARY")))
    assert change == Change("secrets.okx-key.env", "****", "****")


def test_every_key_is_counted_once(config):
    assert len(keys(config())) == len(set(keys(config())))
    assert keys(config())["traders.trend.timeframe"] == config().traders[0].timeframe


def test_a_venue_waits_for_a_restart_and_where_its_secrets_are_is_not_repeated(config):
    venue = "venues: {okx: {credentials: {key: {env: SOME_NAME}}}}\nlog: {"
    before, after = config(), config(("log: {", venue))

    assert merged(before, after) == before
    found = {each.key: each.now for each in changes(before, after)}
    assert found["venues.okx.environment"] == "demo"
    assert found["venues.okx.credentials.key.env"] == "****"
