"""The position actor: what it holds back, what it does at once, what it is after a death."""

import asyncio

import pytest
from msgspec.structs import replace

from actors import names
from domain import position_guards
from domain.commands import ClosePosition, ModificationType, ModifyProtection
from domain.ids import RequestId
from domain.inputs import BeginEntry, Crossed, FillReported
from domain.instrument import PriceSource, Side
from domain.order import Fill, OrderStatus
from domain.position import PositionStatus
from domain.position_events import ExitFired, PositionQuarantined, PositionSettled, ProtectionSet
from domain.protection import STOP, ExitReason
from tests.actors.box import BTC, COMMIT_S, CONFIG, Box, D, pid, stop_at
from tests.actors.faulty_venue import answered_after, never_arrives, refused
from tests.builders import a_fill

NAME = names.position(pid())
MOVE = ModificationType.MOVE_SL
IN_PARTS = CONFIG.replace("latency_ms: 0", "latency_ms: 0, partial_fill_chance: 1")
SLOWLY_IN_PARTS = CONFIG.replace("latency_ms: 0", "latency_ms: 100, partial_fill_chance: 1")


def exits(box):
    return [terms for terms in box.venue.sent if terms.reduce_only]


async def sold(box):
    fills = await box.paper.fills(None)
    return sum((fill.quantity for fill in fills if fill.side is Side.SELL), D(0))


# --- what waits for the disk, and what does not ---


def test_a_change_is_answered_and_watched_once_it_is_durable_and_not_before(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.disk.hold()
        asked = asyncio.ensure_future(box.modify(MOVE, price=D(59_500)))
        await box.soon(3)
        assert not asked.done()
        assert box.levels() == {"stop": 59_000}
        box.disk.go_on()
        assert (await asked).refusal is None
        await box.soon()
        assert box.levels() == {"stop": 59_500}

    perform(play)


def test_a_change_in_the_same_instant_as_a_crossing_neither_loses_it_nor_fires_twice(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.tell(NAME, ModifyProtection(pid(), MOVE, price=D(59_500)))
        box.say("59400", "58900")
        await box.soon()
        assert len(exits(box)) == 1
        assert box.position().status is PositionStatus.CLOSED

    perform(play)


def test_an_exit_whose_id_is_not_durable_waits_for_the_disk(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.disk.hold()
        box.tell(NAME, ClosePosition(pid(), part=D("0.5")))
        await box.soon(2)
        assert not exits(box)
        box.disk.go_on()
        await box.soon()
        assert [terms.quantity for terms in exits(box)] == [D("0.005")]
        assert box.position().remaining == D("0.005")

    perform(play)


def test_a_close_of_everything_does_not_wait_for_a_full_disk(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.disk.hold()
        box.tell(NAME, ClosePosition(pid()))
        assert len(exits(box)) == 1
        box.disk.go_on()
        await box.soon()
        assert box.position().exit_reason is ExitReason.MANUAL_CLOSE

    perform(play)


# --- death and rebirth ---


def test_a_position_killed_comes_back_as_it_was_and_its_siblings_do_not_notice(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        plan = stop_at("59000", ("61000", "0.5"), trail_ratio=D("0.05"))
        for number in (1, 2, 3):
            await box.open(number=number, plan=plan)
        before, levels = box.position(), box.levels()
        others = [box.actor(names.position(pid(number))) for number in (2, 3)]
        await box.restarted(NAME)
        assert box.position() == before
        assert box.levels() == levels
        assert [box.actor(names.position(pid(number))) for number in (2, 3)] == others
        assert box.actor(NAME).guarded
        assert not box.ears.alarms
        box.say("59000")
        await box.soon()
        assert box.position().exit_reason is ExitReason.STOP_LOSS

    perform(play)


def test_after_a_crash_of_the_process_every_level_is_watched_as_before(perform):
    levels = {}

    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1, plan=stop_at("59000", ("61000", "0.5"), ("62000", "0.5")))
        await box.open(number=2, plan=stop_at("58000", breakeven_price=D(60_500)))
        await box.open(number=3, plan=stop_at(None, trail_distance=D(500)))
        box.say("60400")
        await box.soon(2)
        levels.update({number: box.levels(number) for number in (1, 2, 3)})
        states = {number: box.position(number) for number in (1, 2, 3)}
        levels["states"] = states
        box.kill()

    async def second(box: Box) -> None:
        box.parts.start()
        box.parts.system.dispatcher.drain()  # before anything is read from anywhere
        assert {number: box.levels(number) for number in (1, 2, 3)} == {
            number: levels[number] for number in (1, 2, 3)
        }
        assert levels[3] == {"trail": pytest.approx(59_900)}
        await box.soon()
        assert {number: box.position(number) for number in (1, 2, 3)} == levels["states"]

    perform(first, second)


@pytest.mark.parametrize("after_s", [n * COMMIT_S / 4 for n in range(13)])
def test_whenever_a_position_is_killed_a_change_under_way_is_done(perform, after_s):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.tell(NAME, ModifyProtection(pid(), MOVE, price=D(59_500)))
        await box.soon(after_s)
        await box.restarted(NAME)
        assert box.position().protection.stop.price == 59_500
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        assert box.position().acknowledged_version == 2
        assert box.levels() == {"stop": 59_500}
        assert box.journaled(NAME) == box.position()

    perform(play)


@pytest.mark.parametrize("after_s", [n * COMMIT_S / 4 for n in range(33)])
def test_whenever_a_position_is_killed_while_it_opens_it_ends_guarded_or_never_was(
    perform, after_s
):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.tell(names.trader("manual"), box.request())
        await box.soon(after_s)
        box.parts.system.kill(NAME)
        await box.soon(10)
        held = await box.paper.positions()
        position = box.position() if box.latest(NAME) or box.journal(NAME) else None
        if not held:
            assert position is None or position.exit_reason is ExitReason.NEVER_FILLED
            assert not box.portfolio.reservations
        else:
            assert box.levels() == {"stop": 59_000}
            assert position.status is PositionStatus.OPEN_PROTECTED
        assert len(box.venue.sent) <= 1

    perform(play)


@pytest.mark.parametrize("after_s", [n * COMMIT_S / 4 for n in range(25)])
def test_whenever_a_position_is_killed_while_it_closes_it_is_settled_and_forgotten(
    perform, after_s
):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(after_s)
        box.parts.system.kill(NAME)
        await box.soon(10)
        position = box.position()
        assert position.status is PositionStatus.CLOSED
        assert position.is_settled
        assert box.latest(NAME) is None
        assert box.parts.system.directory.get(NAME) is None
        assert not box.exchange.streams
        assert not box.feed.armed_since
        assert not box.levels()
        assert not box.portfolio.holdings
        assert await sold(box) == D("0.01")

    perform(play)


@pytest.mark.parametrize("after_s", [n * COMMIT_S / 4 for n in range(17)])
def test_whenever_a_position_is_killed_a_part_that_waits_for_the_disk_is_sold_once(
    perform, after_s
):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.tell(NAME, ClosePosition(pid(), part=D("0.5")))
        await box.soon(after_s)
        await box.restarted(NAME)
        await box.soon(10)
        assert await sold(box) == D("0.005")
        assert box.position().remaining == D("0.005")
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


def test_a_position_that_cannot_take_its_first_fill_is_left_alone_and_guarded_later(
    perform, monkeypatch
):
    async def play(box: Box) -> None:
        await box.start("60000")
        with monkeypatch.context() as patched:
            patched.setattr(position_guards, "planned_protection", _fails)
            assert (await box.open()).status is PositionStatus.QUARANTINED
            assert box.entry().status is OrderStatus.FILLED
        assert box.ears.codes() == ["ACTOR_CRASHED", "ACTOR_CRASHED", "QUARANTINED"]
        assert box.portfolio.holdings[pid()].ledger.remaining == D("0.01")
        await box.soon(61)  # its next life
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        box.say("58000")
        await box.soon()
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert not box.portfolio.holdings

    def _fails(*_: object) -> None:
        raise OverflowError("no such date")

    perform(play)


def test_a_position_that_never_heard_of_its_fill_does_not_close_as_never_filled(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        exchange = box.actor(names.EXCHANGE)
        tell = exchange.tell
        exchange.tell = lambda name, message: (
            (name == NAME and isinstance(message, FillReported)) or tell(name, message)
        )
        assert (await box.open()).status is PositionStatus.QUARANTINED
        del exchange.tell
        await box.soon(61)  # its next life asks
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        assert box.position().remaining == D("0.01")

    perform(play)


def test_a_fill_that_cannot_be_taken_is_no_reason_to_go_on_without_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        before = await box.open()
        none = a_fill("0", "60000", Side.BUY, before.entry.client_order_id)
        box.tell(NAME, FillReported(pid(), none))
        await box.soon()
        assert box.position().status is PositionStatus.QUARANTINED
        assert not box.letters("poison")
        await box.soon(61)
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


def test_a_message_that_cannot_be_handled_is_put_aside_and_changes_nothing(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        await box.open(number=2)
        before, sibling = box.position(), box.actor(names.position(pid(2)))
        crossed = Crossed(pid(), STOP, 1, D("NaN"), PriceSource.LAST, 1, "no price", box.now)
        box.tell(NAME, crossed)
        await box.soon()
        assert [name for name, _, _ in box.letters("poison")] == [NAME]
        assert box.position() == before
        assert box.actor(names.position(pid(2))) is sibling
        assert (await box.modify(MOVE, price=D(59_500))).refusal is None
        box.say("59500")
        await box.soon()
        assert box.position().status is PositionStatus.CLOSED

    perform(play)


def test_a_position_that_keeps_failing_is_left_alone_and_says_so(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        await box.open(number=2)
        for _ in range(6):
            box.parts.system.kill(NAME)
            await box.soon(0.1)
        assert box.position().status is PositionStatus.QUARANTINED
        assert "QUARANTINED" in box.ears.codes()
        assert isinstance(box.journal(NAME)[-1], PositionQuarantined)
        box.say("58000")
        await box.soon()
        assert box.position().status is PositionStatus.QUARANTINED  # hands off
        assert box.position(2).status is PositionStatus.CLOSED
        box.kill()

    async def second(box: Box) -> None:
        await box.start("58000")
        await box.soon()
        assert box.position().status is PositionStatus.CLOSED  # another life: its stop acts
        assert box.position().exit_reason is ExitReason.STOP_LOSS

    perform(first, second)


def test_a_position_in_quarantine_is_given_another_life_and_guarded_again(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        for _ in range(6):
            box.parts.system.kill(NAME)
            await box.soon(0.1)
        assert box.position().status is PositionStatus.QUARANTINED
        await box.soon(61)
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        box.say("58000")
        await box.soon()
        assert box.position().exit_reason is ExitReason.STOP_LOSS

    perform(play)


def test_a_position_that_fails_again_and_again_rests_longer(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        for _ in range(2):
            for _ in range(6):
                box.parts.system.kill(NAME)
                await box.soon(0.1)
            assert box.position().status is PositionStatus.QUARANTINED
            await box.soon(61)
        assert box.position().status is PositionStatus.QUARANTINED
        await box.soon(240)
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        assert (await box.close()).refusal is None

    perform(play)


def test_fills_for_a_quarantined_position_are_booked_when_it_lives_again(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.venue.submits = [answered_after(0.1)]
        box.disk.hold()
        box.tell(NAME, ClosePosition(pid()))
        for _ in range(6):
            box.parts.system.kill(NAME)
            await box.soon(0.1)
        box.disk.go_on()
        await box.soon()
        assert box.position().status is PositionStatus.QUARANTINED
        assert box.portfolio.holdings[pid()].ledger.remaining == 0
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon()
        assert box.position().remaining == 0
        assert len(exits(box)) == 0

    perform(first, second)


# --- commands always get an answer ---


def test_a_close_is_answered_in_every_state(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(limit="59900")
        assert (await box.close()).refusal is None
        await box.open(number=2)
        box.venue.submits = [answered_after(1.0)]
        box.venue.pushes = lambda update: ()
        assert (await box.close(2)).refusal is None
        assert (await box.close(2)).refusal.rule == "ALREADY_CLOSING"
        assert (await box.modify(MOVE, 2, price=D(59_500))).refusal.rule == "NOT_OPEN"

    perform(play)


def test_commands_for_a_position_that_has_just_closed_are_refused_by_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.say("59000")
        while not box.position().is_closed:
            await box.soon(COMMIT_S / 10)
        assert box.latest(NAME) is not None  # closed, not yet forgotten
        closing = asyncio.ensure_future(box.close())
        moving = asyncio.ensure_future(box.modify(MOVE, price=D(59_500)))
        assert (await closing).refusal.rule == "ALREADY_CLOSED"
        assert (await moving).refusal.rule == "NOT_OPEN"

    perform(play)


@pytest.mark.parametrize("after_s", [n * COMMIT_S / 4 for n in range(25)])
def test_whenever_a_command_meets_the_end_of_a_position_somebody_hears_of_it(perform, after_s):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.say("59000")
        await box.soon(after_s)
        answers = box.actor(names.EDGE)
        heard = answers.expect(RequestId("late"))
        told = box.parts.system.tell(NAME, ClosePosition(pid(), request_id=RequestId("late")))
        await box.soon()
        letters = [message for _, message, _ in box.letters()]
        is_letter = any(isinstance(message, ClosePosition) for message in letters)
        assert heard.done() != (is_letter or told is False)
        heard.cancel()

    perform(play)


def test_a_command_that_expired_is_refused(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        answered = await box.modify(MOVE, price=D(59_500), expires_at=box.now)
        assert answered.refusal is None
        before = box.now
        await box.soon(1)
        answered = await box.modify(MOVE, price=D(59_600), expires_at=before)
        assert answered.refusal.rule == "EXPIRED"
        assert box.position().protection.stop.price == 59_500

    perform(play)


# --- entries in parts ---


def test_a_stop_hit_while_the_entry_still_fills_sells_all_and_takes_the_rest_out(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.02", limit="59900")
        box.say("59890")
        await box.soon()
        assert 0 < box.position().remaining < D("0.02")
        assert box.levels() == {"stop": 59_000}
        box.venue.cancels = [never_arrives]  # so that the rest fills meanwhile
        box.say("58990", "58980")
        await box.soon(10)
        assert box.position().status is PositionStatus.CLOSED
        assert await box.paper.positions() == ()
        assert not await box.paper.open_orders()

    perform(play, config=IN_PARTS)


def test_an_exit_of_late_fills_that_is_refused_is_not_forgotten(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.02", limit="59900")
        box.say("59890")
        await box.soon()
        box.venue.cancels = [never_arrives]
        slow_then_refused = [answered_after(2.0), refused("BUSY")]
        box.venue.submits = slow_then_refused
        entry = box.position().entry.client_order_id
        first = box.position().remaining
        box.venue.pushes = lambda update: (update,) if _of(update) == entry else ()
        box.say("58990", "58980")  # the stop, then the rest of the entry
        await box.soon(0.1)
        box.venue.pushes = lambda update: (update,)
        await box.soon(10)
        assert first < D("0.02")
        assert box.position().status is PositionStatus.CLOSED
        assert await box.paper.positions() == ()

    perform(play, config=IN_PARTS)


def _of(update):
    return update.client_order_id if isinstance(update, Fill) else update.terms.client_order_id


def test_a_target_that_the_venue_cancels_halfway_is_armed_again_for_its_rest(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.04", plan=stop_at("59000", ("61000", "0.5")))
        await box.soon(2)
        box.say("61000")
        await box.soon(0.15)  # a first part has filled, the next is on its way
        (target,) = exits(box)
        box.paper._matching.cancel(BTC, target.client_order_id, box.now)
        box.paper._settle()
        part = await sold(box)
        assert 0 < part < D("0.02")
        await box.soon(2)  # the price is there still
        assert [terms.quantity for terms in exits(box)] == [D("0.02"), D("0.02") - part]
        assert await sold(box) == D("0.02")
        assert box.position().remaining == D("0.02")
        assert box.levels() == {"stop": 59_000}

    perform(play, config=SLOWLY_IN_PARTS)


def test_while_a_last_target_is_refused_again_and_again_the_stop_stays_watched(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", ("61000", "1")))
        box.venue.submits = [refused("BUSY")] * 8
        box.say("61000")
        await box.soon(2)
        assert len(exits(box)) > 3
        naked_s = 0.0
        for _ in range(300):
            await box.soon(0.01)
            naked_s = naked_s + 0.01 if "stop" not in box.levels() else 0.0
            assert naked_s < 0.1
        box.venue.submits = []
        box.say("58990")
        await box.soon()
        assert box.position().exit_reason is ExitReason.STOP_LOSS

    perform(play)


def test_a_part_that_is_refused_is_sold_as_a_part_later(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.venue.submits = [refused("BUSY"), refused("BUSY")]
        await box.close(part="0.3")
        await box.soon(2)
        assert await sold(box) == D("0.003")
        assert box.position().remaining == D("0.007")
        assert box.levels() == {"stop": 59_000}

    perform(play)


# --- time ---


def test_a_time_limit_survives_a_restart_and_fires_at_once_when_it_passed_meanwhile(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", max_holding_s=3600.0))
        await box.soon(3000)
        assert not exits(box)
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        assert not exits(box)
        await box.soon(650)
        assert box.position().exit_reason is ExitReason.TIME_EXIT

    perform(first, second)


def test_a_time_limit_that_passed_while_nobody_lived_fires_at_the_start(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", max_holding_s=60.0))
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon(1)
        assert box.position().exit_reason is ExitReason.TIME_EXIT

    perform(first, second, pause_s=600)


# --- shapes ---


def test_a_second_birth_under_the_same_id_does_not_disturb_the_first(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        position = await box.open()
        begin = BeginEntry(
            position_id=pid(),
            account=position.account,
            trader=position.trader,
            instrument=position.instrument,
            direction=position.direction,
            client_order_id=position.entry.client_order_id,
            quantity=D("0.01"),
            limit_price=None,
            leverage=D(1),
            plan=position.plan,
            expires_at=box.now,
        )
        supervisor = box.actor(names.POSITIONS)
        box.tell(names.POSITIONS, begin)
        await box.soon()
        assert box.actor(names.POSITIONS) is supervisor
        assert box.position() == position
        assert len(box.venue.sent) == 1

    perform(play)


def test_asking_for_more_of_a_position_that_is_held_is_answered(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        reserved = box.portfolio.reserved
        box.say("60000")
        answered = await box.ask(
            names.trader("manual"), lambda request_id: replace(box.request(), request_id=request_id)
        )
        assert answered.refusal.rule == "POSITION_EXISTS"
        await box.soon()
        assert box.portfolio.reserved == reserved
        assert box.position().remaining == D("0.01")
        assert box.actor(names.POSITIONS).incarnation == 1

    perform(play)


def test_the_journal_tells_a_life_in_order(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.say("59000")
        await box.soon()
        kinds = [type(event) for event in box.journal(NAME)]
        assert kinds.index(ProtectionSet) < kinds.index(ExitFired)
        assert kinds[-1] is PositionSettled
        assert box.order(exits(box)[0].client_order_id).status is OrderStatus.FILLED

    perform(play)
