"""The trigger index against an exact scan in decimals, and on the recorded market."""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ids import ExitId, PositionId
from domain.instrument import Direction
from domain.protection import BREAKEVEN, STOP, TRAIL, Trail, has_crossed
from domain.triggers import Hit, TriggerIndex

TARGET = ExitId("target-1")
RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
BTC = RECORDED / "usdm_btcusdt_20240808.gz"


def position(number: int) -> PositionId:
    return PositionId(f"position-{number}")


@dataclass
class Rule:
    """What an owner knows of one of its exits."""

    version: int
    below: bool
    price: Decimal  # the level; of a trail the best price
    trail: Trail | None = None
    reported: bool = False

    def level(self) -> Decimal:
        if self.trail is None:
            return self.price
        return self.trail.level(Direction.LONG if self.below else Direction.SHORT, self.price)


class Owners:
    """All owners at once: they scan every rule at every price, exactly, and judge the hits."""

    def __init__(self) -> None:
        self.index = TriggerIndex(spare=3)
        self.rules: dict[tuple[PositionId, ExitId], Rule] = {}
        self.versions = 0
        self.spurious = 0
        self.crossings = 0

    def arm(self, key: PositionId, exit_id: ExitId, price: Decimal, *, below: bool) -> None:
        self.versions += 1
        self.rules[key, exit_id] = Rule(self.versions, below, price)
        self.index.arm(key, exit_id, self.versions, price, below=below)

    def arm_trail(
        self,
        key: PositionId,
        exit_id: ExitId,
        best: Decimal,
        *,
        below: bool,
        ratio: Decimal | None,
        distance: Decimal | None,
    ) -> None:
        self.versions += 1
        rule = Trail(anchor=best, ratio=ratio, distance=distance)
        self.rules[key, exit_id] = Rule(self.versions, below, best, rule)
        self.index.arm_trail(
            key, exit_id, self.versions, below=below, best=best, ratio=ratio, distance=distance
        )

    def disarm(self, key: PositionId, exit_id: ExitId) -> None:
        self.rules.pop((key, exit_id), None)
        self.index.disarm(key, exit_id)

    def disarm_all(self, key: PositionId) -> None:
        self.rules = {name: rule for name, rule in self.rules.items() if name[0] != key}
        self.index.disarm_all(key)

    def answer(self, key: PositionId, exit_id: ExitId, *, stale: bool) -> None:
        """Say that a reported exit had not crossed, possibly about a version that is gone."""
        rule = self.rules.get((key, exit_id))
        version = (rule.version if rule is not None else 0) - stale
        self.index.not_crossed(key, exit_id, version)
        if rule is not None and not stale:
            rule.reported = False

    def price(self, price: Decimal) -> None:
        """Scan exactly, ask the index, compare."""
        due = set()
        for name, rule in self.rules.items():
            if rule.trail is not None:
                rule.price = (max if rule.below else min)(rule.price, price)
            if not rule.reported and has_crossed(level=rule.level(), below=rule.below, price=price):
                due.add(name)
        text = str(price)
        is_quiet = self.index.below_at < float(text) < self.index.above_at
        hits = self.index.on_price(float(text), text)
        told = [(hit.key, hit.exit_id) for hit in hits]
        assert not (is_quiet and (due or hits))
        assert len(told) == len(set(told))
        assert due <= set(told)
        guards = [exit_id in {STOP, TRAIL} for _, exit_id in told]
        assert guards == sorted(guards, reverse=True)
        for hit in hits:
            self._judge(hit, price, is_due=(hit.key, hit.exit_id) in due)
        self.crossings += len(due)

    def _judge(self, hit: Hit, price: Decimal, *, is_due: bool) -> None:
        rule = self.rules[hit.key, hit.exit_id]
        assert not rule.reported, "reported twice"
        assert hit.version == rule.version, "a stale version came back"
        assert hit.best is None if rule.trail is None else Decimal(hit.best or "0") == rule.price
        if is_due:
            rule.reported = True
        else:
            assert abs(rule.level() - price) <= abs(price) * Decimal("2E-15"), "far from crossing"
            self.spurious += 1
            self.index.not_crossed(hit.key, hit.exit_id, hit.version)

    def compare_state(self) -> None:
        watched = {(each.key, each.exit_id): each for each in self.index.armed()}
        assert watched.keys() == self.rules.keys()
        assert len(self.index) == len(self.rules)
        for name, rule in self.rules.items():
            assert watched[name].reported == rule.reported
            best = self.index.best_of(*name)
            assert best is None if rule.trail is None else Decimal(best or "0") == rule.price
        self._compare_nearest()

    def _compare_nearest(self) -> None:
        for below, nearest in zip((True, False), self.index.nearest(), strict=True):
            levels = [
                float(rule.level())
                for rule in self.rules.values()
                if rule.below is below and not rule.reported
            ]
            if levels:
                assert nearest == pytest.approx(max(levels) if below else min(levels), rel=1e-12)
            else:
                assert nearest is None


# Hard on floats: neighbors closer than a float can tell, binary expansions, 25 digits.
NOISE = st.sampled_from(
    [Decimal(0)] * 6 + [Decimal(text) for text in ("1E-17", "-1E-17", "7E-15", "-3E-23", "1E-14")]
)
GRID = st.builds(
    lambda cents, noise: Decimal(cents) / 100 + noise, st.integers(9_980, 10_020), NOISE
)
BINARY = st.integers(998, 1_002).map(lambda tenths: Decimal(tenths * 0.1))
PRICES = st.one_of(GRID, GRID, BINARY)
RATIOS = st.sampled_from(
    [Decimal(text) for text in ("0.001", "0.0005", "0.0003333333333333333333333333", "0")]
)
DISTANCES = st.sampled_from(
    [Decimal(text) for text in ("0.1", "0.05", "0.30000000000000004", "0")] + [Decimal(0.1 + 0.2)]
)
KEYS = st.integers(1, 6).map(position)
EXITS = st.sampled_from([STOP, TRAIL, TARGET, BREAKEVEN])
STEPS = st.one_of(
    st.tuples(st.just("arm"), KEYS, EXITS, PRICES, st.booleans()),
    st.tuples(st.just("ratio"), KEYS, EXITS, PRICES, st.booleans(), RATIOS),
    st.tuples(st.just("distance"), KEYS, EXITS, PRICES, st.booleans(), DISTANCES),
    st.tuples(st.just("disarm"), KEYS, EXITS),
    st.tuples(st.just("disarm_all"), KEYS),
    st.tuples(st.just("answer"), KEYS, EXITS, st.booleans()),
    *[st.tuples(st.just("price"), PRICES)] * 4,
)


def perform(owners: Owners, step: tuple) -> None:
    match step:
        case ("arm", key, exit_id, price, below):
            owners.arm(key, exit_id, price, below=below)
        case ("ratio", key, exit_id, best, below, ratio):
            owners.arm_trail(key, exit_id, best, below=below, ratio=ratio, distance=None)
        case ("distance", key, exit_id, best, below, distance):
            owners.arm_trail(key, exit_id, best, below=below, ratio=None, distance=distance)
        case ("disarm", key, exit_id):
            owners.disarm(key, exit_id)
        case ("disarm_all", key):
            owners.disarm_all(key)
        case ("answer", key, exit_id, stale):
            owners.answer(key, exit_id, stale=stale)
        case ("price", price):
            owners.price(price)
        case _:
            raise AssertionError(step)


@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(st.lists(STEPS, max_size=60))
def test_every_exact_crossing_is_reported_at_its_tick_and_nothing_twice(steps: list[tuple]) -> None:
    owners = Owners()

    for step in steps:
        perform(owners, step)

    owners.compare_state()


@pytest.mark.parametrize("seed", range(4))
def test_a_long_life_on_a_tick_grid_has_no_false_alarms(seed: int) -> None:
    chance = random.Random(seed)
    owners = Owners()
    cents = 100_000
    for _ in range(6_000):
        cents += chance.choice((-20, -5, -1, 0, 0, 1, 5, 20))
        key = position(chance.randrange(120))
        below = chance.random() < 0.5
        near = Decimal(cents + (-1 if below else 1) * chance.randrange(400)) / 100
        dice = chance.random()
        if dice < 0.15:
            owners.arm(key, chance.choice((STOP, TARGET)), near, below=below)
        elif dice < 0.30:
            best = Decimal(cents + (1 if below else -1) * chance.randrange(200)) / 100
            ratio = Decimal(chance.randrange(1, 5000)) / 1_000_000
            distance = Decimal(chance.randrange(1, 500)) / 100
            if chance.random() < 0.5:
                owners.arm_trail(key, TRAIL, best, below=below, ratio=ratio, distance=None)
            else:
                owners.arm_trail(key, TRAIL, best, below=below, ratio=None, distance=distance)
        elif dice < 0.36:
            owners.disarm(key, chance.choice((STOP, TRAIL, TARGET)))
        elif dice < 0.38:
            owners.disarm_all(key)
        elif dice < 0.44:
            owners.answer(key, chance.choice((STOP, TRAIL, TARGET)), stale=chance.random() < 0.3)
        owners.price(Decimal(cents) / 100)
        if chance.random() < 0.01:
            owners.compare_state()

    assert owners.crossings > 500
    assert owners.spurious <= 5  # a trail by ratio may come to lie within 1e-15 of a tick


# --- on the recorded market


def recorded_trades() -> Iterator[str]:
    with gzip.open(BTC, "rt") as lines:
        for line in lines:
            frame = json.loads(line.split(" ", 1)[1])
            if frame.get("stream", "").endswith("@trade"):
                yield frame["data"]["p"]


@dataclass
class Plan:
    """A rule and the trade before which it is armed."""

    name: tuple[PositionId, ExitId]
    start: int
    rule: Rule


def seeded_plans(texts: list[str], seed: int) -> list[Plan]:
    chance = random.Random(seed)
    plans = []
    for number in range(400):
        start = chance.randrange(len(texts) - 500)
        below = chance.random() < 0.5
        now = Decimal(texts[start])
        away = Decimal(chance.randrange(1, 1500)) / 10  # up to 150 quote, on ticks
        rule = Rule(1, below, now - away if below else now + away)
        exit_id = STOP
        if number % 2:
            exit_id = TRAIL
            ratio = Decimal(chance.randrange(1, 2000)) / 1_000_000 if number % 4 == 1 else None
            distance = None if ratio is not None else away
            rule = Rule(1, below, now, Trail(anchor=now, ratio=ratio, distance=distance))
        plans.append(Plan((position(number), exit_id), start, rule))
    return plans


def scan(plan: Plan, prices: list[Decimal]) -> tuple[int, Decimal] | None:
    """Return the first trade that crosses, and the exact level it crosses."""
    rule = plan.rule
    best = rule.price
    direction = Direction.LONG if rule.below else Direction.SHORT
    for number in range(plan.start, len(prices)):
        price = prices[number]
        at = best
        if rule.trail is not None:
            best = max(best, price) if rule.below else min(best, price)
            at = rule.trail.level(direction, best)
        if has_crossed(level=at, below=rule.below, price=price):
            return number, at
    return None


@pytest.mark.recorded
@pytest.mark.skipif(not BTC.exists(), reason=f"the recorded market data is not at {RECORDED}")
def test_on_recorded_trades_every_exit_fires_where_an_exact_scan_says() -> None:
    texts = list(recorded_trades())
    prices = [Decimal(text) for text in texts]
    plans = sorted(seeded_plans(texts, seed=7), key=lambda plan: plan.start)
    by_name = {plan.name: plan for plan in plans}
    expected = {plan.name: found for plan in plans if (found := scan(plan, prices)) is not None}
    assert len(expected) > 200

    index = TriggerIndex()
    waiting = iter(plans)
    following = next(waiting, None)
    fired: dict[tuple[PositionId, ExitId], tuple[int, Decimal]] = {}
    for number, text in enumerate(texts):
        while following is not None and following.start == number:
            arm_plan(index, following)
            following = next(waiting, None)
        price = float(text)
        if index.below_at < price < index.above_at:
            continue
        for hit in index.on_price(price, text):
            rule = by_name[hit.key, hit.exit_id].rule
            at = rule.price
            if rule.trail is not None:
                direction = Direction.LONG if rule.below else Direction.SHORT
                at = rule.trail.level(direction, Decimal(hit.best or "0"))
            if has_crossed(level=at, below=rule.below, price=prices[number]):
                fired[hit.key, hit.exit_id] = number, at
                index.disarm(hit.key, hit.exit_id)
            else:
                index.not_crossed(hit.key, hit.exit_id, hit.version)

    assert fired == expected


def arm_plan(index: TriggerIndex, plan: Plan) -> None:
    key, exit_id = plan.name
    rule = plan.rule
    if rule.trail is None:
        index.arm(key, exit_id, 1, rule.price, below=rule.below)
    else:
        index.arm_trail(
            key,
            exit_id,
            1,
            below=rule.below,
            best=rule.price,
            ratio=rule.trail.ratio,
            distance=rule.trail.distance,
        )
