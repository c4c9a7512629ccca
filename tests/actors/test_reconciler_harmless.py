"""Whatever the venue does to reads, answers and pushes: what is good is never repaired."""

import random

import pytest

from actors import names
from actors.reconcile_rules import ReconcileSettings
from domain.instrument import Direction
from domain.money import ZERO
from domain.position import PositionStatus
from exchanges.port import PositionMode, Unknown
from tests.actors.box import CONFIG, Box, D, pid, stop_at
from tests.actors.faulty_venue import answer_lost, answered_after, arrives_after, reset
from tests.actors.shared_account import SharedAccount

REPAIRS = {"CLOSED_OUTSIDE", "LIQUIDATED", "FOREIGN_POSITION", "ADOPTED", "BALANCE_CORRECTED"}
IN_PARTS = CONFIG.replace("latency_ms: 0", "latency_ms: [5, 400], partial_fill_chance: 0.5")


class Trouble:
    """Makes a venue go wrong by chance; holdings that are read are up to `lag_s` old."""

    def __init__(self, box: Box, chance: random.Random) -> None:
        self.box, self.venue, self.chance = box, box.venue, chance
        self.kept = box.venue.pushes

    def begin(self) -> None:
        chance, venue = self.chance, self.venue
        venue.lag_s = chance.choice([0.0, 0.5, 2.0, 4.0])
        venue.failing = {
            name
            for name in ("positions", "balances", "outside", "flows", "orders")
            if chance.random() < 0.15
        }
        if chance.random() < 0.3:
            venue.submits = [
                chance.choice([answer_lost, reset, answered_after(3), arrives_after(2)])
            ]
        if chance.random() < 0.2:
            venue.cancels = [chance.choice([answer_lost, reset, answered_after(3)])]
        if chance.random() < 0.2:
            venue.pushes = lambda _update: ()  # the stream says nothing
        else:
            venue.pushes = self.kept

    def end(self) -> None:
        self.venue.lag_s, self.venue.failing = 0.0, set()
        self.venue.submits, self.venue.cancels, self.venue.pushes = [], [], self.kept


@pytest.mark.parametrize("mode", list(PositionMode))
@pytest.mark.parametrize("adopts", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_the_reconciler_repairs_nothing_that_is_good(perform, seed, adopts, mode):
    async def play(box: Box) -> None:
        chance = random.Random(f"{seed} {adopts} {mode}")
        box.venue.mode = mode
        # The paper venue behind it never nets a long and a short.
        directions = list(Direction) if mode is PositionMode.HEDGE else [Direction.LONG]
        trouble = Trouble(box, chance)
        price = 60_000
        await box.start(str(price))
        await box.soon(2)
        for number in range(1, 9):
            trouble.begin()
            price += chance.randint(-300, 300)
            box.say(str(price))
            direction = chance.choice(directions)
            stop = price - direction.sign * chance.randint(50, 2000)
            limit = str(price - direction.sign * 10) if chance.random() < 0.3 else None
            request = box.request(
                f"0.0{chance.randint(1, 9)}",
                stop_at(str(stop)),
                number=number,
                direction=direction,
                limit=limit,
            )
            box.tell(names.trader("manual"), request)
            for _ in range(chance.randint(2, 12)):
                await box.venue.push_positions()
                await box.venue.push_balance()
                await box.soon(chance.uniform(0.1, 2))
                price += chance.randint(-200, 200)
                box.say(str(price))
            if chance.random() < 0.4 and box.latest(names.position(pid(number))) is not None:
                await box.close(number, chance.choice(["1", "0.5"]))
        trouble.end()
        await box.soon(60)
        assert not set(box.ears.codes()) & REPAIRS, box.ears.alarms
        assert await _ours(box) == await _theirs(box)
        states = box.parts.world.states.latest_of("position")
        assert all(each.status is not PositionStatus.QUARANTINED for each in states)

    perform(
        play,
        config=IN_PARTS,
        seed=seed,
        venue=SharedAccount,
        reconcile=ReconcileSettings(adopts=adopts),
    )


async def _ours(box: Box) -> object:
    positions = box.parts.world.states.latest_of("position")
    return sum((each.remaining * each.direction.sign for each in positions), ZERO)


async def _theirs(box: Box) -> object:
    found = await box.paper.positions()
    assert not isinstance(found, Unknown)
    return sum((each.quantity for each in found), D(0))
