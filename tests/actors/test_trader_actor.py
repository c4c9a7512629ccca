"""The trader actor: what a strategy remembers, wants and hears, over restarts of everything."""

from typing import Any, ClassVar

import msgspec
import pytest

from actors import names
from actors.messages import PauseTrader, ResumeEntries, ResumeTrader, StopEntries
from domain.candles import Candle
from domain.commands import ModificationType, ModifyProtection, ProtectionPlan
from domain.ids import NO_REQUEST, TraderName
from domain.instrument import Direction
from domain.position import PositionStatus
from domain.protection import ExitReason
from domain.trader_state import DecisionMade, Trader
from strategies.base import Decision, Step, Strategy, View, add, close, enter, move_stop, take_part
from tests.actors.box import COMMIT_S, CONFIG, Box, D
from tests.actors.faulty_venue import refused

ROBOT = TraderName("robot")
NAME = names.trader(ROBOT)
BAR_S = 5.0
WITH_ROBOT = (
    CONFIG
    + """
traders:
  - name: robot
    strategy: ema_cross
    symbols: [BTC/USDT]
    timeframe: 5s
    size: {by: notional, value: 600}
    limits: {max_risk_ratio: 1, max_position_ratio: 1000}
"""
)

COOLING = WITH_ROBOT.replace("timeframe: 5s\n", "timeframe: 5s\n    cooldown_s: 30\n")


class Count(msgspec.Struct, frozen=True):
    candles: int = 0


class Scripted(Strategy, frozen=True):
    """Does at its nth candle what the nth letter says; remembers only how many there were."""

    script: str = ""
    State: ClassVar[Any] = Count
    views: ClassVar[list[View]] = []

    def on_candle(self, state: Count, candle: Candle, view: View) -> Step:
        self.views.append(view)
        letter = self.script[state.candles : state.candles + 1]
        return Step(Count(state.candles + 1), self.decision(letter, view))

    def decision(self, letter: str, view: View) -> Decision | None:
        match letter:
            case "L":
                plan = ProtectionPlan(stop_price=view.last - 1000)
                return enter(Direction.LONG, "it says so", plan)
            case "R":  # rests
                plan = ProtectionPlan(stop_price=view.last - 1000)
                far = view.last - 500
                return enter(Direction.LONG, "it says so", plan, limit_price=far)
            case "A":
                return add("it says so")
            case "C":
                return close("it says so")
            case "H":
                return take_part(D("0.5"), "it says so")
            case "S":
                return move_stop(view.last - 500, "it says so")
            case _:
                return None


@pytest.fixture
def trade(perform):
    """Run plays with a trader that follows a script."""

    def run(script, *plays, config=WITH_ROBOT, **options):
        Scripted.views.clear()
        perform(*plays, config=config, strategies={ROBOT: Scripted(script=script)}, **options)

    return run


def state(box) -> Trader:
    return box.latest(NAME) or Trader()


async def candles(box, count, price="60000"):
    """Let `count` candles close."""
    until = state(box).evaluations + count
    for _ in range(12 * count):
        box.say(price)
        await box.soon(BAR_S / 5)
        if state(box).evaluations >= until:
            await box.soon(0.2)
            return
    raise AssertionError("no candle closes")


def own(box):
    return [each for each in box.parts.world.states.latest_of("position") if each.trader == ROBOT]


def test_a_strategy_opens_changes_and_closes_its_position(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        (position,) = own(box)
        assert position.status is PositionStatus.OPEN_PROTECTED
        assert position.protection.stop.price == 59_000
        await candles(box, 1)
        assert own(box)[0].protection.stop.price == 59_500
        await candles(box, 1)
        assert own(box)[0].remaining == D("0.005")
        await candles(box, 1)
        assert not own(box)
        assert box.position_of(position.id).exit_reason is ExitReason.DECISION_CLOSE
        assert state(box).decisions == 4

    trade("LSHC", play)


def test_a_strategy_adds_to_its_position_by_its_traders_size_and_sees_that_it_did(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 3)
        (position,) = own(box)
        assert position.remaining == D("0.02")  # the first wish came when nothing was held
        (addition,) = position.additions
        decided = [each for each in box.journal(NAME) if isinstance(each, DecisionMade)]
        assert [each.action for each in decided] == ["LONG", "ADD"]
        assert Scripted.views[-1].held.additions == 0
        await candles(box, 1)
        assert Scripted.views[-1].held.additions == 1
        assert addition.client_order_id == box.venue.sent[-1].client_order_id

    trade("ALA", play)


def test_what_a_person_changed_is_not_added_to_by_a_strategy(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        (position,) = own(box)
        command = ModifyProtection(position.id, ModificationType.MOVE_SL, price=D(59_100))
        box.tell(names.position(position.id), command)
        await box.soon()
        await candles(box, 1)
        assert own(box)[0].additions == ()
        assert state(box).last_refusal.rule == "MANUAL_LOCK"

    trade("LA", play)


def test_a_paused_trader_adds_nothing(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        await box.ask(NAME, lambda request_id: PauseTrader(ROBOT, request_id, "uid 7"))
        await candles(box, 1)
        assert own(box)[0].additions == ()

    trade("LA", play)


def test_a_strategy_goes_on_where_it_was_after_a_crash(trade):
    async def first(box: Box) -> None:
        await box.start("60000")
        await candles(box, 2)
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        assert not own(box)
        await candles(box, 1)  # the third letter
        assert len(own(box)) == 1
        box.kill()

    async def third(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        assert Scripted.views[-1].held is not None  # it knows what it holds
        assert not own(box)

    trade("--LC", first, second, third)


def test_a_strategy_goes_on_where_it_was_after_its_own_death_and_that_of_the_feed(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        await box.restarted(NAME)
        await candles(box, 1)
        await box.restarted(names.FEED)
        await candles(box, 1)
        assert len(own(box)) == 1
        assert state(box).evaluations == 3

    trade("--L", play)


def test_no_candle_is_shown_twice(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        for _ in range(3):
            await candles(box, 1)
            await box.restarted(NAME)
        seen = [view.now for view in Scripted.views]
        assert len(seen) == len(set(seen)) == state(box).evaluations
        events = box.journal(NAME)
        closes = [event.close_ms for event in events if hasattr(event, "close_ms")]
        assert closes == sorted(set(closes))

    trade("", play)


def test_nothing_is_asked_for_before_the_decision_is_durable(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.disk.hold()
        while state(box).decisions == 0:
            box.say("60000")
            await box.soon()
        assert not box.portfolio.reservations
        box.disk.go_on()
        await box.soon()
        assert len(own(box)) == 1
        kinds = [type(event) for event in box.journal(NAME)]
        assert DecisionMade in kinds

    trade("L", play)


def test_a_decision_that_took_too_long_to_write_is_for_another_market(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.disk.hold()
        while state(box).decisions == 0:
            box.say("60000")
            await box.soon()
        await box.soon(30)
        box.say("60000")
        box.disk.go_on()
        await box.soon()
        assert not own(box)
        assert not box.venue.sent
        assert state(box).last_refusal.rule == "EXPIRED"

    trade("L", play)


@pytest.mark.parametrize("after_s", [n * COMMIT_S for n in range(9)])
@pytest.mark.parametrize("victim", ["position", "trader", "portfolio", "exchange", "persistence"])
def test_whoever_is_killed_while_it_opens_there_is_one_position_and_the_trader_knows_it(
    trade, victim, after_s
):
    async def play(box: Box) -> None:
        await box.start("60000")
        while state(box).decisions == 0:
            box.say("60000")
            await box.soon(COMMIT_S if box.loop.time() > 5.98 else 0.1)  # the candle ends at 6 s
        await box.soon(after_s)
        if victim == "position":
            found = box.parts.system.find("position/")
            if found:
                box.parts.system.kill(found[0])
        else:
            box.parts.system.kill(NAME if victim == "trader" else victim)
        await box.soon(3)
        for _ in range(9):  # more than 30 s: a lost wish is given up
            await candles(box, 1)
        assert len(own(box)) == 1
        assert len(await box.paper.positions()) == 1
        assert (await box.paper.positions())[0].quantity == D("0.01")
        assert box.actor(NAME).held == {"BTC/USDT": own(box)[0].id}

    trade("L" * 20, play)


def test_after_a_close_it_waits_before_it_opens_again(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        assert len(own(box)) == 1
        await candles(box, 1)
        assert not own(box)
        await candles(box, 4)
        assert not own(box)
        await candles(box, 4)
        assert len(own(box)) == 1

    trade("LC" + "L" * 20, play, config=COOLING)


async def closed_just_now(box):
    await box.start("60000")
    await candles(box, 1)
    assert len(own(box)) == 1
    await candles(box, 1)
    assert not own(box)


async def waits_on(box):
    """Not in again while the cooldown lasts, but then."""
    await candles(box, 3)
    assert not own(box)
    await candles(box, 5)
    assert len(own(box)) == 1


@pytest.mark.parametrize("is_killed", [True, False], ids=["kill", "drain"])
def test_it_waits_on_after_a_restart(trade, is_killed):
    async def first(box: Box) -> None:
        await closed_just_now(box)
        if is_killed:
            box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await waits_on(box)

    trade("LC" + "L" * 20, first, second, config=COOLING)


def test_it_waits_on_after_its_own_restart(trade):
    async def play(box: Box) -> None:
        await closed_just_now(box)
        await box.restarted(NAME)
        await waits_on(box)

    trade("LC" + "L" * 20, play, config=COOLING)


def dies_once_it_is_closed(box: Box) -> None:
    def die_in_time() -> None:
        if own(box)[0].is_closed:
            box.kill()

    box.disk.on_done = die_in_time


def test_it_waits_though_a_crash_came_between_the_close_and_its_own_note_of_it(trade):
    async def first(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        dies_once_it_is_closed(box)
        while not box.is_dead:
            box.say("60000")
            await box.soon(1)

    async def second(box: Box) -> None:
        assert state(box).cooling_since == {}
        await box.start("60000")
        await waits_on(box)

    trade("LC" + "L" * 20, first, second, config=COOLING)


async def stop_entries(box):
    answered = await box.ask(names.PORTFOLIO, lambda request_id: StopEntries(request_id, "me"))
    assert answered.refusal is None


async def enters_at_once(box):
    await box.start("60000")
    await box.ask(names.PORTFOLIO, lambda request_id: ResumeEntries(request_id, "me"))
    await candles(box, 1)
    assert len(own(box)) == 1


def test_an_entry_that_never_filled_keeps_nobody_out_after_a_restart(trade):
    async def first(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        await stop_entries(box)
        await box.soon()
        assert not own(box)
        await box.ask(names.PORTFOLIO, lambda request_id: ResumeEntries(request_id, "me"))
        await candles(box, 2)
        assert not own(box)  # but until then
        assert state(box).cooling_since == {}

    async def second(box: Box) -> None:
        await enters_at_once(box)

    trade("R" + "L" * 20, first, second, config=COOLING)


def test_nor_does_it_where_a_crash_came_right_after_its_end(trade):
    async def first(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        dies_once_it_is_closed(box)
        box.tell(names.PORTFOLIO, StopEntries(NO_REQUEST, "me"))
        await box.soon()
        assert box.is_dead

    async def second(box: Box) -> None:
        await enters_at_once(box)

    trade("R" + "L" * 20, first, second, config=COOLING)


def test_a_restart_after_the_cooldown_finds_nothing_to_wait_for(trade):
    async def first(box: Box) -> None:
        await closed_just_now(box)

    async def second(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        assert len(own(box)) == 1

    trade("LC" + "L" * 20, first, second, config=COOLING, pause_s=60.0)


def test_a_paused_trader_opens_nothing_and_stays_paused_over_a_crash(trade):
    async def first(box: Box) -> None:
        await box.start("60000")
        answered = await box.ask(NAME, lambda request_id: PauseTrader(ROBOT, request_id, "uid 7"))
        assert answered.refusal is None
        again = await box.ask(NAME, lambda request_id: PauseTrader(ROBOT, request_id, "uid 7"))
        assert again.note
        await candles(box, 2)
        assert not own(box)
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await candles(box, 2)
        assert not own(box)
        answered = await box.ask(NAME, lambda request_id: ResumeTrader(ROBOT, request_id, "uid 7"))
        assert answered.refusal is None
        await candles(box, 1)
        assert len(own(box)) == 1

    trade("L" * 9, first, second)


def test_a_paused_trader_still_closes_what_it_holds(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        await box.ask(NAME, lambda request_id: PauseTrader(ROBOT, request_id, "uid 7"))
        await candles(box, 1)
        assert not own(box)

    trade("LC", play)


def test_a_refused_entry_is_remembered_and_may_be_tried_at_the_next_candle(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.feed.on_disconnected("cut")
        await candles_while_down(box)
        assert state(box).last_refusal.rule == "NO_ENTRY_MODE"
        assert not own(box)
        box.feed.on_connected()
        await candles(box, 1)
        assert len(own(box)) == 1

    trade("LL", play)


async def candles_while_down(box):
    while state(box).evaluations == 0:
        box.say("60000")
        await box.soon()
    await box.soon()


def test_an_entry_that_the_venue_refuses_leaves_it_free_to_try_again(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits = [refused("BUSY")]
        await candles(box, 1)
        assert not own(box)
        await candles(box, 1)
        assert len(own(box)) == 1

    trade("LL", play)


def test_a_trader_that_keeps_failing_is_left_out_and_its_positions_live_on(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        (position,) = own(box)
        for _ in range(4):
            box.parts.system.kill(NAME)
            await box.soon()
        assert box.actor(NAME) is None
        box.say("60000")
        await box.open()  # people may go on
        box.say("59000")
        await box.soon()
        assert box.position_of(position.id).exit_reason is ExitReason.STOP_LOSS

    trade("L", play)


class Wide(Strategy, frozen=True):
    """Notes which candles it saw, in order."""

    State: ClassVar[Any] = Count
    seen: ClassVar[list[tuple[str, int]]] = []

    @property
    def timeframes(self) -> tuple[str, ...]:
        return ("15s",)

    def on_candle(self, state: Count, candle: Candle, view: View) -> Step:
        self.seen.append((str(candle.timeframe), candle.close_ms))
        return Step(Count(state.candles + 1))


def test_a_strategy_sees_each_candle_of_all_its_timeframes_once_even_over_a_restart(perform):
    async def before(box: Box) -> None:
        await box.start("60000")
        await candles(box, 8)

    async def after(box: Box) -> None:
        await box.start("60000")
        await candles(box, 8)
        assert state(box).evaluations == len(Wide.seen)

    Wide.seen.clear()
    perform(before, after, config=WITH_ROBOT, strategies={ROBOT: Wide()})

    assert len(set(Wide.seen)) == len(Wide.seen)
    for timeframe, at_least in (("5s", 8), ("15s", 3)):
        closes = [close_ms for name, close_ms in Wide.seen if name == timeframe]
        assert len(closes) >= at_least
        assert closes == sorted(closes)
    moments = [close_ms for _, close_ms in Wide.seen]
    for number, (name, close_ms) in enumerate(Wide.seen):
        if name == "5s" and ("15s", close_ms) in Wide.seen:
            assert moments.index(close_ms) == number - 1  # the longer one came just before


class Failing(Strategy, frozen=True):
    def on_candle(self, state: Any, candle: Candle, view: View) -> Step:
        raise ZeroDivisionError("a bug in somebody's strategy")


def test_a_strategy_that_fails_is_counted_and_its_trader_restored(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for _ in range(12):
            box.say("60000")
            await box.soon(BAR_S / 5)
        telemetry = box.parts.world.telemetry
        assert "failed" in telemetry.evaluations
        assert "ACTOR_CRASHED" in dict(telemetry.alarms)

    perform(play, config=WITH_ROBOT, strategies={ROBOT: Failing()})
