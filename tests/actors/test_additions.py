"""Scaling in, from a person's wish to the venue and back: a whole daemon in virtual time."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from actors import names
from actors.messages import PauseTrader, SetTraderLimits
from domain.commands import AddToPosition, SizeBy
from domain.ids import MANUAL, identity_of
from domain.instrument import Direction
from domain.limit_changes import TraderOverrides
from domain.order import OrderStatus
from domain.portfolio_events import EntryReserved, ReservationReleased
from domain.position import PositionStatus
from domain.position_events import AdditionIntended
from tests.actors.box import Box, pid, stop_at
from tests.actors.faulty_venue import answer_lost, broken_line, never_arrives

D = Decimal
_S = OrderStatus


def silent(_update):
    """The venue's private stream says nothing."""
    return ()


def wish(quantity: str = "0.01", number: int = 1, **others):
    return AddToPosition(pid(number), SizeBy.QUANTITY, D(quantity), **others)


async def add(box: Box, quantity: str = "0.01", *, wait_s: float = 0.5, **others):
    """Ask for an addition as a person would."""
    box.say(box.parts.world.prices.prices["BTC/USDT"].last)  # still fresh
    command = wish(quantity, **others)
    answered = await box.ask(
        names.trader(MANUAL), lambda request_id: replace(command, request_id=request_id)
    )
    await box.soon(wait_s)
    return answered


def additions_sent(box: Box) -> list[str]:
    sent = [identity_of(terms.client_order_id).leg for terms in box.venue.sent]
    return [leg for leg in sent if leg.startswith("entry-") and leg != "entry-0"]


async def books_agree(box: Box) -> None:
    """Venue, orders, position and portfolio tell the same."""
    fills = {fill.trade_id for fill in await box.paper.fills(None)}
    position = box.position()
    assert {fill.trade_id for fill in position.fills} == fills
    held = {each.quantity for each in await box.paper.positions()}
    assert held == ({position.remaining * position.direction.sign} if position.remaining else set())
    if not position.is_closed:
        holding = box.portfolio.holdings[position.id]
        assert holding.ledger == position.ledger
        assert holding.trade_ids == fills
    assert not box.portfolio.reservations


def test_an_addition_is_reserved_intended_and_sent_and_its_stop_covers_the_whole(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        box.say("61000")
        assert (await add(box, "0.03")).refusal is None

        position = box.position()
        assert additions_sent(box) == ["entry-1"]
        assert (position.remaining, position.entry_price) == (D("0.04"), 60750)
        assert position.status is PositionStatus.OPEN_PROTECTED
        await books_agree(box)
        box.say("58990")
        await box.soon()
        assert box.venue.sent[-1].quantity == D("0.04")
        assert box.position().is_closed
        await books_agree(box)

    perform(play)


def test_additions_to_a_short_sell_more(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01", stop_at("61000"), direction=Direction.SHORT)
        await add(box, "0.01")
        await add(box, "0.01")

        assert additions_sent(box) == ["entry-1", "entry-2"]
        assert box.position().remaining == D("0.03")
        await books_agree(box)

    perform(play)


def test_a_second_addition_while_one_works_is_refused_and_reserves_nothing(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        await add(box, limit_price=D(59500))
        reserved = box.portfolio.reserved

        refusal = (await add(box)).refusal

        assert refusal.rule == "ADDITION_UNDER_WAY"
        assert box.portfolio.reserved == reserved > 0
        assert additions_sent(box) == ["entry-1"]

    perform(play)


def test_two_additions_asked_for_at_once_are_one(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        box.tell(names.trader(MANUAL), wish())
        box.tell(names.trader(MANUAL), wish())
        await box.soon()

        assert additions_sent(box) == ["entry-1"]
        assert box.position().remaining == D("0.02")
        await books_agree(box)

    perform(play)


def test_a_stop_that_fires_between_approval_and_intent_refuses_the_addition(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        box.tell(names.trader(MANUAL), wish())  # reserved, and on its way to the disk
        box.say("58990")
        await box.soon()

        assert box.position().is_closed
        assert additions_sent(box) == []
        assert not box.portfolio.reservations
        events = box.journal(names.portfolio("paper"))
        assert [type(each) for each in events if isinstance(each, EntryReserved)][1:]
        assert any(isinstance(each, ReservationReleased) for each in events)

    perform(play)


def test_the_limits_of_the_positions_trader_hold_for_the_whole(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.02", stop_at("59000"))  # loses 20 at its stop
        limits = TraderOverrides(max_risk_ratio=D("0.0003"))  # 30 of 100,000
        await box.ask(
            names.trader(MANUAL),
            lambda request_id: SetTraderLimits(MANUAL, limits, False, "ada", request_id),
        )

        refusal = (await add(box, "0.02")).refusal

        assert refusal.rule == "MAX_RISK_TRADER"
        assert (await add(box, "0.009")).refusal is None
        await books_agree(box)

    perform(play)


@pytest.mark.parametrize("fault", [answer_lost, broken_line])
def test_an_addition_whose_answer_is_lost_is_unknown_until_the_venue_tells(perform, fault):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        box.venue.submits, box.venue.pushes = [fault], silent
        await add(box, wait_s=0.1)
        order_id = box.position().additions[0].client_order_id
        assert box.order(order_id).status in {_S.SENDING, _S.UNKNOWN}
        assert (await add(box)).refusal.rule == "ADDITION_UNDER_WAY"
        await box.soon(12)

        arrived = fault is answer_lost
        assert box.order(order_id).status is (_S.FILLED if arrived else _S.ABSENT)
        assert box.position().remaining == (D("0.02") if arrived else D("0.01"))
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        assert additions_sent(box) == ["entry-1"]
        await books_agree(box)

    perform(play)


def test_an_addition_that_fills_while_the_position_closes_is_closed_too(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        box.venue.submits = [answer_lost]
        box.venue.pushes = silent
        await add(box, wait_s=0.05)
        box.venue.pushes = lambda update: (update,)
        await box.close()
        await box.soon(15)

        assert box.position().is_closed
        assert box.position().entry_quantity == D("0.02")
        await books_agree(box)

    perform(play)


def test_closing_takes_a_resting_addition_out(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        await add(box, limit_price=D(59500))
        order_id = box.position().additions[0].client_order_id

        await box.close()
        await box.soon(5)

        assert box.position().is_closed
        assert box.order(order_id).status is _S.CANCELED
        await books_agree(box)

    perform(play)


@pytest.mark.parametrize("moment", ["written", "told"])
@pytest.mark.parametrize("commits", range(7))
@pytest.mark.parametrize("arrives", [True, False])
def test_a_crash_at_any_step_of_an_addition_loses_and_repeats_nothing(
    perform, moment, commits, arrives
):
    sent: list[str] = []

    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        if not arrives:
            box.venue.submits = [never_arrives]
        left = [commits]

        def die_in_time() -> None:
            left[0] -= 1
            if left[0] < 0:
                sent.extend(additions_sent(box))
                box.kill()

        if moment == "written":
            box.disk.on_done = die_in_time
        else:
            box.disk.on_told = die_in_time
        box.tell(names.trader(MANUAL), wish())
        await box.soon(20)
        if not box.is_dead:
            sent.extend(additions_sent(box))
            box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon(15)
        assert additions_sent(box) == []  # what was asked for once is not sent again
        position = box.position()
        if not sent or not arrives:
            assert position.remaining == D("0.01")
        else:
            assert position.remaining == D("0.02")
        assert position.status is PositionStatus.OPEN_PROTECTED
        assert all(each.status is not _S.INTENT for each in position.additions)
        assert set(box.levels()) == {"stop"}
        await books_agree(box)
        assert (await add(box)).refusal is None  # and it may be added to again
        assert box.position().additions[-1].status is _S.FILLED
        await books_agree(box)

    perform(first, second, pause_s=30)


@pytest.mark.parametrize("victim", [names.PORTFOLIO, names.EXCHANGE, names.position(pid())])
@pytest.mark.parametrize("after_s", [0.0, 0.0008, 0.0017, 0.003])
def test_an_actor_that_dies_while_an_addition_is_made_loses_and_repeats_nothing(
    perform, victim, after_s
):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        box.tell(names.trader(MANUAL), wish())
        await box.soon(after_s)
        box.killed(victim)
        await box.soon(20)

        position = box.position()
        assert additions_sent(box) in ([], ["entry-1"])
        assert position.remaining == D("0.01") * (1 + len(additions_sent(box)))
        assert position.status is PositionStatus.OPEN_PROTECTED
        assert all(each.status is not _S.INTENT for each in position.additions)
        await books_agree(box)

    perform(play)


def test_a_paused_traders_positions_are_not_added_to(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        await box.ask(names.trader(MANUAL), lambda request_id: PauseTrader(MANUAL, request_id))

        assert (await add(box)).refusal.rule == "TRADER_PAUSED"
        assert additions_sent(box) == []
        assert not any(
            isinstance(each, AdditionIntended) for each in box.journal(names.position(pid()))
        )

    perform(play)
