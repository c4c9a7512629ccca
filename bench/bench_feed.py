"""What a quiet tick costs on its way through the feed actor, over few and many positions.

A tick is a frame and its trade: spike guard, trigger index, extremes and candles included. The
sizes are measured in turn, round by round, so that the machine's drift meets all of them; the
median is told.
"""

import argparse
import asyncio
import json
import statistics
import time
from decimal import Decimal

from actors import names
from actors.feed import FeedActor
from actors.messages import SubscribeCandles
from actors.world import PriceBoard, World
from domain.effects import Arm
from domain.ids import AccountName, PositionId
from domain.instrument import PriceSource
from domain.position_draft import PositionRules
from domain.protection import Level, Trail, TrailLevel
from domain.risk import AccountLimits
from exchanges.market import MarketSink
from runtime.chance import SeededChance, SystemIds
from runtime.clocks import SystemClock
from runtime.specs import ChildSpec
from runtime.system import ActorSystem
from tests.builders import BTC, swap

SIZES = (10, 1_000, 10_000, 100_000)
TICKS = 20_000
ROUNDS = 9


class _Silence:
    """A stream that never says anything: the benchmark calls the feed itself."""

    async def run(self, sink: MarketSink) -> None:
        sink.on_connected()
        await asyncio.Event().wait()


class _NoTelemetry:
    def order_sent(self, *_: object) -> None: ...
    def order_ended(self, *_: object) -> None: ...
    def committed(self, *_: object) -> None: ...
    def evaluated(self, *_: object) -> None: ...
    def alarm(self, *_: object) -> None: ...


def armed_feed(size: int, *, trails: bool) -> FeedActor:
    """Return a feed actor with so many positions armed around 100: a stop and two targets each."""
    clock = SystemClock()
    loop = asyncio.get_running_loop()
    world = World(
        clock=clock,
        ids=SystemIds(),
        account=AccountName("bench"),
        venue="bench",
        instruments={BTC: swap()},
        prices=PriceBoard(clock, (BTC,), 5.0),
        telemetry=_NoTelemetry(),
        rules=PositionRules(),
        limits=AccountLimits(),
    )
    system = ActorSystem(loop, clock, chance=SeededChance(1))
    ref = system.spawn_root(ChildSpec(names.FEED, lambda: FeedActor(world, _Silence())))
    feed = ref.actor
    feed.on_subscribe(SubscribeCandles("nobody", (BTC,), "1m"))
    for number in range(size):
        feed.on_arm(_arm(number, trails=trails))
    return feed


def _arm(number: int, *, trails: bool) -> Arm:
    offset = Decimal(number % 5000) / 1000
    last = PriceSource.LAST
    levels: list[Level | TrailLevel] = [
        Level("stop", Decimal(90) - offset, True, last),
        Level("target-1", Decimal(110) + offset, False, last),
        Level("target-2", Decimal(120) + offset, False, last),
    ]
    if trails:
        trail = Trail(Decimal(101), Decimal("0.1") + offset / 100)
        levels.append(TrailLevel("trail", trail, True))
    return Arm(PositionId(f"p{number}"), BTC, 1, tuple(levels), None)


def quiet_ticks(feed: FeedActor, texts: list[str]) -> float:
    """Return seconds a tick."""
    on_frame, on_trade = feed.on_frame, feed.on_trade
    event_ms = int(time.time() * 1000)
    began = time.perf_counter()
    for text in texts:
        on_frame()
        on_trade(BTC, text, "0.010", "1", event_ms)
    return (time.perf_counter() - began) / len(texts)


async def measure(*, trails: bool) -> dict[str, float]:
    """Return microseconds a quiet tick, by number of armed positions."""
    texts = [f"{99.5 + (number * 7919 % 1000) / 1000:.3f}" for number in range(TICKS)]
    feeds = {size: armed_feed(size, trails=trails) for size in SIZES}
    taken: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size, feed in feeds.items():
            taken[size].append(quiet_ticks(feed, texts))
    return {str(size): statistics.median(found) * 1e6 for size, found in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    result = {}
    for name, trails in (("fixed", False), ("with_trails", True)):
        figures = asyncio.run(measure(trails=trails))
        figures["ratio_100k_to_10"] = figures["100000"] / figures["10"]
        result[name] = {key: round(value, 3) for key, value in figures.items()}
    if as_json:
        print(json.dumps(result))
        return
    for name, figures in result.items():
        print(name, *(f"{key}: {value}" for key, value in figures.items()), sep="\n  ")


if __name__ == "__main__":
    main()
