"""The exchange actor against a venue that goes wrong in every way a venue can."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from actors import names
from actors.messages import Settled
from domain.effects import AskOrders, CancelOrder, SubmitOrder
from domain.ids import MANUAL, ClientOrderId, TradeId
from domain.instrument import Side
from domain.modes import Mode
from domain.money import Fee
from domain.order import (
    Fill,
    OrderBecameUnknown,
    OrderCanceled,
    OrderFilled,
    OrderFoundAbsent,
    OrderIntended,
    OrderStatus,
    OrderTerms,
    OrderType,
)
from domain.position import PositionStatus
from domain.position_events import ExitFired
from domain.protection import ExitReason
from exchanges.port import Unknown, VenueOrder, VenuePosition
from tests.actors.box import BTC, CONFIG, Box, pid, stop_at
from tests.actors.faulty_venue import (
    answer_lost,
    answered_after,
    arrives_after,
    broken_line,
    never_arrives,
    refused,
    reset,
)

D = Decimal
_S = OrderStatus
IN_PARTS = CONFIG.replace("latency_ms: 0", "latency_ms: 0, partial_fill_chance: 1")


def silent(update):
    """A private stream that reports nothing."""
    return ()


def silent_about(order_id):
    """A private stream that leaves one order out."""

    def pushes(update):
        of = update.client_order_id if isinstance(update, Fill) else update.terms.client_order_id
        return () if of == order_id else (update,)

    return pushes


def statuses(box, order_id):
    """Return the statuses that an order went through, as journaled."""
    stream = names.order_stream(order_id)
    evolve = box.store.registry.kind_of(stream).evolve
    order, found = None, []
    for event in box.journal(stream):
        order = evolve(order, event)
        found.append(order.status)
    return found


async def fills_at_venue(box):
    return await box.paper.fills(None)


# --- sending ---


def test_an_entry_leaves_only_when_its_intent_is_in_the_file(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        found = []

        def look(request):
            found.extend(type(each) for each in box.journal() if isinstance(each, OrderIntended))
            return request()

        box.venue.submits = [look]
        await box.open()
        assert found == [OrderIntended]

    perform(play)


def test_an_entry_stays_here_while_the_disk_does_not_answer(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.disk.hold()
        box.tell(names.trader(MANUAL), box.request())
        await box.soon(3)
        assert not box.venue.sent
        box.disk.go_on()
        await box.soon()
        assert len(box.venue.sent) == 1
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


def test_an_armed_exit_leaves_at_the_price_that_fires_it_whatever_the_disk_does(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.disk.hold()
        box.say("58990")
        assert [terms.reduce_only for terms in box.venue.sent] == [False, True]
        assert not [event for event in box.journal() if isinstance(event, ExitFired)]
        await box.soon(5)
        box.disk.go_on()
        await box.soon()
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert box.position().fills[-1].price == 58_990

    perform(play)


def test_an_entry_that_expired_before_it_could_be_intended_is_denied(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.tell(names.trader(MANUAL), box.request())
        while box.latest(names.position(pid())) is None:
            await box.soon(0.0001)
        box.disk.hold()  # the position's intent waits for the disk, and its order with it
        await box.soon(10)
        box.disk.go_on()
        await box.soon()
        assert not box.venue.sent
        assert box.entry().status is _S.DENIED
        assert box.position().exit_reason is ExitReason.NEVER_FILLED
        assert not box.portfolio.reservations

    perform(play)


def test_an_entry_that_expired_while_its_intent_was_written_is_denied(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.tell(names.trader(MANUAL), box.request())
        while not box.exchange.streams:
            await box.soon(0.0001)
        box.disk.hold()  # now it is the order's own intent that waits
        await box.soon(600)
        box.say("70000")
        box.disk.go_on()
        await box.soon()
        assert not box.venue.sent
        assert box.entry().status is _S.DENIED
        assert not box.portfolio.reservations

    perform(play)


def test_an_order_canceled_before_its_intent_is_durable_is_never_sent(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.tell(names.trader(MANUAL), box.request())
        while not box.exchange.streams:
            await box.soon(0.0001)
        box.disk.hold()
        (order_id,) = (
            stream.state.terms.client_order_id for stream in box.exchange.streams.values()
        )
        box.tell(names.EXCHANGE, CancelOrder(order_id, BTC))
        await box.soon(1)
        box.disk.go_on()
        await box.soon()
        assert not box.venue.sent
        assert box.position().exit_reason is ExitReason.NEVER_FILLED

    perform(play)


def test_an_order_that_is_known_is_not_sent_again(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        (terms,) = box.venue.sent
        box.tell(names.EXCHANGE, SubmitOrder(terms))
        await box.soon()
        assert len(box.venue.sent) == 1
        assert len(box.position().fills) == 1

    perform(play)


# --- answers that do not come ---


@pytest.mark.parametrize("fault", [answer_lost, reset])
def test_an_order_whose_answer_is_lost_is_found_by_asking_and_never_sent_again(perform, fault):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits, box.venue.pushes = [fault], silent
        await box.open()
        await box.soon(10)
        assert len(box.venue.sent) == 1
        assert _S.UNKNOWN in statuses(box, box.venue.sent[0].client_order_id)
        assert box.entry().status is _S.FILLED
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


@pytest.mark.parametrize("fault", [never_arrives, broken_line])
def test_an_order_that_never_arrived_is_absent_once_everything_agrees_and_time_has_passed(
    perform, fault
):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits = [fault]
        began_s = box.loop.time()
        await box.open()
        while not box.position().is_closed:
            await box.soon(0.1)
        assert box.loop.time() - began_s >= 5
        assert box.entry().status is _S.ABSENT
        assert box.position().exit_reason is ExitReason.NEVER_FILLED
        assert len(box.venue.sent) == 1
        assert not box.portfolio.reservations
        assert not box.portfolio.holdings

    perform(play)


def test_a_proof_that_other_fills_disturbed_is_tried_again_soon(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        began_s, asked = box.loop.time(), box.venue.positions

        async def disturbed():
            if box.loop.time() - began_s < 5.3:
                return (VenuePosition(BTC, D("1"), D("60000")),)
            return await asked()

        box.venue.submits, box.venue.positions = [broken_line], disturbed
        await box.open()
        while not box.position().is_closed:
            await box.soon(0.1)
        assert 5.3 <= box.loop.time() - began_s < 7
        assert box.entry().status is _S.ABSENT

    perform(play)


def test_an_order_stays_unknown_and_keeps_its_reservation_while_the_venue_cannot_be_read(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits, box.venue.reads_fail = [broken_line], True
        await box.open()
        await box.soon(120)
        assert box.entry().status is _S.UNKNOWN
        assert list(box.portfolio.reservations) == [box.entry().terms.client_order_id]
        box.venue.reads_fail = False
        await box.soon(10)
        assert box.entry().status is _S.ABSENT
        assert not box.portfolio.reservations

    perform(play)


def test_reads_that_never_come_back_are_asked_again(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits, box.venue.reads_hang = [broken_line], True
        await box.open()
        await box.soon(30)
        assert box.entry().status is _S.UNKNOWN
        box.venue.reads_hang = False
        await box.soon(15)
        assert box.entry().status is _S.ABSENT

    perform(play)


def test_not_found_is_no_proof_while_the_net_position_says_otherwise(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits, box.venue.pushes = [reset], silent
        request = box.request()
        box.tell(names.trader(MANUAL), request)
        while not box.venue.sent:
            await box.soon(0.0001)
        order_id = box.venue.sent[0].client_order_id
        box.venue.forgotten.add(order_id)  # neither the order nor its fill is shown
        await box.soon(60)
        assert box.entry().status is _S.UNKNOWN
        box.venue.forgotten.clear()
        await box.soon(10)
        assert box.entry().status is _S.FILLED
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


def test_a_request_that_arrives_late_is_waited_for(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits, box.venue.pushes = [arrives_after(3)], silent
        await box.open()
        await box.soon(10)
        assert _S.ABSENT not in statuses(box, box.venue.sent[0].client_order_id)
        assert box.entry().status is _S.FILLED

    perform(play)


def test_the_wait_for_a_late_request_begins_when_it_left_and_not_when_it_was_intended(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        request = box.request(limit="60000", expires_at=box.now + timedelta(seconds=60))
        box.parts.world.entry_expires_s = 60.0
        box.venue.submits, box.venue.pushes = [arrives_after(3)], silent
        box.tell(names.trader(MANUAL), request)
        while not box.exchange.streams:
            await box.soon(0.0001)
        box.disk.hold()
        await box.soon(30)  # a slow disk
        box.disk.go_on()
        await box.soon(10)
        assert box.entry().status is _S.FILLED
        assert _S.ABSENT not in statuses(box, box.venue.sent[0].client_order_id)

    perform(play)


def test_a_wall_clock_that_is_set_does_not_shorten_the_wait(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits, box.venue.pushes = [arrives_after(3)], silent
        await box.open()
        box.clock.step(hours=1)
        box.say("60000")
        await box.soon(10)
        assert _S.ABSENT not in statuses(box, box.venue.sent[0].client_order_id)
        assert box.entry().status is _S.FILLED

    perform(play)


def test_a_refused_entry_ends_and_frees_its_reservation(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits = [refused("BUSY")]
        await box.open()
        assert box.entry().status is _S.REJECTED
        assert box.position().is_closed
        assert not box.portfolio.holdings

    perform(play)


def test_a_refused_duplicate_is_no_refusal_of_the_order(perform):
    async def play(box: Box) -> None:
        await box.start("60000")

        def twice(request):
            request()
            return request()  # a proxy sent it again: the answer is that of the second

        box.venue.submits, box.venue.pushes = [twice], silent
        await box.open()
        await box.soon(3)
        assert box.entry().status is _S.FILLED
        assert len(box.position().fills) == 1

    perform(play)


def test_a_refused_exit_is_sent_again_under_the_next_id_and_sells_once(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.venue.submits = [refused("BUSY"), refused("BUSY")]
        box.say("59000")
        await box.soon(2)
        exits = [terms for terms in box.venue.sent if terms.reduce_only]
        assert len(exits) == 3
        assert len({terms.client_order_id for terms in exits}) == 3
        assert box.position().status is PositionStatus.CLOSED
        sold = [fill for fill in await fills_at_venue(box) if fill.side is Side.SELL]
        assert [fill.quantity for fill in sold] == [D("0.01")]

    perform(play)


def test_an_exit_that_never_arrived_is_sent_again_under_the_next_id_once_it_is_proven(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.venue.submits = [broken_line]
        box.say("59000")
        await box.soon(4)
        assert len(box.venue.sent) == 2
        await box.soon(8)
        assert len(box.venue.sent) == 3
        assert box.position().status is PositionStatus.CLOSED

    perform(play)


# --- what the private stream says ---


def test_what_is_reported_twice_counts_once(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.pushes = lambda update: (update, update)
        await box.open()
        fills = await fills_at_venue(box)
        for fill in fills:
            box.venue.push(fill)
        await box.soon()
        assert box.position().remaining == D("0.01")
        assert box.portfolio.holdings[pid()].ledger.remaining == D("0.01")
        order_id = box.venue.sent[0].client_order_id
        events = box.journal(names.order_stream(order_id))
        assert len([event for event in events if isinstance(event, OrderFilled)]) == 1

    perform(play)


def test_fills_that_come_before_the_acknowledgement_are_booked_at_once(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits = [answered_after(1.0)]
        await box.open()  # half a second
        assert box.entry().status is _S.FILLED
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        await box.soon(2)
        assert box.entry().status is _S.FILLED
        assert box.entry().venue_order_id is not None

    perform(play)


def test_a_lost_answer_does_not_put_a_filled_order_in_doubt(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits = [answer_lost]
        await box.open()
        await box.soon(10)
        assert _S.UNKNOWN not in statuses(box, box.venue.sent[0].client_order_id)

    perform(play)


def test_an_end_reported_before_its_fills_waits_for_them(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.hold_back(Fill)
        box.tell(names.trader(MANUAL), box.request())
        await box.soon(0.1)
        assert box.exchange.short_of_fills
        assert not box.position().fills
        box.venue.let_go()
        await box.soon()
        assert box.entry().status is _S.FILLED
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        assert not box.exchange.short_of_fills

    perform(play)


def test_fills_that_are_never_pushed_are_asked_for(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.hold_back(Fill)
        await box.open()
        await box.soon(2)
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


def only_that_it_rests(update):
    """A private stream that tells of an order once, before it fills."""
    if isinstance(update, Fill):
        return ()
    return (replace(update, status=_S.OPEN, filled=D(0), average_price=D(0)),)


def lost_later(request):
    """It arrives and is done; a moment later the line breaks instead of an answer."""
    request()

    async def answer():
        await asyncio.sleep(0.2)
        return Unknown("connection reset")

    return answer()


@pytest.mark.parametrize("answer", [lost_later, answered_after(0.2)])
def test_a_fill_that_is_never_pushed_is_asked_for_though_the_order_was_pushed_first(
    perform, answer
):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits = [answer]
        box.venue.pushes = only_that_it_rests
        await box.open()
        await box.soon(2)
        assert box.entry().status is _S.FILLED
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


def test_a_late_reject_frees_the_reservation(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(limit="59900")
        order = box.entry()
        assert order.status is _S.OPEN
        reject = VenueOrder(
            terms=order.terms,
            venue_order_id=order.venue_order_id,
            status=_S.REJECTED,
            filled=D(0),
            average_price=D(0),
            reason="MARGIN",
            updated_at=box.now,
        )
        box.venue.push(reject)
        await box.soon()
        assert box.exchange.incarnation == 1
        assert box.entry().status is _S.REJECTED
        assert not box.portfolio.reservations

    perform(play)


# --- cancel ---


def test_closing_an_entry_that_rests_takes_it_out(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(limit="59900")
        assert (await box.close()).refusal is None
        await box.soon()
        assert box.entry().status is _S.CANCELED
        assert box.position().exit_reason is ExitReason.NEVER_FILLED
        assert not box.portfolio.holdings

    perform(play)


@pytest.mark.parametrize("fault", [answer_lost, reset])
def test_a_cancel_whose_answer_is_lost_is_found_done(perform, fault):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(limit="59900")
        box.venue.cancels, box.venue.pushes = [fault], silent
        await box.close()
        await box.soon(10)
        assert box.entry().status is _S.CANCELED
        assert box.position().is_closed

    perform(play)


@pytest.mark.parametrize("fault", [never_arrives, broken_line, refused("BUSY")])
def test_a_cancel_that_did_not_arrive_is_sent_again(perform, fault):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(limit="59900")
        box.venue.cancels = [fault]
        await box.close()
        await box.soon(10)
        assert box.entry().status is _S.CANCELED
        assert len(box.venue.canceled) == 2
        assert box.position().is_closed

    perform(play)


def test_a_cancel_asked_for_before_the_acknowledgement_is_sent_after_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits, box.venue.pushes = [answered_after(1.0)], silent
        await box.open(limit="59900")
        await box.close()
        assert not box.venue.canceled
        await box.soon(3)
        assert box.entry().status is _S.CANCELED

    perform(play)


def test_a_cancel_that_meets_a_fill_keeps_what_was_filled_and_then_closes_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(limit="59900")

        def too_late(request):
            box.market.say("59800")  # through the limit, just before the cancel arrives
            return request()

        box.venue.cancels = [too_late]
        await box.close()
        await box.soon(3)
        assert box.entry().status is _S.FILLED
        position = box.position()  # somebody wanted it closed: it is
        assert position.status is PositionStatus.CLOSED
        assert position.exit_reason is ExitReason.MANUAL_CLOSE

    perform(play, config=CONFIG)


def test_fills_reported_after_the_cancel_was_confirmed_are_neither_lost_nor_left_unguarded(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.02", limit="59900")
        entry = box.position().entry.client_order_id
        box.venue.pushes = silent_about(entry)
        box.say("59890")  # a part of it fills, and nobody hears of it
        await box.close()
        await box.soon(5)
        position = box.position()
        assert box.entry().status is _S.CANCELED
        assert 0 < box.entry().filled < D("0.02")
        assert position.entry_quantity == box.entry().filled
        assert position.status is PositionStatus.CLOSED
        held = await box.paper.positions()
        assert held == ()

    perform(play, config=IN_PARTS)


def test_a_cancel_survives_the_death_of_the_exchange_actor(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(limit="59900")
        box.venue.cancels = [never_arrives]
        await box.close()
        await box.restarted(names.EXCHANGE)
        await box.soon(10)
        assert box.entry().status is _S.CANCELED
        assert box.position().is_closed

    perform(play)


def test_a_close_of_a_pending_entry_that_was_acknowledged_survives_a_crash(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(limit="59900")
        box.venue.cancels = [never_arrives]
        assert (await box.close()).refusal is None
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon(3)
        assert box.entry().status is _S.CANCELED
        assert box.position().is_closed

    perform(first, second)


# --- fills after the end ---


def test_a_fill_after_the_end_of_a_position_that_is_forgotten_raises_an_alarm(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(limit="59900")
        order_id = box.venue.sent[0].client_order_id
        await box.close()
        await box.soon()
        assert box.latest(names.position(pid())) is None
        late = Fill(
            TradeId("late"),
            order_id,
            BTC,
            Side.BUY,
            D("0.01"),
            D(59_900),
            Fee(D(0), "USDT"),
            box.now,
        )
        box.venue.push(late)
        await box.soon()
        assert "LATE_FILL" in box.ears.codes()

    perform(play)


def test_fills_of_closed_positions_told_again_raise_no_alarm(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        await box.close()
        await box.soon()
        for fill in await fills_at_venue(box):
            box.venue.push(fill)
        await box.soon()
        assert not box.ears.alarms

    perform(play)


def test_a_fill_after_the_cancel_of_a_partly_filled_entry_is_added_to_the_position(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.02", limit="59900")
        box.say("59890")
        await box.soon()
        position = box.position()
        box.tell(names.EXCHANGE, CancelOrder(position.entry.client_order_id, BTC))
        await box.soon()
        assert box.entry().status is _S.CANCELED
        had = box.position().remaining
        assert 0 < had < D("0.02")
        late = Fill(
            TradeId("late"),
            position.entry.client_order_id,
            BTC,
            Side.BUY,
            D("0.02") - had,
            D(59_900),
            Fee(D(0), "USDT"),
            box.now,
        )
        box.venue.push(late)
        await box.soon()
        assert "LATE_FILL" in box.ears.codes()
        assert box.position().remaining == D("0.02")
        assert box.portfolio.holdings[pid()].ledger.remaining == D("0.02")
        assert box.levels()  # and is guarded

    perform(play, config=IN_PARTS)


# --- restarts ---


@pytest.mark.parametrize("arrives", [True, False])
def test_an_order_in_flight_when_the_process_died_is_asked_for_and_not_sent_again(perform, arrives):
    async def first(box: Box) -> None:
        await box.start("60000")
        box.venue.submits, box.venue.pushes = [answer_lost if arrives else never_arrives], silent
        box.tell(names.trader(MANUAL), box.request())
        while not box.venue.sent:
            await box.soon(0.0001)
        await box.soon(0.01)
        assert statuses(box, box.venue.sent[0].client_order_id)[-1] is _S.SENDING
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon(10)
        assert not box.venue.sent
        if arrives:
            assert box.position().status is PositionStatus.OPEN_PROTECTED
        else:
            assert box.entry().status is _S.ABSENT
            assert box.position().exit_reason is ExitReason.NEVER_FILLED
            assert not box.portfolio.reservations

    perform(first, second)


def test_an_order_that_was_only_intended_when_the_process_died_is_asked_for(perform):
    async def first(box: Box) -> None:
        await box.start("60000")

        def die_when_intended() -> None:
            if any(isinstance(event, OrderIntended) for event in box.journal()):
                box.kill()

        box.disk.on_done = die_when_intended
        box.tell(names.trader(MANUAL), box.request())
        await box.soon()
        assert not box.venue.sent
        assert box.is_dead

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon(10)
        assert not box.venue.sent
        found = statuses(box, box.position().entry.client_order_id)
        assert found == [_S.INTENT, _S.UNKNOWN, _S.ABSENT]
        assert box.position().is_closed
        assert not box.portfolio.reservations

    perform(first, second)


def test_a_position_whose_order_was_never_intended_ends(perform):
    async def first(box: Box) -> None:
        await box.start("60000")

        def die_when_born() -> None:
            if box.journal(names.position(pid())):
                box.kill()

        box.disk.on_done = die_when_born
        box.exchange.reconciled = False  # its order waits for the venue's answers
        box.tell(names.trader(MANUAL), box.request())
        await box.soon()

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon()
        assert box.position().exit_reason is ExitReason.NEVER_FILLED
        assert not box.portfolio.holdings
        assert not box.portfolio.reservations

    perform(first, second)


def test_an_armed_exit_that_left_before_anything_was_written_is_found_and_not_sent_again(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.disk.hold()
        box.venue.pushes = silent
        box.say("58990")
        await box.soon(0.1)  # the venue has it in its books, the journal nothing
        box.kill()

    async def second(box: Box) -> None:
        await box.start("58980")
        await box.soon()
        assert not box.venue.sent
        position = box.position()
        assert position.status is PositionStatus.CLOSED
        assert position.exit_reason is ExitReason.STOP_LOSS
        assert position.fills[-1].price == 58_990
        assert len(await fills_at_venue(box)) == 2

    perform(first, second)


def test_an_exit_that_filled_after_the_clock_was_set_back_is_found_after_a_crash(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.clock.step(hours=-1)
        box.disk.hold()
        box.say("58900")
        await box.soon()
        assert await box.paper.positions() == ()
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        assert box.position().is_closed
        assert box.portfolio.balance == D(100_000) + box.position().realized_pnl

    perform(first, second)


def test_fills_stamped_before_their_order_was_intended_are_found_when_they_are_asked_for(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.clock.step(hours=1)
        box.venue.pushes = silent
        box.venue.submits = [arrives_after(1.0)]
        assert (await box.close()).refusal is None
        box.clock.step(hours=-1)
        await box.soon(20)
        assert box.position().is_closed

    perform(play)


def test_an_armed_exit_that_never_arrived_before_the_crash_fires_again(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.disk.hold()
        box.venue.submits = [never_arrives]
        box.say("58990")
        box.kill()

    async def second(box: Box) -> None:
        await box.start("58980")
        await box.soon()
        assert len(box.venue.sent) == 1
        assert box.position().status is PositionStatus.CLOSED
        assert len(await fills_at_venue(box)) == 2

    perform(first, second)


def test_nothing_is_sent_before_the_venue_has_told_what_it_knows(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.kill()

    async def second(box: Box) -> None:
        box.venue.reads_fail = True
        await box.start("58990")
        assert box.actor(names.PORTFOLIO).mode is Mode.NO_ENTRY
        await box.soon(20)
        assert box.position().status is PositionStatus.CLOSING
        assert not box.venue.sent
        box.venue.reads_fail = False
        await box.soon(2)
        assert len(box.venue.sent) == 1
        assert box.position().status is PositionStatus.CLOSED
        assert box.actor(names.PORTFOLIO).mode is Mode.NORMAL

    perform(first, second)


def test_an_exit_that_waits_for_the_venue_survives_the_death_of_the_exchange_actor(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.kill()

    async def second(box: Box) -> None:
        box.venue.reads_fail = True
        await box.start("58990")
        await box.soon(1)
        await box.restarted(names.EXCHANGE)
        box.venue.reads_fail = False
        await box.soon(10)
        assert box.position().status is PositionStatus.CLOSED
        sold = [fill for fill in await fills_at_venue(box) if fill.side is Side.SELL]
        assert len(sold) == 1

    perform(first, second)


def test_an_entry_told_while_the_exchange_actor_was_down_has_one_fate(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.tell(names.trader(MANUAL), box.request())
        while box.latest(names.position(pid())) is None:
            await box.soon(0.0001)
        box.killed(names.EXCHANGE)  # for a tenth of a second
        await box.soon(10)
        held = await box.paper.positions()
        position = box.position()
        assert position.is_closed == (held == ())
        assert len(box.venue.sent) == len(held)
        assert "LATE_FILL" not in box.ears.codes()

    perform(play)


@pytest.mark.parametrize("arrives", [True, False])
def test_an_order_in_flight_when_the_exchange_actor_died_is_asked_for(perform, arrives):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits, box.venue.pushes = [answer_lost if arrives else never_arrives], silent
        box.tell(names.trader(MANUAL), box.request())
        while not box.venue.sent:
            await box.soon(0.0001)
        await box.restarted(names.EXCHANGE)
        await box.soon(10)
        assert len(box.venue.sent) == 1
        assert box.entry().status is (_S.FILLED if arrives else _S.ABSENT)
        assert box.position().is_closed is not arrives

    perform(play)


def test_a_fill_journaled_but_not_told_before_the_crash_is_told_after_it(perform):
    async def first(box: Box) -> None:
        await box.start("60000")

        def die_when_filled() -> None:
            if any(isinstance(event, OrderFilled) for event in box.journal()):
                box.kill()

        box.disk.on_done = die_when_filled
        box.tell(names.trader(MANUAL), box.request())
        await box.soon()
        assert box.is_dead

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon()
        assert box.position().remaining == D("0.01")
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        assert box.portfolio.holdings[pid()].ledger.remaining == D("0.01")

    perform(first, second)


def test_the_reservation_of_an_order_that_ended_just_before_the_crash_is_freed(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open("0.02", limit="59900")
        box.say("59890")  # a part
        await box.soon()
        assert box.portfolio.reservations

        def die_when_canceled() -> None:
            if any(isinstance(event, OrderCanceled) for event in box.journal()):
                box.kill()

        box.disk.on_done = die_when_canceled
        box.tell(names.EXCHANGE, CancelOrder(box.position().entry.client_order_id, BTC))
        await box.soon()
        assert box.is_dead

    async def second(box: Box) -> None:
        await box.start("59895")
        await box.soon()
        assert not box.position().is_closed
        assert not box.portfolio.reservations

    perform(first, second, config=IN_PARTS)


# --- strangers ---


def foreign_order(box, order_id="somebodyelse"):
    terms = OrderTerms(
        ClientOrderId(order_id), pid(9), BTC, Side.BUY, OrderType.LIMIT, D("0.01"), D(50_000)
    )
    return VenueOrder(terms, "77", _S.OPEN, D(0), D(0), "", box.now)


def test_an_order_of_somebody_else_raises_an_alarm_and_stops_entries(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.kill()

    async def second(box: Box) -> None:
        box.venue.foreign = [foreign_order(box)]
        await box.start("60000")
        assert "FOREIGN_ORDER" in box.ears.codes()
        assert not box.exchange.of_position.get(pid(9))
        assert box.actor(names.PORTFOLIO).mode is Mode.NO_ENTRY
        assert box.levels()  # what is ours stays guarded

    perform(first, second)


def test_an_order_of_ours_that_belongs_to_no_living_position_raises_an_alarm_once_seen_twice(
    perform,
):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        await box.open(number=2, limit="59900")
        order = replace((await box.paper.open_orders())[0])
        await box.close(number=2)
        await box.soon()
        box.venue.push(order)  # it is said to rest there still: that may be old
        await box.soon()
        assert "ORPHAN_ORDER" not in box.ears.codes()
        box.venue.push(order)
        await box.soon()
        assert "ORPHAN_ORDER" in box.ears.codes()

    perform(first)


# --- what is over is forgotten ---


def test_nothing_of_a_closed_position_stays_in_memory(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        for number in range(2, 12):
            await box.open(number=number, plan=stop_at("59000", ("61000", "0.5")))
        before = len(box.parts.system.directory)
        box.say("61000")
        await box.soon()
        box.say("58000")
        await box.soon(2)
        states = box.parts.world.states
        for book in (states.latest, states.durable):
            assert not [name for name in book if name.startswith(("position/", "order/"))]
        assert len(box.parts.system.directory) == before - 11
        assert not box.exchange.streams
        assert not box.exchange.of_position
        assert not box.exchange.sent_at_s
        assert not box.exchange.in_doubt
        assert not box.exchange.cancel_wanted
        assert not box.feed.armed_since
        assert not box.portfolio.holdings
        assert not box.letters()

    perform(play)


def test_asking_for_orders_tells_their_fate_to_whoever_missed_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        position = await box.open()
        asked = AskOrders(position.id, (position.entry.client_order_id,))
        box.tell(names.EXCHANGE, asked)
        await box.soon()
        assert box.position() == position
        box.tell(names.position(pid()), Settled(pid()))  # not over: nobody forgets it
        await box.soon()
        assert box.position() == position

    perform(play)


def test_doubt_is_journaled_before_it_is_resolved(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits = [broken_line]
        await box.open()
        await box.soon(10)
        events = box.journal(names.order_stream(box.venue.sent[0].client_order_id))
        kinds = [type(event) for event in events]
        assert kinds.index(OrderBecameUnknown) < kinds.index(OrderFoundAbsent)

    perform(play)
