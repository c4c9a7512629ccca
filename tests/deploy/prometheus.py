"""A real Prometheus beside a real metrics endpoint, and the expressions that we give it."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.metrics import Metrics, Observed
from daemon.metrics_server import MetricsServer
from daemon.vitals import Vitals

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
READY_WITHIN_S = 30.0
_WINDOW = re.compile(r"\[(\d+[smh])\]")

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="no Prometheus here; Debian's package `prometheus` has it",
)


def rules() -> list[dict[str, Any]]:
    """Return every alarm of the shipped file."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def impatient(directory: Path) -> Path:
    """Write the shipped rules so that they fire as soon as their expression holds."""
    document = yaml.safe_load(RULES.read_text())
    for group in document["groups"]:
        group["interval"] = "200ms"
        for rule in group["rules"]:
            rule.pop("for", None)
            rule["expr"] = _WINDOW.sub("[20s]", rule["expr"])  # what begins rises within it
    path = directory / "rules.yml"
    path.write_text(yaml.safe_dump(document))
    return path


class Prometheus:
    """A server that scrapes one target five times a second."""

    def __init__(self, directory: Path, target: str) -> None:
        self.port = _free_port()
        config = {
            "global": {"scrape_interval": "200ms", "evaluation_interval": "200ms"},
            "rule_files": [str(impatient(directory))],
            "scrape_configs": [{"job_name": "holdfast", "static_configs": [{"targets": [target]}]}],
        }
        path = directory / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        self.log = (directory / "prometheus.log").open("wb")
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={path}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    async def get(self, path: str) -> Any:
        """Ask the API; None while it does not answer."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return json.loads(answer.read())["data"]
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    async def firing(self) -> set[str]:
        """Return the names of the alarms that fire."""
        data = await self.get("/api/v1/alerts") or {"alerts": []}
        return {each["labels"]["alertname"] for each in data["alerts"]}

    async def scrapes(self) -> int:
        """Return how often the target was read in full."""
        data = await self.get("/api/v1/query?query=count_over_time(mode[1h])")
        return int(data["result"][0]["value"][1]) if data and data["result"] else 0

    async def until(self, what: Any, wanted: Any) -> None:
        """Wait until `await what()` is or holds `wanted`."""
        deadline = time.monotonic() + READY_WITHIN_S
        while not (found := await what()) >= wanted:
            assert self.process.poll() is None, "Prometheus ended"
            assert time.monotonic() < deadline, f"{found} instead of {wanted}"
            await asyncio.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def scraped(
    directory: Path, metrics: Metrics, observe: Any
) -> AsyncIterator[tuple[Prometheus, MetricsServer]]:
    """Run the endpoint and a Prometheus that reads it."""
    server = MetricsServer(metrics, observe, lambda: Vitals(loop_late_s=0.0))
    await server.start()
    prometheus = Prometheus(directory, f"127.0.0.1:{server.port}")
    try:
        yield prometheus, server
    finally:
        prometheus.stop()
        await server.close()


def well() -> Observed:
    """Return a daemon that has nothing to complain about."""
    return Observed(
        version="1",
        venue="paper",
        mode=0,
        feed_connected=True,
        balance=10_000.0,
        equity=10_000.0,
        drawdown_ratio=0.01,
        positions_open={("trend", "LONG"): 2},
        unprotected_s=0.0,
        feed_age_s={"BTC/USDT": 0.2},
        feed_stale={"BTC/USDT": 0.0},
        market_reads={"same": 3},
        mailbox_depth={"position": 3},
        actor_restarts={"feed": 0},
        dead_letters=0,
        ticks=1_000,
        bad_frames=0,
        loop_lag_s={"0.5": 0.0, "0.99": 0.003, "1": 0.01},
        unknown_orders=0,
        drifting=0,
        reconciled_s=1.0,
        venue_up=True,
        venue_stream_up=True,
        venue_clock_offset_s=0.01,
        venue_budget_used=0.1,
        venue_checked_age_s=1.0,
    )
