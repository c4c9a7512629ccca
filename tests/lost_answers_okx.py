"""The storm of lost answers at a venue that speaks OKX: the real adapter, ccxt, in real time.

The daemon's actors trade through `OkxAccount` and unmodified ccxt at the sandbox, which runs in a
process of its own, loses half of all answers after it has accepted, drops some requests before,
drops and repeats pushes, and fails all reads for seconds. Its own ledger is the judge.
"""

import asyncio
import gc
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any

from daemon.lifecycle import new_loop
from domain.commands import ProtectionPlan
from domain.ids import PositionId
from domain.instrument import Direction
from exchanges.sandbox import Fault, Sandbox, SandboxSettings
from exchanges.sandbox.judge import intent_of
from tests.sandbox_process import SandboxProcess, sandbox_process
from tests.storm_judge import judged
from tests.venue_box import VenueBox

PRICES = {"BTC/USDT": "60000", "ETH/USDT": "3000", "SOL/USDT": "150", "XRP/USDT": "0.6"}
SIZES = {"BTC/USDT": "0.001", "ETH/USDT": "0.01", "SOL/USDT": "0.1", "XRP/USDT": "100"}
STOPS = {"BTC/USDT": "50000", "ETH/USDT": "3500"}  # of one position in ten
DIRECTIONS = {"ETH/USDT": Direction.SHORT, "XRP/USDT": Direction.SHORT}  # of swaps
AT_ONCE = 100  # positions
READS_FAIL = (3.0, 7.0)  # s of failing, s of working, in turn
SETTLE_S = 120.0
MONEY = Decimal(10**9)
_DEADLINE_MS = 4_500  # later than anybody waits
# How answers get lost after acceptance: half of all of them together.
LOST = (
    (0.20, {"kind": "lost"}),
    (0.10, {"kind": "truncated"}),
    (0.05, {"kind": "late", "delay_ms": _DEADLINE_MS}),
    (0.05, {"kind": "html", "status": 200, "acts": True}),
    (0.05, {"kind": "html", "status": 524, "acts": True}),
    (0.03, {"kind": "row", "code": "51149", "acts": True}),
    (0.02, {"kind": "code", "code": "50004", "acts": True}),
)
NEVER = (0.02, {"kind": "unsent"})
DEAF = 0.7  # of what the stream tells of orders
TWICE = 0.5  # of the rest


def storm_begins(sandbox: Sandbox) -> None:
    """Let the line be bad. Of several rules the first that hits counts: shares are of the rest."""
    left = 1.0
    for share, fields in (*LOST, NEVER):
        for match in ("POST trade/order", "POST trade/order-algo"):
            chance = share / left
            sandbox.faults.add(Fault(match=match, count=None, probability=chance, **fields))  # type: ignore[arg-type]
        left -= share
    sandbox.fault("drop", "orders", count=None, probability=DEAF)
    sandbox.fault("duplicate", "orders", count=None, probability=TWICE)


def reads_begin_to_fail(sandbox: Sandbox) -> None:
    sandbox.fault("html", "GET *", count=None, status=502)


def reads_work_again(sandbox: Sandbox) -> None:
    sandbox.faults.rules = [one for one in sandbox.faults.rules if one.match != "GET *"]


def calm(sandbox: Sandbox) -> None:
    sandbox.faults.clear()


def books(sandbox: Sandbox) -> dict[str, Any]:
    """Return the venue's own account of it, as little as the judge needs."""
    account = sandbox.venue.account
    arrived: Counter[str] = Counter()
    filled = set()
    for order in account.orders.values():
        if order.client_id:
            arrived[order.client_id] += 1
        if order.filled:
            filled.add(intent_of(order))
    arrived.update(one.client_id for one in account.algos.values())
    verdict = sandbox.judge()
    return {
        "arrived": dict(arrived),
        "filled": len(filled),
        "resent": len(account.resent),
        "duplicates": len(verdict["duplicates"]),
        "oversold": len(verdict["oversold"]),
        "positions": len(account.open_positions()),
        "coins": {name: str(one.cash) for name, one in account.assets.items()},
        "waiting": sum(map(len, account.armed.values())),
        "max_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "cpu_s": round(time.process_time(), 1),
    }


class Storm:
    """A daemon, a sandbox, and what went between them."""

    def __init__(
        self, box: VenueBox, venue: SandboxProcess, orders: int, seed: int, within_s: float
    ) -> None:
        self.box = box
        self.venue = venue
        self.wanted = orders
        self.within_s = within_s
        self.chance = random.Random(seed)
        self.opened = 0
        self.closing: set[PositionId] = set()
        self.most_unknown = 0
        self.most_rss_mb = 0.0

    async def run(self, *, shows: bool, at_once: int = AT_ONCE) -> dict[str, Any]:
        """Trade until that many orders were sent, let the line be good again, judge."""
        box, began_s = self.box, time.monotonic()
        await box.start()
        self._open_some(2 * len(box.prices))  # leverage is read with the first of each symbol
        await box.until(lambda: all(each.remaining for each in box.live()), "positions are open")
        await self.venue.do(storm_begins)
        weather = asyncio.ensure_future(self._weather())
        shown_s = began_s
        while self.left < self.wanted and time.monotonic() - began_s < self.within_s:
            live = box.live()
            self._close_some(live)
            if box.is_ready():
                self._open_some(at_once - len(live))
            self.most_unknown = max(self.most_unknown, len(box.parts.actor("exchange").in_doubt))
            if shows and time.monotonic() - shown_s > 10:
                shown_s = time.monotonic()
                self._progress(shown_s - began_s)
            await asyncio.sleep(0.05)
        stormed_s = time.monotonic() - began_s
        weather.cancel()
        await asyncio.gather(weather, return_exceptions=True)
        await self.venue.do(calm)
        settled_s = await self._settle()
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        venue = await self.venue.do(books)
        result = {
            "orders": self.left,
            "refused": dict(box.venue.refused),
            "lost": dict(box.venue.unsure.most_common(12)),
            "stormed_s": round(stormed_s, 1),
            "settled_s": round(settled_s, 1),
            "orders_per_s": round(self.left / stormed_s, 1),
            "most_unknown_at_once": self.most_unknown,
            "cpu_s": round(cpu.ru_utime + cpu.ru_stime, 1),
            "max_rss_mb": round(cpu.ru_maxrss / 1024, 1),
            "venue": {name: venue[name] for name in ("cpu_s", "max_rss_mb", "resent", "waiting")},
            "alarms": dict(Counter(code for code, _ in box.ears.alarms)),
            **judged(
                box.store,
                sent=box.venue.sent,
                arrived=venue["arrived"],
                filled_orders=venue["filled"],
                unknown_left=box.unknown(),
                positions_left=len(box.live()),
                venue_positions=venue["positions"],
            ),
            "legs_doubled": venue["duplicates"],
            "oversold": venue["oversold"],
        }
        await box.stop()
        return result

    @property
    def left(self) -> int:
        """How many orders were sent and not refused, most of them before they left."""
        return len(self.box.venue.sent) - self.box.venue.refused.total()

    async def _settle(self) -> float:
        """Close what is left, wait until nothing is in doubt and every order has its name."""
        box, began_s = self.box, time.monotonic()
        while time.monotonic() - began_s < SETTLE_S:
            live = box.live()
            orders = box.parts.world.states.latest_of("order")  # they go when all is known of them
            if not live and not orders and not box.parts.in_flight():
                break
            self._close_some(live, share=1.0)
            await asyncio.sleep(0.1)
        return time.monotonic() - began_s

    async def _weather(self) -> None:
        """Let reads fail in turns."""
        while True:
            await self.venue.do(reads_begin_to_fail)
            await asyncio.sleep(READS_FAIL[0])
            await self.venue.do(reads_work_again)
            await asyncio.sleep(READS_FAIL[1])

    def _open_some(self, room: int) -> None:
        symbols = list(self.box.prices)
        for _ in range(min(room, max(10, room // 2))):
            self.opened += 1
            symbol = symbols[self.opened % len(symbols)]
            has_stop = self.opened % 10 == 0 and symbol in STOPS
            plan = ProtectionPlan(stop_price=Decimal(STOPS[symbol]) if has_stop else None)
            direction = DIRECTIONS.get(symbol, Direction.LONG)
            self.box.open(self.opened, symbol, SIZES[symbol], direction, plan)

    def _close_some(self, live: list[Any], share: float = 0.5) -> None:
        for each in live:
            if each.remaining and not each.exits and self.chance.random() < share:
                self.box.close(each.id)

    def _progress(self, seconds: float) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        states = self.box.parts.world.states
        text = (
            f"{self.left}/{self.wanted} orders, {seconds:.0f} s,"
            f" {len(states.latest_of('order'))} live, {self.box.unknown()} unknown,"
            f" cpu {usage.ru_utime + usage.ru_stime:.0f} s, {usage.ru_maxrss // 1024} MB,"
            f" {sorted(self.box.parts.world.causes)}"
        )
        print(text, file=sys.stderr, flush=True)


async def _storm(
    orders: int, seed: int, *, shows: bool, at_once: int, within_s: float
) -> dict[str, Any]:
    settings = SandboxSettings(balances={"USDT": MONEY}, seed=seed, quiet_s=0)
    with tempfile.TemporaryDirectory(prefix="holdfast-lost-") as directory:
        async with sandbox_process(settings) as venue:
            box = VenueBox(Path(directory), (venue.rest_url, venue.ws_url), PRICES)
            storm = Storm(box, venue, orders, seed, within_s)
            return await storm.run(shows=shows, at_once=at_once)


def storm(
    orders: int,
    seed: int = 1,
    *,
    shows: bool = False,
    at_once: int = AT_ONCE,
    within_s: float = inf,
) -> dict[str, Any]:
    """Let so many orders pass, or as many as `within_s` allows; return the figures."""
    gc.collect()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_storm(orders, seed, shows=shows, at_once=at_once, within_s=within_s))
