"""Processes for end-to-end tests, all ended with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, Processes
from tests.e2e.sandbox_desk import key_variables

RECORDED = ROOT.parent / "shared" / "data"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as started:
        yield started


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    """Daemons find the sandbox's key in their environment."""
    for name, value in key_variables().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def recorded_btc() -> Path:
    return _recorded("usdm_btcusdt_20240808.gz")


@pytest.fixture
def recorded_eth() -> Path:
    return _recorded("usdm_ethusdt_20240808.gz")


def _recorded(name: str) -> Path:
    path = RECORDED / name
    if not path.exists():
        pytest.skip(f"no recorded market data at {path}")
    return path
