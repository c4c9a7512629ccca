"""A hundred symbols in six timeframes: a thousand candles a minute through a strategy.

A real daemon on the simulated market, five ticks a second and symbol; one trader looks at all
symbols in six timeframes. How late the loop runs is the daemon's own figure; `status` is asked over
the admin socket twenty times a second meanwhile.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from bench.bench_daemon import Daemon, percentile, running
from daemon.admin_client import AdminClient
from daemon.admin_requests import Status

TICKS_PER_SECOND = 5.0
WARM_UP_S = 15.0
ASK_EVERY_S = 0.05

CONFIG = """
data_dir: {{data}}
market: {{{{source: simulated, symbols: [{all}], seed: 3, ticks_per_second: {{ticks}}}}}}
instruments: {{{{others: {{{{tick_size: 0.001, lot_size: 0.01, min_notional: 5}}}}}}}}
paper: {{{{balance: 1000000}}}}
limits: {{{{max_positions: 100}}}}
metrics: {{{{port: 0}}}}
log: {{{{format: json}}}}
traders:
  - name: scan
    strategy: multi-timeframe
    symbols: [{all}]
    timeframe: 10s
    parameters:
      higher: [30s, 1m, 2m, 5m, 15m]
      agree: 1
      fast: 2
      slow: 4
      rsi_bars: 3
      atr_bars: 3
      dip: 45
    size: {{{{by: notional, value: 500}}}}
    limits: {{{{max_positions: 50}}}}
"""


def evaluations(daemon: Daemon) -> float:
    return sum(
        daemon.metric(f'scheduler_evaluations_total{{result="{result}"}}')
        for result in ("nothing", "decision")
    )


def measure(directory: Path, symbols: int, seconds: float) -> dict[str, float]:
    names = ["BTC/USDT", "ETH/USDT", *(f"C{number:03}/USDT" for number in range(symbols - 2))]
    text = CONFIG.format(all=", ".join(names))
    with running(directory, TICKS_PER_SECOND, text) as daemon:
        time.sleep(WARM_UP_S)
        seen, ticks, asked = evaluations(daemon), daemon.metric("ticks_total"), []
        began = time.monotonic()
        with AdminClient(daemon.socket) as client:
            while time.monotonic() - began < seconds:
                before = time.perf_counter()
                client.ask(Status())
                asked.append(time.perf_counter() - before)
                time.sleep(ASK_EVERY_S)
        elapsed = time.monotonic() - began
        return {
            "symbols": symbols,
            "timeframes": 6,
            "candles_per_min": (evaluations(daemon) - seen) / elapsed * 60,
            "ticks_per_s": (daemon.metric("ticks_total") - ticks) / elapsed,
            "loop_lag_p99_ms": daemon.metric('loop_lag_seconds{quantile="0.99"}') * 1000,
            "loop_lag_max_ms": daemon.metric('loop_lag_seconds{quantile="1"}') * 1000,
            "status_p50_ms": percentile(asked, 0.5) * 1000,
            "status_p99_ms": percentile(asked, 0.99) * 1000,
            "status_max_ms": max(asked) * 1000,
            "rss_mb": daemon.rss_mb(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=90.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = measure(Path(directory), options.symbols, options.seconds)
    rounded = {key: round(value, 2) for key, value in found.items()}
    if options.json:
        print(json.dumps(rounded))
        return
    print(*(f"{key}: {value}" for key, value in rounded.items()), sep="\n")


if __name__ == "__main__":
    main()
