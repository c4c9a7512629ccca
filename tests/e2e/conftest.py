"""Processes for end-to-end tests, all ended with the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exchanges.sandbox import DEMO_KEY, Key
from tests.e2e.harness import ROOT, Processes
from tests.e2e.sandbox_desk import Desk, key_variables, sandbox_desk

RECORDED = ROOT.parent / "shared" / "data"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as started:
        yield started


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> Callable[[Key], None]:
    """Daemons find the sandbox's key in their environment; another one once told to."""

    def known(key: Key) -> None:
        for name, value in key_variables(key).items():
            monkeypatch.setenv(name, value)

    known(DEMO_KEY)
    return known


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A sandbox as it comes, while the test lasts."""
    with sandbox_desk() as running:
        yield running


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
