"""Let the whole daemon live through days in minutes, and see whether anything grows.

    python -m tests.soak --hours 24 [--seed 1] [--json]

The daemon's own actors run in virtual time: the simulated market, the paper venue and its ledger, a
real SQLite journal with snapshots, three traders, a person who opens, changes and closes every few
minutes and looks at everything, a scrape every half minute, and actors that die every hour. Memory,
open files and tasks are read after every hour of it. Prints one JSON object; the exit code is 0
only if nothing grew.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from actors import names
from daemon import admin_requests as ask
from daemon.archive import Archive
from daemon.assembly import Assembly, Ports, assemble, open_store
from daemon.background import Background
from daemon.config import Loaded, load
from daemon.config_file import shipped
from daemon.config_strategies import strategies_of
from daemon.desk import Desk
from daemon.desk_reads import DeskReads
from daemon.desk_watch import DeskWatch
from daemon.logs import Logs
from daemon.markets import stream_of
from daemon.metrics import Metrics
from daemon.observe import observe
from daemon.recent import Recent
from domain.errors import Refusal
from domain.instrument import Direction
from runtime.chance import SeededChance, SeededIds
from runtime.clocks import VirtualClock
from runtime.disk import RealDisk
from runtime.threads import InlineWorker
from runtime.virtual import VirtualLoop
from storage.store import Store

HOUR_S = 3600.0
COMMIT_LATENCY_S = 0.001  # virtual
PERSON_EVERY_S = 97.0
SCRAPE_EVERY_S = 30.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MB = 1_000_000
# Memory that is read, not promised: an allocator keeps pages. More than this is growth.
MAX_SLOPE_MB_H = 0.5
MEMORY_DISK = Path("/dev/shm")
_MANUAL_AT_MOST = 4


async def _one_file() -> Refusal:
    return Refusal("NOT_RELOADED", "A soak has one configuration.")


class Soak:
    """One daemon, the person at it, and what it weighs."""

    def __init__(self, loop: VirtualLoop, loaded: Loaded, directory: Path, seed: int) -> None:
        self.loop = loop
        self.chance = Random(seed)
        config = loaded.config.model_copy(update={"data_dir": directory})
        disk = RealDisk()
        self.store: Store = open_store(directory, disk)
        worker = InlineWorker(loop, COMMIT_LATENCY_S)
        ports = Ports(
            loop=loop,
            clock=VirtualClock(loop, BEGIN),
            chance=SeededChance(seed),
            paper_chance=SeededChance(seed),
            ids=SeededIds(SeededChance(seed)),
            disk=disk,
            journal_worker=worker,
            paper_worker=worker,
            stream=stream_of(config, SeededChance(seed)),
        )
        self.metrics = Metrics()
        self.parts: Assembly = assemble(
            config, strategies_of(loaded), ports, self.store, self.metrics
        )
        archive = Archive(self.store, Background(worker))
        reads = DeskReads(self.parts, archive)
        watch = DeskWatch(reads, Recent(), loop)
        self.desk = Desk(self.parts, reads, lambda: None, watch, _one_file)
        self.refused = 0
        self.restarts = 0
        self.samples: list[dict[str, float]] = []

    async def run(self, hours: float, *, shows: bool) -> None:
        """Live for so long."""
        self.parts.start()
        people = [asyncio.ensure_future(each) for each in (self._person(), self._scraper())]
        began_s = time.monotonic()
        steps = max(4, round(hours))
        for step in range(steps):
            await asyncio.sleep(hours * HOUR_S / steps)
            if self.parts.system.failed.done():
                raise SystemExit(f"the daemon gave up: {self.parts.system.failed.exception()!r}")
            self._murder()
            await asyncio.sleep(10)  # whoever died is back
            self._weigh()
            if shows:
                self._progress(step + 1, steps, began_s)
        self.restarts = sum(self.parts.system.restarts.values())
        for each in people:
            each.cancel()
        await asyncio.gather(*people, return_exceptions=True)
        await self.parts.close(20.0)
        self.store.close()

    # --- what happens ---

    async def _person(self) -> None:
        while True:
            await asyncio.sleep(PERSON_EVERY_S)
            await self._look()
            mine = [each for each in self.desk.reads.open_positions() if each.trader == "manual"]
            if len(mine) >= _MANUAL_AT_MOST:
                await self._ask(ask.Close(position=self.chance.choice(mine).id))
                continue
            await self._open()
            if mine:
                await self._change(self.chance.choice(mine))

    async def _open(self) -> None:
        symbol = self.chance.choice(list(self.parts.world.instruments))
        last = self.parts.world.prices.last(symbol)
        if last is None:
            return
        direction = self.chance.choice(list(Direction))
        tick = self.parts.world.instruments[symbol].tick_size
        stop = last * (100 - direction.sign * self.chance.randint(1, 5)) / 100
        await self._ask(
            ask.Open(
                symbol=symbol,
                direction=direction,
                notional=self.parts.config.traders[0].size.value,
                stop=stop.quantize(tick),
            )
        )

    async def _change(self, position: Any) -> None:
        last = self.parts.world.prices.last(position.instrument.symbol)
        price = last * (1000 - position.direction.sign * self.chance.randint(5, 40)) / 1000
        price = price.quantize(position.instrument.tick_size)
        await self._ask(ask.MoveStop(position=position.id, price=price, widen=True))

    async def _look(self) -> None:
        for request in (
            ask.Status(),
            ask.Health(),
            ask.ShowPortfolio(),
            ask.ListTraders(),
            ask.ListPositions(),
            ask.ListPositions(closed=True, limit=20),
            ask.ListOrders(all=True, limit=20),
        ):
            assert not isinstance(await self._ask(request), Refusal)

    async def _ask(self, request: ask.AnyAdminRequest) -> Any:
        answer = await self.desk.handle(request)
        self.refused += isinstance(answer, Refusal)
        return answer

    async def _scraper(self) -> None:
        while True:
            await asyncio.sleep(SCRAPE_EVERY_S)
            self.metrics.exposition(lambda: observe(self.parts, None))

    def _murder(self) -> None:
        victims = [
            names.FEED,
            names.EXCHANGE,
            names.PORTFOLIO,
            *self.parts.system.find("position/"),
        ]
        self.parts.system.kill(self.chance.choice(victims))

    # --- what it weighs ---

    def _weigh(self) -> None:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.samples.append(
            {
                "hour": self.loop.time() / HOUR_S,
                "rss_mb": pages * os.sysconf("SC_PAGE_SIZE") / MB,
                "fds": len(list(Path("/proc/self/fd").iterdir())),
                "tasks": len(asyncio.all_tasks(self.loop)),
            }
        )

    def _progress(self, step: int, steps: int, began_s: float) -> None:
        last = self.samples[-1]
        print(
            f"\r{last['hour']:.1f} h lived, {step}/{steps}, {last['rss_mb']:.1f} MB,"
            f" {last['fds']:.0f} files, {last['tasks']:.0f} tasks,"
            f" {self.store.journal.tail.seq:,} events, {time.monotonic() - began_s:.0f} s ",
            end="" if step < steps else "\n",
            file=sys.stderr,
            flush=True,
        )

    def result(self, seconds: float) -> dict[str, Any]:
        """Return what grew, and how much was lived through."""
        return growth(self.samples) | {
            "rss_mb": round(self.samples[-1]["rss_mb"], 1),
            "events": self.store.journal.tail.seq,
            "refused": self.refused,
            "orders": sum(self.metrics.orders.values()),
            "restarts": self.restarts,
            "seconds": round(seconds, 1),
        }


def growth(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Return the growth from the first quarter on: until then caches fill."""
    settled = samples[len(samples) // 4 :]
    first, last = settled[0], settled[-1]
    return {
        "hours": round(last["hour"], 2),
        "rss_slope_mb_h": round(slope([(each["hour"], each["rss_mb"]) for each in settled]), 4),
        "fd_growth": int(last["fds"] - first["fds"]),
        "task_growth": int(last["tasks"] - first["tasks"]),
    }


def slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the line nearest to the points, by least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    width = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / width


def soak(hours: float, seed: int, directory: Path, *, shows: bool = False) -> dict[str, Any]:
    """Let a daemon live for so many hours; return what grew."""
    loaded = load(shipped("config.yaml"))
    logs = Logs(level="critical", format="json")
    logs.start()
    began_s = time.monotonic()
    loop = VirtualLoop()
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            daemon = Soak(loop, loaded, directory, seed)
            runner.run(daemon.run(hours, shows=shows))
            return daemon.result(time.monotonic() - began_s)
    finally:
        logs.close()


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0, help="of virtual time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="on one line")
    asked = parser.parse_args(arguments)
    place = MEMORY_DISK if os.access(MEMORY_DISK, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="holdfast-soak-", dir=place) as directory:
        found = soak(asked.hours, asked.seed, Path(directory), shows=sys.stderr.isatty())
    print(json.dumps(found) if asked.json else json.dumps(found, indent=2))
    grew = found["rss_slope_mb_h"] > MAX_SLOPE_MB_H
    return 1 if grew or found["fd_growth"] > 0 or found["task_growth"] > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
