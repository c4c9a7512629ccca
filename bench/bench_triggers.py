"""What a tick, a new high and a change of protection cost in the trigger index.

    python -m bench.bench_triggers [--json] [--rounds N]

Every position has one stop and two targets; in the variant "trails" also a trailing stop by a ratio
of its own. Absolute figures differ from machine to machine and from minute to minute, so the sizes
take turns in each round and the medians over the rounds are compared: drift hits all sizes alike.
"""

import argparse
import gc
import json
import random
import statistics
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from time import perf_counter

from domain.ids import ExitId, PositionId
from domain.protection import STOP, TRAIL
from domain.triggers import TriggerIndex

SIZES = (10, 1_000, 10_000, 100_000)
TICKS = 20_000
LEAST_CALLS = 20_000  # so that small sizes are timed over as much work as large ones
FIRST, SECOND = ExitId("target-1"), ExitId("target-2")
LARGEST_RATIO = 1.2  # goal: t(100k) / t(10)
NEW_HIGH_US = 1.5  # goal

Samples = dict[str, dict[int, list[float]]]  # µs, by what and size


class Plan:
    """What one position arms; made beforehand, so that only the index is timed."""

    __slots__ = ("best", "first", "key", "moved", "ratio", "second", "stop")

    def __init__(self, number: int, chance: random.Random) -> None:
        self.key = PositionId(f"{number:08d}-0000-4000-8000-000000000000")
        self.stop = cents(chance.randrange(5_000_000, 5_900_000))
        self.moved = cents(chance.randrange(5_000_000, 5_900_000))
        self.first = cents(chance.randrange(6_200_000, 6_500_000))
        self.second = cents(chance.randrange(6_500_000, 7_000_000))
        self.best = cents(chance.randrange(6_110_000, 6_111_000))
        self.ratio = Decimal(100_000 + number) / 1_000_000  # distinct


def cents(number: int) -> Decimal:
    return Decimal(number) / 100


def arm_fixed(index: TriggerIndex, plans: list[Plan]) -> None:
    for plan in plans:
        index.arm(plan.key, STOP, 1, plan.stop, below=True)
        index.arm(plan.key, FIRST, 1, plan.first, below=False)
        index.arm(plan.key, SECOND, 1, plan.second, below=False)


def arm_trails(index: TriggerIndex, plans: list[Plan]) -> None:
    for plan in plans:
        index.arm_trail(
            plan.key, TRAIL, 1, below=True, best=plan.best, ratio=plan.ratio, distance=None
        )


def move_stops(index: TriggerIndex, plans: list[Plan]) -> None:
    for plan in plans:
        index.arm(plan.key, STOP, 2, plan.moved, below=True)


def disarm_fixed(index: TriggerIndex, plans: list[Plan]) -> None:
    for plan in plans:
        index.disarm(plan.key, STOP)
        index.disarm(plan.key, FIRST)
        index.disarm(plan.key, SECOND)


def disarm_trails(index: TriggerIndex, plans: list[Plan]) -> None:
    for plan in plans:
        index.disarm(plan.key, TRAIL)


def feed(index: TriggerIndex, ticks: list[tuple[float, str]]) -> None:
    """Take ticks as the feed does: look at the alarms, and call only when one is reached."""
    for price, text in ticks:
        if not index.below_at < price < index.above_at:
            index.on_price(price, text)


def seconds(work: Callable[[TriggerIndex, list], None], index: TriggerIndex, over: list) -> float:
    start = perf_counter()
    work(index, over)
    return perf_counter() - start


@contextmanager
def calm() -> Iterator[None]:
    """Keep the collector out, as the daemon does by freezing what lives long."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def quiet_ticks() -> list[tuple[float, str]]:
    chance = random.Random(1)
    texts = [f"{chance.randrange(6_090_000, 6_109_999) / 100:.2f}" for _ in range(TICKS)]
    return [(float(text), text) for text in texts]


def time_ticks(plans: list[Plan], rounds: int, samples: Samples) -> None:
    """Quiet ticks, repeated bests and new highs, over indexes that live side by side."""
    fixed, trailing = {}, {}
    for size in SIZES:
        fixed[size], trailing[size] = TriggerIndex(), TriggerIndex()
        arm_fixed(fixed[size], plans[:size])
        arm_trails(trailing[size], plans[:size])
    quiet = quiet_ticks()
    with calm():
        for _ in range(rounds):
            for size in SIZES:
                spent = seconds(feed, fixed[size], quiet)
                samples["quiet tick"][size].append(spent / TICKS)
            for size in SIZES:
                spent = seconds(feed, trailing[size], quiet)
                samples["quiet tick, trails"][size].append(spent / TICKS)
        for number in range(rounds):
            highs = [cents(6_200_000 + number * TICKS + step) for step in range(TICKS)]
            ticks = [(float(price), str(price)) for price in highs]
            for size in SIZES:
                feed(trailing[size], ticks[:1])  # swallows the groups; see "first new high"
                spent = seconds(feed, trailing[size], ticks)
                samples["new high every tick"][size].append(spent / TICKS)
                spent = seconds(feed, trailing[size], [ticks[-1]] * TICKS)
                samples["same high again"][size].append(spent / TICKS)


def time_changes(plans: list[Plan], rounds: int, samples: Samples) -> None:
    """Arm, move and disarm everything, sweeps included."""
    for _ in range(rounds):
        for size in SIZES:
            spent: dict[str, float] = defaultdict(float)
            repeats = max(1, LEAST_CALLS // size)
            with calm():
                for _ in range(repeats):
                    live_and_die(TriggerIndex(), plans[:size], spent)
            for what, total in spent.items():
                samples[what][size].append(total / repeats / size)


def live_and_die(index: TriggerIndex, plans: list[Plan], spent: dict[str, float]) -> None:
    """Add the seconds that each kind of change took; of fixed levels those for one of three."""
    spent["arm"] += seconds(arm_fixed, index, plans) / 3
    spent["move"] += seconds(move_stops, index, plans)
    spent["disarm"] += seconds(disarm_fixed, index, plans) / 3
    spent["arm trail"] += seconds(arm_trails, index, plans)
    spent["first new high, a trail"] += seconds(feed, index, [(62_000.0, "62000")])
    spent["disarm trail"] += seconds(disarm_trails, index, plans)


def bytes_per_position(plans: list[Plan], arm: Callable[[TriggerIndex, list[Plan]], None]) -> float:
    """Memory of the index alone, without the owners' keys and decimals."""
    tracemalloc.start()
    index = TriggerIndex()
    before = tracemalloc.get_traced_memory()[0]
    arm(index, plans)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / len(plans)


def measure(rounds: int) -> dict[str, object]:
    chance = random.Random(0)
    plans = [Plan(number, chance) for number in range(max(SIZES))]
    samples: Samples = defaultdict(lambda: defaultdict(list))
    time_ticks(plans, rounds, samples)
    time_changes(plans, max(3, rounds // 10), samples)
    rows = [
        {"what": what, "us": {size: statistics.median(by_size[size]) * 1e6 for size in SIZES}}
        for what, by_size in samples.items()
    ]
    ratios = {
        what: statistics.median(
            large / small
            for large, small in zip(by_size[SIZES[-1]], by_size[SIZES[0]], strict=True)
        )
        for what, by_size in samples.items()
    }
    for row in rows:
        row["ratio"] = ratios[str(row["what"])]
    memory = {
        "stop and two targets": bytes_per_position(plans[:10_000], arm_fixed),
        "trail": bytes_per_position(plans[:10_000], arm_trails),
    }
    new_high = statistics.median(samples["new high every tick"][SIZES[-1]]) * 1e6
    goals = {
        "quiet tick t(100k)/t(10) <= 1.2": ratios["quiet tick"] <= LARGEST_RATIO,
        "with trails too": ratios["quiet tick, trails"] <= LARGEST_RATIO,
        "new high with 100k trails <= 1.5 us": new_high <= NEW_HIGH_US,
    }
    return {"rounds": rounds, "rows": rows, "bytes_per_position": memory, "goals": goals}


def print_table(result: dict) -> None:
    print(f"{'µs, median':<26}" + "".join(f"{size:>10,}" for size in SIZES) + "   100k/10")
    for row in result["rows"]:
        figures = "".join(f"{row['us'][size]:>10.3f}" for size in SIZES)
        print(f"{row['what']:<26}{figures}{row['ratio']:>10.2f}")
    for what, size in result["bytes_per_position"].items():
        print(f"bytes a position, {what}: {size:.0f}")
    for goal, is_met in result["goals"].items():
        print(f"{'met   ' if is_met else 'MISSED'} {goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=51)
    arguments = parser.parse_args()
    result = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
    else:
        print_table(result)


if __name__ == "__main__":
    main()
