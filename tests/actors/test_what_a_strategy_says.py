"""A strategy that says nonsense harms its own trader; the journal, people and the rest go on."""

import sys
from typing import Any, ClassVar

import msgspec
import pytest

from domain.candles import Candle
from domain.commands import ProtectionPlan
from domain.instrument import Direction
from domain.trader_state import DecisionMade, StrategyAdvanced
from strategies import Step, Strategy, View, enter, watch
from tests.actors.box import Box, D
from tests.actors.test_trader_actor import NAME, ROBOT, WITH_ROBOT, Count, own


class Saying(Strategy, frozen=True):
    """Says the same at every candle."""

    what: str = ""
    State: ClassVar[Any] = Count

    def on_candle(self, state: Count, candle: Candle, view: View) -> Any:
        stop = ProtectionPlan(stop_price=view.last - 1000)
        match self.what:
            case "a number for a reason":
                return self.entry(61_234, stop)
            case "no reason":
                return self.entry(None, stop)
            case "half a letter":
                return self.entry("\ud800", stop)
            case "a number that is none":
                return Step(Count(1), enter(Direction.LONG, "so", stop, limit_price=float("nan")))
            case "a time that is none":
                return self.entry("so", msgspec.structs.replace(stop, max_holding_s="60"))
            case "a text as decision":
                return Step(Count(1), "CLOSE")
            case "nothing at all":
                return None
            case "a state of another type":
                return Step(Count("many"), watch("so"))
            case "a state that cannot be written":
                return Step(object())
            case "the end of the process":
                sys.exit()
            case "floats and a number for a time":
                plan = ProtectionPlan(stop_price=float(view.last) - 1000, max_holding_s=3600)
                return Step(Count(1), enter(Direction.LONG, "so", plan, confidence=0.7))
        raise AssertionError

    def entry(self, rationale: Any, plan: ProtectionPlan) -> Step:
        return Step(Count(1), enter(Direction.LONG, rationale, plan))


@pytest.fixture
def say(perform):
    """Run plays with a trader whose strategy says something."""

    def run(what: str, *plays: Any) -> None:
        perform(*plays, config=WITH_ROBOT, strategies={ROBOT: Saying(what=what)})

    return run


async def until_it_has_spoken(box: Box) -> None:
    for _ in range(30):
        box.say("60000")
        await box.soon(1)


@pytest.mark.parametrize(
    "what",
    [
        "a number for a reason",
        "no reason",
        "half a letter",
        "a number that is none",
        "a time that is none",
        "a text as decision",
        "nothing at all",
        "a state of another type",
        "a state that cannot be written",
        "the end of the process",
    ],
)
def test_nonsense_is_a_failed_evaluation_and_nothing_of_it_is_journaled(say, what):
    async def first(box: Box) -> None:
        await box.start("60000")
        await until_it_has_spoken(box)
        assert box.parts.world.telemetry.evaluations.count("failed") >= 1
        assert not own(box)
        assert box.actor(NAME) is None  # it rests after four
        kinds = {type(event) for event in box.journal(NAME)}
        assert not kinds & {DecisionMade, StrategyAdvanced}
        await box.open()  # people may go on
        assert not box.parts.system.failed.done()
        box.kill()

    async def second(box: Box) -> None:
        assert not box.store.recovered.problems
        await box.start("60000")
        assert len(box.parts.world.portfolio().holdings) == 1

    say(what, first, second)


def test_floats_are_as_good_as_decimals_and_read_again(say):
    async def first(box: Box) -> None:
        await box.start("60000")
        await until_it_has_spoken(box)
        (position,) = own(box)
        assert position.protection.stop.price == 59_000
        made = [event for event in box.journal(NAME) if isinstance(event, DecisionMade)]
        assert made[0].confidence == D("0.7")
        box.kill()

    async def second(box: Box) -> None:
        assert not box.store.recovered.problems
        await box.start("60000")
        assert len(own(box)) == 1

    say("floats and a number for a time", first, second)
