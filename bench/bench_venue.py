"""How fast a daemon is at a venue: against the sandbox in its own process, over a line of 50 ms.

    python -m bench.bench_venue [--only NAME] [--entries N] [--trials N] [--json]

| figure | from, to |
|---|---|
| entry, exit | from the decision to the first byte of the request, one at a time; by stages |
| stop | from the first fill to the stop, both by the venue's clock; a round trip is 50 ms |
| stop x20 | the same with twenty entries at a time |
| stream, polling | from what a person did at the venue to its repair, with and without stream |

The whole tree of actors with its journal on this disk, the daemon's loop, ccxt. Nothing may fail.
"""

import argparse
import asyncio
import logging
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import structlog

from actors import names
from actors.latency import Step
from daemon.lifecycle import new_loop
from domain.commands import ProtectionPlan
from domain.ids import PositionId
from exchanges.sandbox import Sandbox, SandboxSettings, outside
from tests.sandbox_process import SandboxProcess, sandbox_process
from tests.venue_box import VenueBox

PRICES = {
    "BTC/USDT": "60000", "ETH/USDT": "3000", "SOL/USDT": "150", "XRP/USDT": "0.6",
    "DOGE/USDT": "0.15",
}  # fmt: skip
SIZES = {
    "BTC/USDT": "0.02", "ETH/USDT": "0.4", "SOL/USDT": "8", "XRP/USDT": "2000",
    "DOGE/USDT": "8000",
}  # fmt: skip
ONE_WAY_S = 0.025
SETTLED_S = 6.0  # after a fill, what is read counts again
QUIET_S = 0.05
Row = dict[str, float]


class Trial:
    """A daemon, a venue, and positions with numbers that never repeat."""

    def __init__(self, box: VenueBox, venue: SandboxProcess) -> None:
        self.box = box
        self.venue = venue
        self.number = 0

    def open(self, symbol: str, *, stop: bool = True) -> PositionId:
        self.number += 1
        price = Decimal(PRICES[symbol])
        plan = ProtectionPlan(stop_price=price * Decimal("0.9") if stop else None)
        return self.box.open(self.number, symbol, SIZES[symbol], plan=plan)

    def position(self, position_id: PositionId) -> Any:
        return self.box.parts.world.position(position_id)

    async def until_guarded(self, *position_ids: PositionId) -> None:
        def guarded() -> bool:
            found = [self.position(each) for each in position_ids]
            return all(each and each.remaining and each.at_venue.settled for each in found)

        await self.box.until(guarded, "stops rest at the venue", within_s=20)

    async def close_all(self) -> None:
        for each in self.box.live():
            self.box.close(each.id)
        await self.box.until(lambda: not self.box.live(), "all is closed", within_s=30)


# --- what runs in the venue's process ---


def stop_delays_ms(sandbox: Sandbox) -> list[int]:
    """Return for each stop how long after its position's first fill the venue had it."""
    account = sandbox.venue.account
    fills: dict[str, int] = {}
    for fill in account.fills:
        fills.setdefault(fill.order.client_id[:24], fill.at_ms)
    stops: dict[str, int] = {}
    for algo in account.algos.values():
        stops.setdefault(algo.client_id[:24], algo.created_ms)
    return [at_ms - fills[key] for key, at_ms in stops.items() if key in fills]


def close_outside(sandbox: Sandbox, name: str) -> None:
    outside.close(sandbox.venue.account, name)


def cancel_stops(sandbox: Sandbox, name: str) -> None:
    outside.cancel_stops(sandbox.venue.account, name)


# --- figures ---


async def overheads(trial: Trial, count: int) -> dict[str, list[float]]:
    """Entries and exits, each alone; stages in ms."""
    box = trial.box
    found: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(seconds * 1000)

    for turn in range(count + 5):
        await asyncio.sleep(QUIET_S)
        begun_s = time.monotonic()
        position_id = trial.open("BTC/USDT", stop=False)
        await box.until(lambda: _is_open(trial, position_id), "it is open", poll_s=0.01)  # noqa: B023
        order_id = trial.position(position_id).entry.client_order_id
        _, order = box.parts.world.states.latest[names.order_stream(order_id)]
        if turn >= 5:
            note("entry", box.venue.wire.last_left_s - begun_s)
            note("  to submit", box.venue.left_s[order_id] - begun_s)
            note("  to intent", (order.intended_at - box.began(position_id)).total_seconds())
            note("  intent to submit", (order.sent_at - order.intended_at).total_seconds())
            note("  submit to bytes", box.venue.wire.last_left_s - box.venue.left_s[order_id])
        await asyncio.sleep(QUIET_S)
        begun_s = time.monotonic()
        box.close(position_id)
        await box.until(lambda: not box.live(), "it is closed", poll_s=0.01)
        if turn >= 5:
            note("exit", box.venue.wire.last_left_s - begun_s)
    for (_, kind, step), series in box.parts.world.latency.series.items():
        if step is Step.SEND:
            found[f"as the daemon says: {kind}"] = [each * 1000 for each in series.last]
    commits = list(box.commits_s)
    found["a commit"] = [each * 1000 for each in commits]
    return found


def _is_open(trial: Trial, position_id: PositionId) -> bool:
    position = trial.position(position_id)
    return position is not None and bool(position.remaining)


async def stops(trial: Trial, count: int, together: int) -> list[float]:
    """From the first fill to the stop at the venue, ms."""
    symbols = list(PRICES)
    for begin in range(0, count, together):
        ids = [trial.open(symbols[(begin + each) % len(symbols)]) for each in range(together)]
        await trial.until_guarded(*ids)
        await trial.close_all()
        await asyncio.sleep(QUIET_S)
    delays = await trial.venue.do(stop_delays_ms)
    return [float(each) for each in delays]


async def repairs(trial: Trial, count: int) -> dict[str, list[float]]:
    """From a stop canceled, or a position closed, by a person to its repair here, ms."""
    chance = random.Random(1)
    closed: list[float] = []
    restored: list[float] = []
    symbols = list(PRICES)
    while len(closed) < count:
        ids = [trial.open(symbol) for symbol in symbols]
        await trial.until_guarded(*ids)
        await asyncio.sleep(SETTLED_S)
        await trial.box.until(trial.box.is_ready, "nothing is suspected", within_s=30)
        restored += await asyncio.gather(*(_restored(trial, each, chance) for each in ids))
        await asyncio.sleep(SETTLED_S)
        closed += await asyncio.gather(*(_closed(trial, each, chance) for each in ids))
        await trial.box.until(lambda: not trial.box.live(), "all is over", within_s=30)
        await asyncio.sleep(1)
    return {"closed": closed, "stop canceled": restored}


async def _restored(trial: Trial, position_id: PositionId, chance: random.Random) -> float:
    await asyncio.sleep(chance.random() * 5)
    position = trial.position(position_id)
    before = {stop.client_order_id for stop in position.at_venue.live}
    await trial.venue.do(cancel_stops, position.instrument.venue_symbol)
    begun_s = time.monotonic()

    def anew() -> bool:
        at_venue = trial.position(position_id).at_venue
        now = {stop.client_order_id for stop in at_venue.live}
        return bool(at_venue.settled and now) and not before & now

    await trial.box.until(anew, "the stop is restored", within_s=30)
    return (time.monotonic() - begun_s) * 1000


async def _closed(trial: Trial, position_id: PositionId, chance: random.Random) -> float:
    await asyncio.sleep(chance.random() * 5)
    position = trial.position(position_id)
    await trial.venue.do(close_outside, position.instrument.venue_symbol)
    begun_s = time.monotonic()

    def is_over() -> bool:
        found = trial.position(position_id)
        return found is None or found.is_closed

    await trial.box.until(is_over, "it is booked", within_s=30)
    return (time.monotonic() - begun_s) * 1000


# --- running it ---


def quantiles(values: list[float]) -> Row:
    """Return P50, P95, P99 and the worst, in ms."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    row = {"n": float(len(values)), "p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}
    return {name: round(value, 3) for name, value in {**row, "max": max(values)}.items()}


async def at_venue(
    play: Callable[[Trial], Coroutine[Any, Any, Any]],
    *,
    one_way_s: float = ONE_WAY_S,
    has_stream: bool = True,
) -> Any:
    """Run one play with a daemon and a venue of its own."""
    settings = SandboxSettings(balances={"USDT": Decimal(10**8)})
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        venue = await stack.enter_async_context(sandbox_process(settings, one_way_s))
        urls = (venue.rest_url, venue.ws_url)
        box = VenueBox(directory, urls, PRICES, has_stream=has_stream, budget_scale=10)
        await box.start()
        try:
            return await play(Trial(box, venue))
        finally:
            await box.stop()


async def measure(arguments: argparse.Namespace) -> dict[str, Row]:
    found: dict[str, Row] = {}

    def wanted(name: str) -> bool:
        return arguments.only in (None, name)

    if wanted("overhead"):
        told = await at_venue(lambda trial: overheads(trial, arguments.entries), one_way_s=0)
        found |= {name: quantiles(values) for name, values in told.items()}
    if wanted("stop"):
        told = await at_venue(lambda trial: stops(trial, arguments.entries, 1))
        found["stop"] = quantiles(told)
        told = await at_venue(lambda trial: stops(trial, arguments.entries, 20))
        found["stop x20"] = quantiles(told)
    for name, has_stream in (("stream", True), ("polling", False)):
        if wanted(name):
            told = await at_venue(
                lambda trial: repairs(trial, arguments.trials), has_stream=has_stream
            )
            found |= {f"{name}: {what}": quantiles(values) for what, values in told.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=("overhead", "stop", "stream", "polling"))
    parser.add_argument("--entries", type=int, default=200)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with asyncio.Runner(loop_factory=new_loop) as runner:
        found = runner.run(measure(arguments))
    if arguments.json:
        print(orjson.dumps(found).decode())
        return
    print(f"{'ms':36} {'n':>6} {'P50':>9} {'P95':>9} {'P99':>9} {'max':>9}")
    for name, row in found.items():
        numbers = " ".join(f"{row[each]:9.2f}" for each in ("p50", "p95", "p99", "max"))
        print(f"{name:36} {row['n']:6.0f} {numbers}")


if __name__ == "__main__":
    main()
