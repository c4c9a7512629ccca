"""Cancels that a venue refuses, or does not answer, for long."""

from collections import Counter

import pytest

from actors import names
from domain.order import OrderStatus
from tests.actors.box import Box
from tests.actors.faulty_venue import broken_line, refused
from tests.actors.test_resting_entries import assert_withdrawn, stop_entries, with_resting

SUSPENDED = refused("51410")
MANY = 1_000


async def quotes(box: Box, seconds: int) -> None:
    for _ in range(seconds):
        box.say("60000")
        await box.soon(1)


def tries(box: Box) -> set[int]:
    return set(Counter(box.venue.canceled).values())


@pytest.mark.parametrize("fault", [SUSPENDED, broken_line], ids=["refused", "lost"])
def test_the_first_tries_follow_at_once_and_then_ever_later(perform, fault):
    async def play(box: Box) -> None:
        await with_resting(box)
        box.venue.cancels = [fault] * MANY
        await stop_entries(box)
        assert tries(box) == {3}  # within half a second
        await quotes(box, 5)
        assert tries(box) == {6}
        await quotes(box, 60)
        assert tries(box) == {18}

    perform(play)


@pytest.mark.parametrize("fault", [SUSPENDED, broken_line], ids=["refused", "lost"])
def test_it_is_said_once_when_the_first_tries_have_failed(perform, fault):
    async def play(box: Box) -> None:
        await with_resting(box)
        box.venue.cancels = [fault] * MANY
        await stop_entries(box)
        await quotes(box, 60)
        told = [message for code, message in box.ears.alarms if code == "CANCEL_FAILING"]
        resting = (box.entry(2), *box.position(1).additions)
        assert len(told) == len(resting)
        assert any(box.entry(2).terms.client_order_id in each for each in told)

    perform(play)


def test_two_that_fail_are_no_reason_to_say_anything(perform):
    async def play(box: Box) -> None:
        await with_resting(box)
        box.venue.cancels = [SUSPENDED, broken_line]
        await stop_entries(box)
        await box.soon(10)
        assert_withdrawn(box)
        assert "CANCEL_FAILING" not in box.ears.codes()

    perform(play)


def test_what_is_refused_again_and_again_is_not_journaled_again_and_again(perform):
    async def play(box: Box) -> None:
        await with_resting(box)
        box.venue.cancels = [SUSPENDED] * MANY
        await stop_entries(box)
        await quotes(box, 10)
        order = names.order_stream(box.entry(2).terms.client_order_id)
        known = len(box.journal(order))
        await quotes(box, 60)
        assert len(box.journal(order)) == known
        assert box.entry(2).status is OrderStatus.OPEN

    perform(play)


@pytest.mark.parametrize("fault", [SUSPENDED, broken_line], ids=["refused", "lost"])
def test_once_the_venue_takes_them_they_come_through_within_seconds(perform, fault):
    async def play(box: Box) -> None:
        await with_resting(box)
        box.venue.cancels = [fault] * MANY
        await stop_entries(box)
        await quotes(box, 60)
        box.venue.cancels = []
        await quotes(box, 6)
        assert_withdrawn(box)
        assert not box.exchange.cancels.tries
        assert not box.exchange.cancels.waiting

    perform(play)


def test_an_order_that_is_gone_meanwhile_is_found_absent(perform):
    async def play(box: Box) -> None:
        await with_resting(box)
        box.venue.cancels = [SUSPENDED] * MANY
        await stop_entries(box)
        await quotes(box, 30)
        box.venue.forgotten.add(box.entry(2).terms.client_order_id)
        await quotes(box, 10)
        assert box.position(2).is_closed
        assert not box.portfolio.holdings.get(box.position(2).id)

    perform(play)


def test_a_fill_between_two_tries_is_booked_and_closed(perform):
    async def play(box: Box) -> None:
        await with_resting(box)
        box.venue.cancels = [SUSPENDED] * MANY
        await stop_entries(box)
        await quotes(box, 30)
        box.say("56900")
        await box.soon(5)
        assert box.position(2).is_closed
        assert box.position(2).fills
        assert not box.exchange.cancels.tries

    perform(play)
