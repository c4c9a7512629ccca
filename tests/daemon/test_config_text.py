"""A configuration in a backup says what the file said, for wherever it is restored to."""

from pathlib import Path

import pytest

from daemon.config import load
from daemon.config_changes import merged
from daemon.config_file import ConfigFile
from daemon.config_text import portable

ROOT = Path(__file__).parents[2]
CONFIG = """
data_dir: ./var  # a comment with s3cret in it
market: {source: simulated, symbols: [BTC/USDT, FOO/USDT]}
instruments: {FOO/USDT: {tick_size: 0.010, lot_size: 1, min_notional: 5}}
limits: {daily_drawdown_ratio: 5%}
traders:
  - {name: own, strategy: "./mine.py:Mine", symbols: [FOO/USDT], timeframe: 5m,
     size: {by: kelly, value: 0.5}}
retention: {closed_paper_days: null}
admin: {socket: ./var/holdfast.sock}
secrets: {key: {env: THE_KEY}, other: {file: ./key}}
"""


def portable_of(tmp_path: Path, text: str) -> str:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    return portable(load(ConfigFile(file)).config, tmp_path)


def test_it_means_the_same_in_another_directory(tmp_path: Path) -> None:
    text = portable_of(tmp_path, CONFIG)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.yaml").write_text(text)

    before = load(ConfigFile(tmp_path / "c.yaml")).config
    after = load(ConfigFile(elsewhere / "config.yaml")).config

    assert after.data_dir.resolve() == elsewhere
    assert after.socket_path.resolve() == elsewhere / "holdfast.sock"
    assert after.traders[0].strategy == f"{tmp_path / 'mine.py'}:Mine"
    for section in ("account", "market", "instruments", "limits", "retention", "journal"):
        assert getattr(after, section) == getattr(before, section), section
    assert after.secrets["key"].env == "THE_KEY"
    assert after.secrets["other"].file == tmp_path / "key"


def test_no_secret_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "s3cret")
    (tmp_path / "key").write_text("s3cret")

    assert "s3cret" not in portable_of(tmp_path, CONFIG)


def test_the_shipped_configuration_survives(tmp_path: Path) -> None:
    text = (ROOT / "config.yaml").read_text()
    before = load(ConfigFile(ROOT / "config.yaml")).config
    (tmp_path / "again.yaml").write_text(portable_of(tmp_path, text))

    after = load(ConfigFile(tmp_path / "again.yaml")).config

    assert after.model_dump(exclude={"data_dir"}) == before.model_dump(exclude={"data_dir"})


def test_what_was_reloaded_is_in_it_also_where_the_file_had_said_nothing(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG)
    (tmp_path / "wanted.yaml").write_text(
        CONFIG.replace("5%", "2%").replace("value: 0.5", "value: 0.25")
        + "journal: {min_free_mb: 7}\n"
    )
    before = load(ConfigFile(tmp_path / "c.yaml")).config
    wanted = load(ConfigFile(tmp_path / "wanted.yaml")).config
    in_force = merged(before, wanted)
    (tmp_path / "again.yaml").write_text(portable(in_force, tmp_path))

    after = load(ConfigFile(tmp_path / "again.yaml")).config

    assert after.limits == wanted.limits != before.limits
    assert after.traders[0].size == wanted.traders[0].size
    for section in type(after).model_fields.keys() - {"data_dir", "admin", "traders", "secrets"}:
        assert getattr(after, section) == getattr(in_force, section), section
