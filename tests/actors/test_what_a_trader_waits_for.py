"""A wish is one wish: while it is under way no second one is made, and an old one is dropped."""

import pytest

from actors import names, wishes
from domain.ids import TraderName
from domain.position import PositionStatus
from domain.protection import ExitReason
from domain.trader_state import DecisionMade, DecisionRefused
from exchanges.port import Unknown
from storage.errors import JournalUnavailableError, Trouble
from tests.actors.box import COMMIT_S, Box, D
from tests.actors.faulty_venue import refused
from tests.actors.test_trader_actor import (
    NAME,
    ROBOT,
    WITH_ROBOT,
    Scripted,
    candles,
    own,
    state,
)

BIG = WITH_ROBOT.replace("value: 600", "value: 6000")


@pytest.fixture
def trade(perform):
    """Run plays with a trader that follows a script."""

    def run(script, *plays, config=WITH_ROBOT, **options):
        Scripted.views.clear()
        perform(*plays, config=config, strategies={ROBOT: Scripted(script=script)}, **options)

    return run


def test_while_an_entry_rests_the_trader_is_not_free_however_long_that_takes(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 12)  # twice as long as a lost wish is waited for
        assert [view.is_free for view in Scripted.views] == [True] + [False] * 11
        assert {view.held for view in Scripted.views} == {None}
        (position,) = own(box)
        assert position.status is PositionStatus.ENTRY_PENDING
        box.say("59400")
        await box.soon()
        await candles(box, 1, "59400")
        assert Scripted.views[-1].held.position_id == position.id
        assert len(box.venue.sent) == 1

    trade("R" * 13, play)


def test_so_it_is_after_a_restart(trade):
    async def first(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await candles(box, 8)
        assert [(view.is_free, view.held) for view in Scripted.views[1:]] == [(False, None)] * 8
        assert len(own(box)) == 1

    trade("R" * 9, first, second)


def test_while_nobody_knows_what_became_of_an_entry_the_trader_is_not_free(trade):
    async def play(box: Box) -> None:
        await box.start("60000")

        async def lost(request):
            await request()
            return Unknown("no answer")

        def submit(request):
            box.venue.pushes = lambda update: ()
            box.venue.reads_fail = True
            return lost(request)

        box.venue.submits.append(submit)
        await candles(box, 9)
        assert not any(view.is_free for view in Scripted.views[1:])
        assert len(box.venue.sent) == 1

    trade("L" * 9, play)


def is_withdrawn(box: Box) -> bool:
    """Whether its resting entry is canceled everywhere."""
    return not own(box) and not box.portfolio.reservations and not box.portfolio.holdings


def test_an_entry_that_rests_is_canceled_by_a_close_and_the_trader_is_free_again(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 2)
        entered, closed = [each for each in box.journal(NAME) if isinstance(each, DecisionMade)]
        assert (closed.action, closed.position_id) == ("CLOSE", entered.position_id)
        assert is_withdrawn(box)
        assert not await box.paper.open_orders()
        await candles(box, 1)
        assert [view.is_entering for view in Scripted.views] == [False, True, False]
        assert len(own(box)) == 1
        assert len(box.venue.sent) == 2

    trade("RCL", play)


def test_so_it_is_where_the_entry_is_of_an_earlier_life(trade):
    async def first(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        assert len(own(box)) == 1
        await candles(box, 1)
        assert is_withdrawn(box)

    trade("RC", first, second)


def test_a_cancel_that_was_decided_just_before_a_crash_is_made_after_it(trade):
    async def second(box: Box) -> None:
        assert len(own(box)) == 1
        await box.start("60000")
        box.say("60000")
        await box.soon(1)
        assert is_withdrawn(box)

    trade("RC", dies_with_its_second_decision, second)


@pytest.mark.parametrize("letter", ["H", "S", "A"])
def test_but_what_else_is_wanted_of_a_position_leaves_an_entry_that_rests(trade, letter):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 2)
        (position,) = own(box)
        assert (position.status, position.withdrawn) == (PositionStatus.ENTRY_PENDING, None)

    trade("R" + letter, play)


@pytest.mark.parametrize("after_s", [n * COMMIT_S / 2 for n in range(12)])
@pytest.mark.parametrize("victim", ["trader", "portfolio", "exchange"])
def test_whoever_is_killed_while_it_asks_one_entry_rests(trade, victim, after_s):
    async def play(box: Box) -> None:
        await box.start("60000")
        while state(box).decisions == 0:
            box.say("60000")
            await box.soon(COMMIT_S if box.loop.time() > 5.98 else 0.1)  # the candle ends at 6 s
        await box.soon(after_s)
        box.parts.system.kill(NAME if victim == "trader" else victim)
        await box.soon(3)
        for _ in range(16):  # a lost wish is given up after 30 s
            await candles(box, 1)
        assert len(own(box)) == 1
        assert len(box.venue.sent) == 1

    trade("R" * 20, play)


def break_disk(box: Box):
    """Let nothing be written until what is returned is called."""
    database = box.store.database
    real = database.transaction, database.reopen

    def fail():
        raise JournalUnavailableError(next(iter(Trouble)), "full")

    def mend():
        database.transaction, database.reopen = real

    database.transaction = database.reopen = fail
    return mend


@pytest.mark.parametrize("script", ["LHHH", "LCCC"])
def test_closes_that_could_not_be_written_in_time_are_dropped_and_recorded(trade, script):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        (position,) = own(box)
        mend = break_disk(box)
        for _ in range(30):
            box.say("60000")
            await box.soon(1)
        box.say("61000")
        mend()
        await box.soon(3)
        (still,) = own(box)
        assert still.remaining == position.remaining
        assert len(box.venue.sent) == 1
        dropped = [event for event in box.journal(NAME) if isinstance(event, DecisionRefused)]
        assert [event.rule for event in dropped] == ["EXPIRED"] * 3
        decisions = [
            event.decision_id for event in box.journal(NAME) if hasattr(event, "confidence")
        ]
        assert [event.decision_id for event in dropped] == decisions[1:]
        told = [message for code, message in box.ears.alarms if code == "CLOSE_EXPIRED"]
        assert told == [f"robot's close was dropped; by hand: holdfast close {position.id}"] * 3

    trade(script, play, config=BIG)


async def dies_with_its_second_decision(box: Box) -> None:
    """Open, then die when the next decision is written and nobody was told."""
    await box.start("60000")
    await candles(box, 1)
    assert len(own(box)) == 1
    connection = box.store.database.connection

    def look() -> None:
        sql = "SELECT count(*) FROM journal WHERE type = 'DecisionMade'"
        if connection.execute(sql).fetchone()[0] == 2:
            box.kill()

    box.disk.on_done = look
    while not box.is_dead:
        box.say("60000")
        await box.soon(1)


def test_a_close_that_was_decided_just_before_a_crash_is_made_after_it(trade):
    async def second(box: Box) -> None:
        (position,) = own(box)
        assert state(box).closes["BTC/USDT"].position_id == position.id
        await box.start("60000")
        box.say("60000")
        await box.soon(1)
        assert box.position_of(position.id).exit_reason is ExitReason.DECISION_CLOSE
        assert len(box.venue.sent) == 1  # not before there was a price to close at

    trade("LC", dies_with_its_second_decision, second)


@pytest.mark.parametrize("after_s", [n * COMMIT_S / 2 for n in range(16)])
def test_killed_at_any_moment_of_a_close_it_is_made_once(trade, after_s):
    sold = []

    async def first(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        while state(box).decisions < 2:
            box.say("60000")
            await box.soon(COMMIT_S)
        await box.soon(after_s)
        sold.extend(terms.client_order_id for terms in box.venue.sent[1:])
        box.kill()

    async def second(box: Box) -> None:
        decided = [event for event in box.journal(NAME) if hasattr(event, "confidence")]
        await box.start("60000")
        box.say("60000")
        await box.soon(3)
        sold.extend(terms.client_order_id for terms in box.venue.sent)
        is_closed = not own(box)
        assert is_closed == (len(decided) == 2)  # else it was not durable: nothing is known of it
        assert len(set(sold)) == is_closed
        assert bool(await box.paper.positions()) != is_closed

    trade("LC", first, second)


@pytest.mark.parametrize("script", ["LC", "RC"])
def test_a_close_that_was_decided_long_before_a_start_is_not_but_a_person_hears_once(trade, script):
    async def later(box: Box, times: int) -> None:
        await box.start("60000")
        box.say("60000")
        await box.soon(1)
        (position,) = own(box)
        told = [message for code, message in box.ears.alarms if code == "CLOSE_EXPIRED"]
        message = f"robot's close was dropped; by hand: holdfast close {position.id}"
        assert told == [message] * times
        assert state(box).last_refusal.rule == "EXPIRED"
        assert position.withdrawn is None
        box.kill()

    trade(
        script,
        dies_with_its_second_decision,
        lambda box: later(box, 1),
        lambda box: later(box, 0),
        pause_s=10.0,
    )


def test_a_close_that_its_position_knows_of_is_no_dropped_one(trade):
    async def first(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        box.venue.submits.extend([refused("50001")] * 1000)
        while state(box).decisions < 2:
            box.say("60000")
            await box.soon(COMMIT_S)
        await box.soon(1)
        (position,) = own(box)
        assert position.exits[0].reason is ExitReason.DECISION_CLOSE
        box.kill()

    async def second(box: Box) -> None:
        assert len(own(box)) == 1
        await box.start("60000")
        box.say("60000")
        await box.soon(1)
        assert "CLOSE_EXPIRED" not in box.ears.codes()

    trade("LC", first, second, pause_s=10.0)


def test_nor_is_a_part_that_may_have_been_closed_already(trade):
    async def second(box: Box) -> None:
        await box.start("60000")
        box.say("60000")
        await box.soon(1)
        assert own(box)[0].remaining == D("0.1")

    trade("LH", dies_with_its_second_decision, second, config=BIG)


def test_nor_is_a_close_of_an_older_version_that_may_have_been_of_a_part(trade, monkeypatch):
    monkeypatch.setattr(wishes, "part_of", lambda decision: None)  # it did not journal how much

    async def second(box: Box) -> None:
        assert state(box).closes["BTC/USDT"].part is None
        await box.start("60000")
        box.say("60000")
        await box.soon(1)
        assert own(box)[0].remaining == D("0.1")

    trade("LC", dies_with_its_second_decision, second, config=BIG)


def test_the_journal_says_how_much_a_decision_closes(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 3)
        parts = [event.part for event in box.journal(NAME) if isinstance(event, DecisionMade)]
        assert parts == [None, D("0.5"), D(1)]

    trade("LHC", play, config=BIG)


def test_a_close_that_was_told_is_not_made_twice_by_a_trader_that_starts_again(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        (position,) = own(box)
        while state(box).decisions < 2:
            box.say("60000")
            await box.soon(COMMIT_S)
        await box.soon(2 * COMMIT_S)
        box.parts.system.kill(names.trader(TraderName("robot")))
        await box.soon(1)
        assert box.position_of(position.id).exit_reason is ExitReason.DECISION_CLOSE
        assert len(box.venue.sent) == 2
        assert not await box.paper.positions()

    trade("LC", play)
