"""A real daemon under load.

500 positions, five symbols with 1,000 ticks a second together, the shipped latency of the paper
venue; orders and modifications through the admin socket. For its return after kill -9 see
`bench_start`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from daemon.admin_client import AdminClient
from daemon.admin_requests import MoveStop, Open, Status
from domain.errors import Refusal
from domain.instrument import Direction

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "DOGE/USDT")
CLIENTS = 16

CONFIG = """
data_dir: {data}
market:
  {{source: simulated, symbols: [{symbols}], seed: 3, ticks_per_second: {ticks}, stale_after_s: 60}}
paper: {{balance: 1000000000, latency_ms: [20, 60]}}
limits:
  {{max_positions: 100000, max_leverage: 1000, total_drawdown_ratio: 1, daily_drawdown_ratio: 1}}
metrics: {{port: 0}}
log: {{format: json}}
"""


class Daemon:
    """One daemon process and what it said; `text` is its configuration, else five symbols."""

    def __init__(self, directory: Path, ticks_per_second: float, text: str = CONFIG) -> None:
        config = directory / "config.yaml"
        data = directory / "var"
        config.write_text(
            text.format(data=data, symbols=", ".join(SYMBOLS), ticks=ticks_per_second)
        )
        self.socket = data / "holdfast.sock"
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "daemon.cli", "run", "--config", str(config)],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: dict[str, tuple[float, dict[str, object]]] = {}
        self.ready = threading.Event()
        self.cpu_s = 0.0  # of the process, when every level was armed
        threading.Thread(target=self._listen, daemon=True).start()
        if not self.ready.wait(60):
            raise SystemExit("the daemon did not get ready")

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                said = json.loads(line)
            except ValueError:
                sys.stderr.write(line)
                continue
            self.said[said["event"]] = (time.monotonic() - self.began, said)
            if said["event"] == "started":
                self.cpu_s = self._cpu_s()
            if said["event"] == "ready":
                self.ready.set()

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(25)

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(str(self.said["metrics"][1]["url"])) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name):
                    return float(line.rsplit(" ", 1)[1])
        raise SystemExit(f"no metric {name}")

    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def running(directory: Path, ticks: float, text: str = CONFIG) -> Iterator[Daemon]:
    daemon = Daemon(directory, ticks, text)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.stop()


def prices(client: AdminClient) -> dict[str, Decimal]:
    while True:
        status = client.ask(Status())
        found = {each["symbol"]: each["last"] for each in status.get("prices", ())}
        if len(found) == len(SYMBOLS) and all(found.values()):
            return {symbol: Decimal(price) for symbol, price in found.items()}
        time.sleep(0.05)


def open_one(client: AdminClient, number: int, last: dict[str, Decimal]) -> tuple[str, float]:
    """Open a position with a wide stop, a target and a trail.

    Return its id and the seconds it took.
    """
    symbol = SYMBOLS[number % len(SYMBOLS)]
    long = number % 2 == 0
    price = last[symbol]
    away = Decimal("0.6") + Decimal(number % 100) / 1000
    stop = price * (away if long else 2 - away)
    request = Open(
        symbol=symbol,
        direction=Direction.LONG if long else Direction.SHORT,
        notional=Decimal(100),
        stop=stop.quantize(Decimal("0.00001")),
        trail_ratio=Decimal("0.45"),
    )
    began = time.perf_counter()
    answer = client.ask(request)
    taken = time.perf_counter() - began
    if isinstance(answer, Refusal):
        raise SystemExit(f"refused: {answer}")
    return answer["position"]["id"], taken


def open_many(daemon: Daemon, count: int) -> list[tuple[str, float]]:
    local = threading.local()
    with AdminClient(daemon.socket) as client:
        last = prices(client)

    def one(number: int) -> tuple[str, float]:
        if not hasattr(local, "client"):
            local.client = AdminClient(daemon.socket).__enter__()
        return open_one(local.client, number, last)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, range(count)))


def percentile(values: list[float], ratio: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * ratio))]


def under_load(directory: Path, positions: int, seconds: float) -> dict[str, float]:
    with running(directory, 1000 / len(SYMBOLS)) as daemon:
        ids = [position for position, _ in open_many(daemon, positions)]
        orders, changes = [], []
        ticks = daemon.metric("ticks_total")
        began = time.monotonic()
        with AdminClient(daemon.socket) as client:
            last = prices(client)
            number = 0
            while time.monotonic() - began < seconds:
                _, taken = open_one(client, number, last)
                orders.append(taken)
                symbol = SYMBOLS[number % len(SYMBOLS)]
                long = number % 2 == 0
                stop = last[symbol] * (Decimal("0.75") if long else Decimal("1.25"))
                before = time.perf_counter()
                answer = client.ask(
                    MoveStop(
                        position=ids[number % len(ids)],
                        price=stop.quantize(Decimal("0.00001")),
                        widen=True,
                    )
                )
                changes.append(time.perf_counter() - before)
                if isinstance(answer, Refusal) and answer.rule != "RISK_TOO_LARGE":
                    raise SystemExit(f"refused: {answer}")
                number += 1
                time.sleep(0.05)
        elapsed = time.monotonic() - began
        return {
            "positions": daemon.metric("positions_open{") and positions,
            "ticks_per_s": (daemon.metric("ticks_total") - ticks) / elapsed,
            "orders": len(orders),
            "order_p50_ms": percentile(orders, 0.5) * 1000,
            "order_p95_ms": percentile(orders, 0.95) * 1000,
            "modification_p50_ms": percentile(changes, 0.5) * 1000,
            "modification_p95_ms": percentile(changes, 0.95) * 1000,
            "loop_lag_p99_ms": daemon.metric('loop_lag_seconds{quantile="0.99"}') * 1000,
            "rss_mb": daemon.rss_mb(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--positions", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = under_load(Path(directory), options.positions, options.seconds)
    rounded = {key: round(value, 2) for key, value in figures.items()}
    if options.json:
        print(json.dumps({"load": rounded}))
        return
    for key, value in rounded.items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main()
