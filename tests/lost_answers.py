"""Half of all answers get lost after the venue has accepted, and reads fail: what is left?

    python -m tests.lost_answers --orders 100000 [--venue okx] [--seed 1] [--json]

The daemon's own actors run in virtual time with real files: positions are opened and closed at
market through the paper venue behind a line that loses answers, requests and a part of the stream.
The judge is the venue's ledger, which the daemon does not write. Prints one JSON object; the exit
code is 0 only if no order was doubled, none called rejected or absent that the venue has, and none
is unknown at the end.
"""

import argparse
import asyncio
import json
import logging
import random
import resource
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from actors import names
from actors.messages import RequestApproval
from daemon.assembly import LEDGER, MANUAL_LIMITS
from domain.commands import ClosePosition, EntryRequest, ProtectionPlan, SizeBy
from domain.ids import MANUAL, PositionId, Symbol
from domain.instrument import Direction
from exchanges.port import VenueUpdate
from runtime.virtual import run_virtual
from tests import lost_answers_okx
from tests.actors.box import Box, D
from tests.actors.faulty_venue import Fault, answer_lost, broken_line, never_arrives, reset
from tests.storm_judge import is_good, judged

SYMBOLS = tuple(Symbol(f"{base}/USDT") for base in ("BTC", "ETH", "SOL", "XRP", "DOGE"))
PRICES = ("60000", "2700", "150", "2", "0.2")
SIZES = ("0.001", "0.01", "0.1", "10", "100")
CONFIG = """
market: {source: recorded, symbols: [BTC/USDT, ETH/USDT, SOL/USDT, XRP/USDT, DOGE/USDT]}
paper: {slippage: 0, latency_ms: 0, taker_fee: 0.0005, balance: 1000000000}
limits:
  {max_positions: 100000, balance_buffer_ratio: 0, daily_drawdown_ratio: 1, total_drawdown_ratio: 1}
"""
AT_ONCE = 100  # positions
LOST = 0.5  # of all answers, after acceptance
NEVER = 0.02  # of all requests: nothing arrives, nobody says so
DEAF = 0.3  # of all that the venue's stream tells
READS_FAIL = (3.0, 4.0)  # s of failing, s of working, in turn
SETTLE_S = 600.0  # virtual


class Dice(list[Fault]):
    """A script that never ends: what becomes of each request is drawn."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.drawn: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return True

    def pop(self, _index: Any = 0) -> Fault:
        """Return the fate of the next request."""
        fate = self._chance.random()
        if fate < LOST:
            fault: Fault = answer_lost if fate < LOST / 2 else reset
        elif fate < LOST + NEVER:
            fault = never_arrives if fate < LOST + NEVER / 2 else broken_line
        else:
            fault = _passes
        self.drawn[fault.__name__.strip("_")] += 1
        return fault


def _passes(request: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
    return request()


class Storm:
    """One daemon, its venue, and how many positions went through it."""

    def __init__(self, directory: Path, orders: int, seed: int, at_once: int) -> None:
        self.box = Box(directory, CONFIG, seed=seed)
        self.chance = random.Random(seed)
        self.positions = orders // 2
        self.at_once = at_once
        self.opened = 0
        self.dice = Dice(self.chance)
        self.ledger = directory / "var" / LEDGER
        self.most_unknown = 0

    async def run(self, *, shows: bool) -> dict[str, Any]:
        """Open and close that many positions, let the line be good again, judge."""
        box = self.box
        await box.start()
        self._say_prices()
        box.venue.submits = self.dice
        box.venue.pushes = self._heard
        weather = asyncio.ensure_future(self._weather())
        began_s = time.monotonic()
        while self.opened < self.positions or self._alive():
            self._say_prices()
            self._close_some()
            self._open_some()
            await box.soon(0.25)
            if shows and self.opened % 2_000 < self.at_once:
                _progress(self.opened, self.positions, began_s)
        weather.cancel()
        box.venue.submits = []
        box.venue.pushes = lambda update: (update,)
        box.venue.reads_fail = False
        await box.soon(SETTLE_S)
        cpu_s = resource.getrusage(resource.RUSAGE_SELF)
        result = {
            "orders": len(box.venue.sent),
            "answers": dict(self.dice.drawn),
            "most_unknown_at_once": self.most_unknown,
            "virtual_s": round(box.loop.time(), 1),
            "cpu_s": round(cpu_s.ru_utime + cpu_s.ru_stime, 1),
            "max_rss_mb": round(cpu_s.ru_maxrss / 1024, 1),
            **await self._judge(),
        }
        await box.stop()
        return result

    def _heard(self, update: VenueUpdate) -> tuple[VenueUpdate, ...]:
        """Lose some of what the stream tells, repeat some."""
        fate = self.chance.random()
        return () if fate < DEAF else (update, update) if fate < DEAF * 2 else (update,)

    def _alive(self) -> int:
        return sum(not each.is_closed for each in self.box.parts.world.states.latest_of("position"))

    def _say_prices(self) -> None:
        for symbol, price in zip(SYMBOLS, PRICES, strict=True):
            self.box.say(price, symbol=symbol)

    def _open_some(self) -> None:
        room = self.at_once - self._alive()
        for _ in range(min(room, self.positions - self.opened, self.at_once // 2)):
            self.opened += 1
            which = self.opened % len(SYMBOLS)
            request = EntryRequest(
                position_id=PositionId(str(UUID(int=self.opened, version=4))),
                trader=MANUAL,
                symbol=SYMBOLS[which],
                direction=self.chance.choice(list(Direction)),
                size_by=SizeBy.QUANTITY,
                size=D(SIZES[which]),
                plan=ProtectionPlan(),
            )
            message = RequestApproval(request, MANUAL_LIMITS)
            self.box.parts.system.tell(names.PORTFOLIO, message)

    def _close_some(self) -> None:
        positions = self.box.parts.world.states.latest_of("position")
        unknown = 0
        for order in self.box.parts.world.states.latest_of("order"):
            unknown += order.status.value == "unknown"
        self.most_unknown = max(self.most_unknown, unknown)
        for each in positions:
            if each.remaining and not each.exits and self.chance.random() < 0.5:
                self.box.parts.system.tell(names.position(each.id), ClosePosition(each.id))

    async def _weather(self) -> None:
        """Reads fail in turns."""
        while True:
            self.box.venue.reads_fail = True
            await asyncio.sleep(READS_FAIL[0])
            self.box.venue.reads_fail = False
            await asyncio.sleep(READS_FAIL[1])

    async def _judge(self) -> dict[str, Any]:
        """Compare the journal with the venue's own books."""
        box = self.box
        await box.soon()
        with sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True) as ledger:
            arrived = Counter(
                order_id for (order_id,) in ledger.execute("SELECT client_order_id FROM orders")
            )
            filled = "SELECT count(DISTINCT client_order_id) FROM fills"
            (filled_orders,) = ledger.execute(filled).fetchone()
        orders = box.parts.world.states.latest_of("order")
        return judged(
            box.store,
            sent=[terms.client_order_id for terms in box.venue.sent],
            arrived=arrived,
            filled_orders=filled_orders,
            unknown_left=sum(each.status.value == "unknown" for each in orders),
            positions_left=self._alive(),
            venue_positions=len(await box.paper.positions()),
        )


def _progress(done: int, all_of_them: int, began_s: float) -> None:
    seconds = time.monotonic() - began_s
    print(f"{done}/{all_of_them} positions, {seconds:.0f} s", file=sys.stderr, flush=True)


def storm(
    orders: int, seed: int = 1, *, shows: bool = False, at_once: int = AT_ONCE
) -> dict[str, Any]:
    """Let so many orders pass; return the figures."""
    with tempfile.TemporaryDirectory(prefix="holdfast-lost-") as directory:

        async def main() -> dict[str, Any]:
            return await Storm(Path(directory), orders, seed, at_once).run(shows=shows)

        return run_virtual(main)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--orders", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--venue", choices=("paper", "okx"), default="paper")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="positions")
    parser.add_argument(
        "--within-s", type=float, default=inf, help="end the storm by then, at okx: real time"
    )
    parser.add_argument("--json", action="store_true", help="only the figures")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    which = storm
    if arguments.venue == "okx":
        which = partial(lost_answers_okx.storm, within_s=arguments.within_s)
    result = which(
        arguments.orders, arguments.seed, shows=not arguments.json, at_once=arguments.at_once
    )
    print(json.dumps(result, indent=2))
    sys.exit(0 if is_good(result) else 1)


if __name__ == "__main__":
    main()
