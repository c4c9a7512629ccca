"""Exits wait until the venue has told what it knows.

That must not grow with what has long been booked, and a doubt must end as soon as it can.
"""

from datetime import timedelta

from actors.doubt import AFTER_A_STEP
from domain.order import OrderAdopted, OrderFilled, OrderStatus
from domain.position import PositionStatus
from tests.actors.box import Box, pid, stop_at
from tests.actors.faulty_venue import never_arrives


def test_orders_whose_end_is_journaled_are_not_asked_for_after_a_start(perform):
    async def trade(box: Box) -> None:
        await box.start("60000")
        for number in range(1, 5):
            await box.open(number=number)
        for number in range(2, 5):
            assert (await box.close(number)).refusal is None
        await box.soon()
        box.kill()

    async def again(box: Box) -> None:
        await box.start("60000")
        assert box.exchange.reconciled
        assert box.venue.asked == []
        box.say("58000")
        await box.soon()
        assert box.position(1).status is PositionStatus.CLOSED

    perform(trade, again)


def test_an_order_that_ended_while_nobody_listened_is_asked_for_by_its_id(perform):
    """It rested when the daemon died, and rests no more: no fill tells that."""

    async def rest(box: Box) -> None:
        await box.start("60000")
        await box.open(limit="59500")
        assert box.entry().status is OrderStatus.OPEN
        box.kill()

    async def again(box: Box) -> None:
        order_id = box.position().entry.client_order_id
        await box.parts.venue.start(lambda _update: None)
        await box.parts.venue.cancel(box.position().instrument.symbol, order_id)
        await box.start("60000")
        assert box.venue.asked == [order_id]
        assert box.entry().status is OrderStatus.CANCELED
        assert box.position().status is PositionStatus.CLOSED
        assert not box.portfolio.reservations

    perform(rest, again)


def test_an_exit_that_never_left_is_sent_anew_the_moment_that_is_proven(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000"))
        box.venue.submits.append(never_arrives)
        box.say("58990")  # no answer for 5 s; it may have left then, and has 5 s more to arrive
        await box.soon(10.6)
        sent = [terms.client_order_id for terms in box.venue.sent if terms.reduce_only]
        assert len(set(sent)) == len(sent) == 2
        assert box.position(1).status is PositionStatus.CLOSED

    perform(play)


def test_fills_of_other_orders_meanwhile_do_not_prolong_a_doubt(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.venue.submits.append(never_arrives)
        box.say("58990")
        for number in range(2, 40):  # the net position moves all the time
            box.say("58990.1")
            await box.open(number=number, plan=stop_at("50000"))
            if box.latest(f"position/{pid(1)}") is None:
                break
        assert box.position(1).status is PositionStatus.CLOSED
        assert number < 26  # half a second each: 5 s for the answer, 5 to arrive, the other exit

    perform(play)


def test_a_fill_found_after_one_crash_reaches_its_position_after_the_next(perform):
    """The exchange starts before the positions do: what it tells must wait for them."""

    async def fires(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.disk.hold()
        box.say("58990")
        await box.soon(0.05)
        assert len(box.venue.sent) == 2
        box.kill()  # the venue has sold, the journal knows nothing of it

    async def finds(box: Box) -> None:
        def die_once_it_is_found() -> None:
            if sum(isinstance(event, OrderFilled) for event in box.journal()) == 2:
                box.kill()

        box.disk.on_done = die_once_it_is_found
        await box.start()
        assert box.is_dead

    async def again(box: Box) -> None:
        adopted = [event for event in box.journal() if isinstance(event, OrderAdopted)]
        assert len(adopted) == 1
        filled = [event for event in box.journal() if isinstance(event, OrderFilled)]
        assert len(filled) == 2
        assert len(box.position().fills) == 1
        await box.start()
        assert len(box.position().fills) == 2
        assert box.position().status is PositionStatus.CLOSED
        assert not box.letters("unknown")

    perform(fires, finds, again)


def test_an_order_of_which_the_venue_says_nothing_usable_keeps_no_other_exit_waiting(perform):
    async def rest(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1, limit="59500")
        await box.open(number=2, plan=stop_at("59000"))
        assert box.entry(1).status is OrderStatus.OPEN
        box.kill()

    async def again(box: Box) -> None:
        order_id = box.position(1).entry.client_order_id
        await box.parts.venue.start(lambda _update: None)
        await box.parts.venue.cancel(box.position(1).instrument.symbol, order_id)
        box.venue.mute = {order_id}
        await box.start("58000")
        await box.soon(2)
        assert box.position(2).status is PositionStatus.CLOSED
        box.venue.mute = set()
        await box.soon(10)
        assert box.entry(1).status is OrderStatus.CANCELED

    perform(rest, again)


def test_what_was_booked_long_ago_is_not_read_again(perform):
    async def hold(box: Box) -> None:
        await box.start("60000")
        await box.open()
        for _ in range(20):
            box.say("60000")
            await box.soon(60)
        box.kill()

    async def again(box: Box) -> None:
        await box.start("60000")
        assert box.exchange.reconciled
        (since,) = box.venue.fills_since
        assert since is not None
        assert since - (box.position().intended_at - AFTER_A_STEP) > timedelta(minutes=15)
        box.say("58000")
        await box.soon()
        assert box.position().status is PositionStatus.CLOSED

    perform(hold, again)
