"""Streams that do not fold: nobody acts on what is not known, all else goes on, start after start.

Each is made as a bug would make it: a record is journaled that no state follows from.
"""

from typing import Any, ClassVar

import pytest

from actors import names
from actors.messages import TakeSnapshot
from actors.unreadable import UNREADABLE
from daemon import admin_requests as ask
from domain.errors import Refusal
from domain.ids import client_order_id
from domain.modes import Mode
from domain.order import OrderAccepted, OrderStatus
from domain.portfolio_events import ReservationReleased
from domain.position import PositionStatus
from domain.position_events import ProtectionLost
from storage.journal import Entry, Journal
from storage.read_tables import ReadTables
from strategies.base import Step, Strategy, no_trade
from tests.actors.box import Box, D, pid, stop_at
from tests.actors.desks import desk_of
from tests.actors.test_trader_actor import NAME, ROBOT, WITH_ROBOT, Count
from tests.actors.test_venue_stop import resting, started


def mode(box: Box) -> Mode:
    return box.actor(names.PORTFOLIO).mode


def exits(box: Box) -> list[Any]:
    return [terms for terms in box.venue.sent if terms.reduce_only]


def end_with(box: Box, stream: str, event: Any) -> None:
    """Journal one more event of a stream, which does not fold, and end as SIGKILL would."""
    version, _ = box.parts.world.states.latest.get(stream, (0, None))
    journal = Journal(box.store.database, box.store.registry, ReadTables(()))
    journal.append([Entry(stream, version + 1, event, box.now)])
    box.kill()


async def two_positions(box: Box) -> None:
    await box.start("60000")
    await box.open(number=1, plan=stop_at("59000"))
    await box.open(number=2, plan=stop_at("59000"))


async def lives_on(box: Box, price: str = "60000") -> None:
    """It runs for longer than restarts are counted, and nothing crashes."""
    for _ in range(70):
        box.say(price)
        await box.soon(1)
    assert not box.parts.system.failed.done()
    assert "ACTOR_CRASHED" not in box.ears.codes()


def intended_twice(box: Box, number: int) -> tuple[str, Any]:
    stream = names.position(pid(number))
    return stream, box.journal(stream)[0]


def test_a_position_that_does_not_fold_is_quarantined_and_nothing_is_opened(perform):
    async def first(box: Box) -> None:
        await two_positions(box)
        end_with(box, *intended_twice(box, 2))

    async def later_life(box: Box) -> None:
        await box.start("60000")
        await lives_on(box)
        assert mode(box) is Mode.NO_ENTRY
        assert names.position(pid(2)) in box.parts.world.causes[UNREADABLE].message
        assert box.ears.codes().count("QUARANTINED") == 1
        assert box.position(2).status is PositionStatus.QUARANTINED
        assert box.position(1).status is PositionStatus.OPEN_PROTECTED
        shown = await desk_of(box).handle(ask.ListPositions())
        assert {each["status"] for each in shown["positions"]} == {"open_protected", "quarantined"}
        refused = await desk_of(box).handle(ask.Close(position=pid(2)))
        assert isinstance(refused, Refusal)
        box.kill()

    async def last_life(box: Box) -> None:
        await box.start("60000")
        box.say("58990")
        await box.soon(3)
        assert [terms.position_id for terms in exits(box)] == [pid(1)]
        assert box.position(1).is_closed
        assert mode(box) is Mode.NO_ENTRY

    perform(first, later_life, later_life, last_life)


def test_the_stop_at_the_venue_of_a_position_that_does_not_fold_stays_there(perform):
    async def first(box: Box) -> None:
        await started(box)
        await box.open()
        end_with(box, *intended_twice(box, 1))

    async def second(box: Box) -> None:
        await started(box)
        await lives_on(box)
        assert resting(box) == [(D(59_000), D("0.01"))]
        box.say("58990")
        await box.soon(3)
        assert await box.paper.positions() == ()
        assert box.portfolio.balance < 100_000  # what the venue's stop sold is booked

    perform(first, second)


def test_a_position_of_which_nothing_folds_is_named(perform):
    async def first(box: Box) -> None:
        await two_positions(box)
        lost = ProtectionLost("a bug", box.now)
        end_with(box, names.position(pid(3)), lost)

    async def second(box: Box) -> None:
        await box.start("60000")
        await lives_on(box)
        assert names.position(pid(3)) in box.parts.world.causes[UNREADABLE].message
        assert [box.position(number).status for number in (1, 2)] == [
            PositionStatus.OPEN_PROTECTED
        ] * 2
        box.kill()

    perform(first, second, second)


def test_an_order_that_does_not_fold_is_asked_for_and_its_position_goes_on(perform):
    async def first(box: Box) -> None:
        await two_positions(box)
        await box.open(number=3, limit="59500")
        filled, resting = (names.order_stream(box.entry(n).terms.client_order_id) for n in (1, 3))
        _, sent, *_ = box.journal(filled)
        end_with(box, resting, sent)

    async def second(box: Box) -> None:
        assert box.entry(3).status is OrderStatus.OPEN
        await box.start("60000")
        assert mode(box) is Mode.NO_ENTRY
        await lives_on(box)
        assert box.entry(3).status is OrderStatus.OPEN
        box.say("59400")
        await box.soon(3)
        assert box.position(3).status is PositionStatus.OPEN_PROTECTED
        box.say("58990")
        await box.soon(3)
        assert len(exits(box)) == 3
        assert await box.paper.positions() == ()

    async def third(box: Box) -> None:
        await box.start("60000")
        await lives_on(box)
        assert mode(box) is Mode.NORMAL  # it has ended since

    perform(first, second, third)


def test_a_position_with_an_order_of_which_nothing_folds_is_left_alone(perform):
    async def first(box: Box) -> None:
        await two_positions(box)
        order_id = client_order_id("paper", pid(2), "close-0", 0)
        accepted = OrderAccepted("77", box.now)
        end_with(box, names.order_stream(order_id), accepted)

    async def second(box: Box) -> None:
        await box.start("60000")
        await lives_on(box)
        assert box.position(2).status is PositionStatus.QUARANTINED
        assert mode(box) is Mode.NO_ENTRY
        box.say("58990")
        await box.soon(3)
        assert [terms.position_id for terms in exits(box)] == [pid(1)]
        box.kill()

    perform(first, second)


def test_an_account_that_does_not_fold_goes_on_and_opens_nothing(perform):
    async def first(box: Box) -> None:
        await two_positions(box)
        end_with(box, names.portfolio("paper"), ReservationReleased("unknown", "a bug", box.now))

    async def second(box: Box) -> None:
        await box.start("60000")
        await lives_on(box)
        assert mode(box) is Mode.NO_ENTRY
        assert len(box.portfolio.holdings) == 2
        box.say("58990")
        await box.soon(3)
        assert len(exits(box)) == 2
        assert not box.portfolio.holdings

    async def third(box: Box) -> None:
        await box.start("60000")
        assert not box.portfolio.holdings  # what was journaled after the bad record folds onto it
        assert mode(box) is Mode.NO_ENTRY

    perform(first, second, third)


@pytest.mark.parametrize("stream", ["portfolio/paper", f"trader/{ROBOT}", "feed/paper"])
def test_the_owner_of_a_stream_of_which_nothing_folds_begins_anew(perform, stream):
    async def first(box: Box) -> None:
        end_with(box, stream, ReservationReleased(7, "an id that is no text", box.now))

    async def second(box: Box) -> None:
        assert box.store.recovered.unread == {stream: 1}
        await box.start("60000")
        assert box.parts.in_flight() == 0  # a stop need not wait
        await lives_on(box)
        assert mode(box) is (Mode.NO_ENTRY if stream.startswith("portfolio") else Mode.NORMAL)

    async def third(box: Box) -> None:
        await box.start("60000")
        await lives_on(box)

    perform(first, second, third, config=WITH_ROBOT, strategies={ROBOT: Counting()})


class Counting(Strategy, frozen=True):
    """A strategy that remembers how many candles it has seen, and does nothing."""

    State: ClassVar[Any] = Count

    def on_candle(self, state: Any, candle: Any, view: Any) -> Step:
        del candle, view
        return Step(Count(state.candles + 1), no_trade("it counts"))


def test_a_trader_that_does_not_fold_goes_on_from_what_it_remembers(perform):
    async def life(box: Box) -> None:
        await box.start("60000")
        await lives_on(box)
        before.append(box.parts.world.states.latest[NAME][0])
        assert mode(box) is Mode.NORMAL
        end_with(box, NAME, ReservationReleased(7, "an id that is no text", box.now))

    before: list[int] = []
    perform(life, life, life, config=WITH_ROBOT, strategies={ROBOT: Counting()})
    assert before == sorted(set(before))


def test_no_snapshot_is_built_on_a_stream_that_does_not_fold_and_who_asks_is_told(perform):
    async def first(box: Box) -> None:
        await two_positions(box)
        end_with(box, *intended_twice(box, 2))

    async def second(box: Box) -> None:
        await box.start("60000")
        answered = await box.ask(names.PERSISTENCE, TakeSnapshot)
        assert answered.refusal.rule == UNREADABLE
        assert names.position(pid(2)) in answered.refusal.message
        box.kill()

    perform(first, second)
