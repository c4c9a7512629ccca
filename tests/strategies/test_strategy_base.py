"""The contract between a strategy and the trader that owns it."""

from datetime import UTC, datetime
from decimal import Decimal
from math import inf, nan

import msgspec
import pytest

from domain.commands import ProtectionPlan, TargetPlan
from domain.ids import Symbol
from domain.instrument import Direction
from strategies import (
    Action,
    Decision,
    ParameterError,
    Step,
    Strategy,
    View,
    as_price,
    close,
    enter,
    go_long,
    go_short,
    move_stop,
    no_trade,
    require,
    take_part,
    targets_at,
    watch,
)


class Counting(Strategy, frozen=True):
    """Counts candles."""

    limit: int = 3

    class State(msgspec.Struct, frozen=True):
        seen: int = 0

    def on_candle(self, state: State, candle, view) -> Step:
        return Step(self.State(seen=state.seen + 1))


class Renamed(Counting, frozen=True):
    """Counts the same way under another name."""


class Forgetful(Strategy, frozen=True):
    """Remembers nothing."""

    def on_candle(self, state, candle, view) -> Step:
        return Step(state)


def test_a_strategy_begins_with_its_empty_state_and_steps_to_the_next(candle, view):
    strategy = Counting()

    step = strategy.on_candle(strategy.initial(), candle(100), view(100))

    assert step == Step(Counting.State(seen=1), None)


def test_a_strategy_needs_no_warm_up_unless_it_says_so():
    assert Counting().warm_up == 0


def test_a_strategy_must_say_what_a_candle_leads_to(candle, view):
    with pytest.raises(NotImplementedError):
        Strategy().on_candle(None, candle(100), view(100))


def test_a_strategy_is_frozen():
    with pytest.raises(AttributeError):
        Counting().limit = 4


def test_a_state_survives_being_saved():
    strategy = Counting()

    assert strategy.restored(strategy.save(Counting.State(seen=7))) == Counting.State(seen=7)


def test_a_strategy_without_a_state_saves_and_restores_nothing():
    strategy = Forgetful()

    assert strategy.initial() is None
    assert strategy.restored(strategy.save(None)) is None


@pytest.mark.parametrize("other", [Counting(limit=4), Renamed()])
def test_a_state_saved_by_other_parameters_or_another_class_is_not_used(other):
    saved = Counting().save(Counting.State(seen=7))

    assert other.restored(saved) == other.initial()
    with pytest.raises(msgspec.DecodeError, match="the state belongs to Counting"):
        other.decoded(saved)


@pytest.mark.parametrize("data", [b"", b"\x92\xa1x", b"not a state"])
def test_a_damaged_state_begins_anew(data):
    assert Counting().restored(data) == Counting.State(seen=0)


def test_a_state_of_another_shape_begins_anew():
    class Other(msgspec.Struct, frozen=True):
        seen: str

    assert Counting().restored(Counting().save(Other(seen="many"))) == Counting.State(seen=0)


def test_a_view_is_free_when_nothing_is_held_and_nothing_is_coming(view, held):
    assert view(100).is_free
    assert not view(100, is_entering=True).is_free
    assert not view(100, held=held(Direction.LONG)).is_free


def test_a_view_needs_no_order_book():
    at = datetime(2024, 8, 8, tzinfo=UTC)
    seen = View(symbol=Symbol("BTC/USDT"), now=at, last=Decimal(1), equity=Decimal(1))

    assert (seen.bid, seen.ask) == (None, None)


def test_decisions_have_short_names():
    targets = (TargetPlan(price=Decimal(120), part=Decimal("0.5")),)
    long = go_long("up", stop_price=Decimal(90), targets=targets)
    short = go_short("down", stop_price=Decimal(110), trail_ratio=Decimal("0.02"))

    assert (long.action, long.plan) == (
        Action.LONG,
        ProtectionPlan(stop_price=Decimal(90), targets=targets),
    )
    assert (short.action, short.plan) == (
        Action.SHORT,
        ProtectionPlan(stop_price=Decimal(110), trail_ratio=Decimal("0.02")),
    )
    assert close("over").action is Action.CLOSE
    assert (take_part(Decimal("0.3"), "some").action, take_part(Decimal(1), "").part) == (
        Action.PARTIAL_TP,
        Decimal(1),
    )
    assert move_stop(Decimal(95), "tighter").stop_price == 95
    assert (watch("look").action, no_trade("no").action) == (Action.WATCH, Action.NO_TRADE)


@pytest.mark.parametrize("action", [Action.LONG, Action.SHORT])
@pytest.mark.parametrize("plan", [None, ProtectionPlan(), ProtectionPlan(max_holding_s=5.0)])
def test_an_entry_without_a_guard_against_loss_is_a_mistake(action, plan):
    with pytest.raises(ValueError, match="needs a plan with a stop or a trail"):
        Decision(action=action, rationale="", plan=plan)


def test_a_trail_alone_guards_an_entry():
    plan = ProtectionPlan(trail_distance=Decimal(5))

    assert enter(Direction.SHORT, "trail", plan).plan is plan


@pytest.mark.parametrize("part", ["0", "-0.1", "1.01"])
def test_a_part_must_be_a_part(part):
    with pytest.raises(ValueError, match="a part above 0 and up to 1"):
        take_part(Decimal(part), "")


def test_a_close_is_of_all_and_a_part_of_it_has_a_name_of_its_own():
    with pytest.raises(ValueError, match="for a part use PARTIAL_TP"):
        Decision(Action.CLOSE, "half", part=Decimal("0.5"))
    assert Decision(Action.CLOSE, "all", part=Decimal(1)).part == 1


def test_a_stop_is_moved_to_a_price():
    with pytest.raises(ValueError, match="positive stop_price"):
        move_stop(Decimal(0), "")


@pytest.mark.parametrize("confidence", ["-0.01", "1.01"])
def test_confidence_is_between_nothing_and_certainty(confidence):
    with pytest.raises(ValueError, match="confidence is between 0 and 1"):
        watch("", confidence=Decimal(confidence))


def test_a_float_becomes_a_price_finer_than_any_tick():
    assert as_price(0.1 + 0.2) == Decimal("0.3")
    assert as_price(61_234.123456) == Decimal("61234.123456")


@pytest.mark.parametrize("value", [0.0, -1.0, nan, inf])
def test_what_is_no_price_does_not_become_one(value):
    with pytest.raises(ValueError, match="is no"):
        as_price(value)


def test_targets_lie_at_multiples_of_the_risk():
    half = Decimal("0.5")
    steps = ((Decimal(1), half), (Decimal(3), half))

    long = targets_at(Direction.LONG, Decimal(100), Decimal(40), *steps)
    short = targets_at(Direction.SHORT, Decimal(100), Decimal(40), *steps)

    assert [target.price for target in long] == [140, 220]
    assert [target.price for target in short] == [60]  # the second one would be below zero


def test_require_names_what_is_wrong():
    require(True, "never seen")
    with pytest.raises(ParameterError, match="fast must be 1 or more, not 0"):
        require(False, "fast must be 1 or more, not 0")
