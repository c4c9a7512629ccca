"""How long after kill -9 every level is armed again, from the start of the process.

A real daemon opens so many positions through its socket, writes a snapshot, opens some more, and is
killed: so thousands of events lie after the snapshot, about the most that the shipped configuration
lets come together. Each start then gets a copy of that directory. Wall and CPU time count from the
process's start to the line `started`, interpreter and imports included. A P99 needs `--runs 100`.
"""

import argparse
import compileall
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from bench.bench_daemon import Daemon, open_many, percentile, running
from daemon.admin_client import AdminClient
from daemon.admin_requests import Snapshot
from domain.errors import Refusal

PACKAGES = ("actors", "daemon", "domain", "exchanges", "runtime", "storage", "strategies")
TICKS_PER_SECOND = 2
EVENTS_A_POSITION = 11  # an entry's, of all streams
TAIL = 4_800  # events after the snapshot; with 5,000 the daemon would take the next one


def build(directory: Path, positions: int) -> None:
    """Leave what a killed daemon with so many guarded positions leaves."""
    late = min(positions, TAIL // EVENTS_A_POSITION)
    with running(directory, TICKS_PER_SECOND) as daemon:
        open_many(daemon, positions - late)
        with AdminClient(daemon.socket, timeout_s=60) as client:
            answer = client.ask(Snapshot())
        if isinstance(answer, Refusal):
            raise SystemExit(f"refused: {answer}")
        open_many(daemon, late)
        daemon.kill()


@contextmanager
def copied(directory: Path) -> Iterator[Path]:
    """Give a start its own copy: it changes what it finds."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(
            directory, name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock")
        )
        yield Path(name)


def start(directory: Path, positions: int) -> dict[str, float]:
    """Start a daemon once and kill it when it is ready."""
    with copied(directory) as copy:
        daemon = Daemon(copy, TICKS_PER_SECOND)
        rss_mb = daemon.rss_mb()
        daemon.kill()
    wall_s, said = daemon.said["started"]
    if said["armed"] != positions:
        raise SystemExit(f"armed {said['armed']} of {positions}")
    return {
        "wall_s": wall_s,
        "cpu_s": daemon.cpu_s,
        "rss_mb": rss_mb,
        "replayed": float(str(said["replayed"])),
        "load": os.getloadavg()[0],  # of the last minute
    }


_FIGURES: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "median": median,
    "p95": partial(percentile, ratio=0.95),
    "p99": partial(percentile, ratio=0.99),
    "max": max,
}


def measure(directory: Path, positions: int, runs: int) -> dict[str, float]:
    """Start again and again from the same place."""
    starts = [start(directory, positions) for _ in range(runs)]
    return {
        "positions": positions,
        "replayed": starts[0]["replayed"],
        "rss_mb": round(median(each["rss_mb"] for each in starts), 1),
        "runs": runs,
        **{
            f"{what}_{name}": round(of([each[what] for each in starts]), 3)
            for what in ("wall_s", "cpu_s")
            for name, of in _FIGURES.items()
        },
        "load_median": round(median(each["load"] for each in starts), 1),
        "load_max": round(max(each["load"] for each in starts), 1),
        "cores": os.cpu_count() or 0,
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--positions", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--data", type=Path, help="keep the built directory here, and use it again")
    options = parser.parse_args()
    for package in PACKAGES:  # as `make setup` does, and the first run where Python may
        compileall.compile_dir(package, quiet=1)
    with tempfile.TemporaryDirectory() as name:
        directory = options.data or Path(name)
        directory.mkdir(exist_ok=True)
        if not (directory / "var").exists():
            build(directory, options.positions)
        figures = measure(directory, options.positions, options.runs)
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main()
