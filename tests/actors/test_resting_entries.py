"""Entries that rest at a limit: who cancels them before they fill, and who does not."""

import pytest

from actors import names
from actors.messages import ClearCause, ResumeEntries, SetCause, StopEntries
from domain import modes
from domain.commands import ProtectionPlan
from domain.modes import Mode, ModeCause
from domain.order import OrderStatus
from domain.portfolio import evolve as portfolio_after
from domain.portfolio_events import EntriesStopped
from domain.position import PositionStatus
from domain.protection import ExitReason
from tests.actors.box import CONFIG, Box, D, stop_at
from tests.actors.faulty_venue import answer_lost
from tests.actors.test_additions import add

FAR = stop_at("50000")


async def with_resting(box: Box, plan: ProtectionPlan = FAR) -> None:
    """Hold one unit, with an addition that rests; let the entry of another position rest."""
    await box.start("60000")
    await box.open("1", plan)
    assert (await add(box, "0.1", limit_price=D(57_000))).refusal is None
    await box.open("0.1", plan, number=2, limit="57000")


async def fall(box: Box) -> None:
    for price in ("59500", "58900", "58300", "57700"):
        box.say(price)
        await box.soon(1.5)


async def stop_entries(box: Box) -> None:
    answered = await box.ask(names.PORTFOLIO, lambda request_id: StopEntries(request_id, "me"))
    assert answered.refusal is None
    await box.soon()


def assert_withdrawn(box: Box) -> None:
    assert box.position(2).exit_reason is ExitReason.NEVER_FILLED
    assert box.position(1).additions[0].status is OrderStatus.CANCELED
    assert not box.position(1).is_closed
    assert box.position(1).remaining == 1
    assert not box.portfolio.reservations


@pytest.mark.parametrize(
    ("limit", "value", "code"),
    [
        ("daily_drawdown_ratio", "0.02", modes.DAILY_DRAWDOWN),
        ("daily_loss_cap", "2000", modes.DAILY_LOSS),
    ],
)
def test_a_limit_of_the_day_cancels_them_additions_too(perform, limit, value, code):
    async def play(box: Box) -> None:
        await with_resting(box, stop_at(None))  # no risk that a limit could forbid
        await fall(box)
        assert code in {cause.code for cause in box.portfolio.causes}
        assert_withdrawn(box)
        box.say("56900")
        await box.soon()
        assert box.position(1).remaining == 1

    perform(play, config=CONFIG.replace("daily_drawdown_ratio: 1", f"{limit}: {value}"))


def test_an_operators_stop_cancels_them_and_taking_it_back_does_not_bring_them_back(perform):
    async def play(box: Box) -> None:
        await with_resting(box)
        await stop_entries(box)
        assert_withdrawn(box)
        await box.ask(names.PORTFOLIO, lambda request_id: ResumeEntries(request_id, "me"))
        box.say("56900")
        await box.soon()
        assert box.position(1).remaining == 1

    perform(play)


def test_a_stop_that_a_crash_kept_from_canceling_them_is_finished_after_it(perform):
    async def first(box: Box) -> None:
        await with_resting(box)
        portfolio = box.actor(names.PORTFOLIO)
        stopped = EntriesStopped(modes.operator_stop("me"), box.now)
        portfolio.journal(portfolio.stream, (stopped,), portfolio_after)
        await box.soon(0.01)
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon(3)
        assert_withdrawn(box)

    perform(first, second)


def test_a_cancel_whose_answer_is_lost_comes_through_all_the_same(perform):
    async def play(box: Box) -> None:
        await with_resting(box)
        box.venue.cancels += [answer_lost, answer_lost]
        await stop_entries(box)
        await box.soon(10)
        assert_withdrawn(box)

    perform(play)


@pytest.mark.parametrize("code", ["FEED_DOWN", "RECONCILING", "VENUE_DOWN", modes.DRAINING])
def test_a_cause_of_the_moment_cancels_nothing(perform, code):
    """Nor does leaving the paper venue, whose world stops with us."""

    async def play(box: Box) -> None:
        await with_resting(box)
        box.tell(names.PORTFOLIO, SetCause(ModeCause(code, Mode.NO_ENTRY, "", "")))
        await box.soon(3)
        box.tell(names.PORTFOLIO, ClearCause(code))
        box.say("56900")
        await box.soon()
        assert box.position(2).remaining == D("0.1")
        assert box.position(1).remaining == D("1.1")

    perform(play)


def test_leaving_a_venue_that_lives_on_cancels_them(perform):
    async def play(box: Box) -> None:
        await with_resting(box)
        box.parts.world.is_distant = True
        box.tell(names.PORTFOLIO, SetCause(ModeCause(modes.DRAINING, Mode.NO_ENTRY, "", "")))
        await box.soon()
        assert_withdrawn(box)

    perform(play)


def test_an_entry_whose_position_is_quarantined_is_canceled_too(perform):
    async def play(box: Box) -> None:
        await with_resting(box)
        for _ in range(6):
            box.parts.system.kill(names.position(box.position(2).id))
            await box.soon(0.1)
        assert box.position(2).status is PositionStatus.QUARANTINED
        await stop_entries(box)
        assert box.entry(2).status is OrderStatus.CANCELED
        assert not box.portfolio.reservations
        await box.soon(61)  # its next life
        assert_withdrawn(box)

    perform(play)
