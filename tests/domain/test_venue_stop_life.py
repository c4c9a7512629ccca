"""What a position knows of its stop at the venue after each of its events."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.errors import InvariantError
from domain.ids import ClientOrderId, ExitId
from domain.order import OrderStatus
from domain.position import PositionStatus
from domain.position_events import ProtectionAcknowledged, ProtectionSet
from domain.position_life import evolve
from domain.venue_stop import Resting, StopState
from domain.venue_stop_events import (
    ExitReleased,
    VenueStopAttached,
    VenueStopCancelOrdered,
    VenueStopChangeOrdered,
    VenueStopChangeRefused,
    VenueStopConfirmed,
    VenueStopEnded,
    VenueStopFailed,
    VenueStopMissing,
    VenueStopOrdered,
    VenueStopOutdated,
    VenueStopTried,
    VenueStopTriggered,
)
from domain.venue_stop_life import epoch_of
from tests.builders import NOW, D, Life
from tests.domain.stop_words import bought, locked_out

_P = PositionStatus
AT_90 = Resting(ExitId("stop"), D(1), trigger_price=D(90))
AT_95 = replace(AT_90, trigger_price=D(95))
GUARD = ExitId("guard-0")
A, B = ClientOrderId("a"), ClientOrderId("b")


def open_position(*events):
    """A position that has filled and is watched, without a stop at the venue."""
    life = Life().begin("1").fill("1", "100")
    return after(life.p, ProtectionAcknowledged(1, NOW, NOW, protects=False), *events)


def after(position, *events):
    for event in events:
        position = evolve(position, event)
    return position


def ordered(order=A, asked=AT_90):
    return VenueStopOrdered(order, asked, NOW)


def confirmed(order=A, held=AT_90, *, settled=True):
    return VenueStopConfirmed(order, held, settled, NOW)


def canceling(order=A):
    return VenueStopCancelOrdered(order, NOW)


def gone(order=A):
    return VenueStopEnded(order, OrderStatus.CANCELED, "", NOW)


def test_a_stop_that_is_asked_for_has_the_next_id_and_may_rest_already():
    position = open_position(ordered(), ordered(B, AT_95))
    assert epoch_of(position, GUARD) == 2
    assert [stop.state for stop in position.at_venue.live] == [StopState.PLACING] * 2
    assert position.at_venue.current.client_order_id == B


def test_a_stop_that_an_entry_brought_has_the_id_of_the_entry():
    position = open_position(VenueStopAttached(A, AT_90, NOW))
    assert epoch_of(position, GUARD) == 0
    assert position.at_venue.find(A).asked == AT_90
    assert position.at_venue.round == 1


@pytest.mark.parametrize("settled", [True, False])
def test_what_is_confirmed_is_held_and_protects_if_it_is_what_should_rest(settled):
    position = open_position(ordered(), confirmed(held=AT_95, settled=settled))
    (stop,) = position.at_venue.stops
    assert (stop.state, stop.asked, stop.held) == (StopState.OPEN, AT_95, AT_95)
    assert position.at_venue.settled is settled
    assert position.status is (_P.OPEN_PROTECTED if settled else _P.OPEN_UNPROTECTED)


def test_what_a_position_never_had_cannot_be_confirmed():
    with pytest.raises(InvariantError, match="is no stop of it"):
        open_position(confirmed())


def test_a_confirmation_does_not_end_a_quarantine():
    quarantined = replace(open_position(ordered()), status=_P.QUARANTINED)
    assert after(quarantined, confirmed()).status is _P.QUARANTINED


def test_each_change_has_a_number_and_waits_for_its_answer():
    position = open_position(ordered(), confirmed(), VenueStopChangeOrdered(A, AT_95, NOW))
    (stop,) = position.at_venue.stops
    assert (stop.state, stop.asked, stop.held) == (StopState.AMENDING, AT_95, AT_90)
    assert (stop.changes, position.at_venue.settled) == (1, False)
    assert position.status is _P.MODIFYING
    assert position.at_venue.round == 2
    again = after(position, VenueStopChangeOrdered(A, AT_90, NOW))
    assert again.at_venue.find(A).changes == 2
    assert again.at_venue.round == 2  # it has not been settled meanwhile


def test_a_refused_change_leaves_what_was_held_and_is_the_last():
    changed = (ordered(), confirmed(), VenueStopChangeOrdered(A, AT_95, NOW))
    position = open_position(*changed, VenueStopChangeRefused(A, "no", NOW))
    (stop,) = position.at_venue.stops
    assert (stop.state, stop.asked, stop.held) == (StopState.OPEN, AT_90, AT_90)
    assert not stop.may_amend
    never_held = open_position(ordered(), VenueStopChangeRefused(A, "no", NOW))
    assert never_held.at_venue.find(A).asked == AT_90


def test_a_change_that_was_never_judged_is_not_the_last():
    changed = (ordered(), confirmed(), VenueStopChangeOrdered(A, AT_95, NOW))
    position = open_position(*changed, VenueStopChangeRefused(A, "no", NOW, for_good=False))
    (stop,) = position.at_venue.stops
    assert (stop.state, stop.held, stop.may_amend) == (StopState.OPEN, AT_90, True)


def test_what_is_outdated_begins_another_round_once():
    position = open_position(ordered(), confirmed())
    assert position.at_venue.round == 1
    outdated = after(position, VenueStopOutdated(NOW))
    assert (outdated.at_venue.settled, outdated.at_venue.round) == (False, 2)
    assert outdated.status is _P.MODIFYING
    assert after(outdated, VenueStopOutdated(NOW)).at_venue.round == 2


def test_a_stop_that_is_asked_to_leave_settles_nothing_unless_another_rests():
    alone = open_position(ordered(), confirmed(), canceling())
    assert alone.at_venue.find(A).state is StopState.CANCELING
    assert not alone.at_venue.settled
    beside = open_position(ordered(), ordered(B), confirmed(), confirmed(B), canceling())
    assert beside.at_venue.settled
    assert beside.status is _P.OPEN_PROTECTED


def test_a_stop_that_fired_is_an_exit_and_no_guard_any_more():
    position = open_position(ordered(), confirmed(), VenueStopTriggered(A, NOW))
    assert position.at_venue.live == ()
    assert position.at_venue.current is None
    assert after(position, gone()).at_venue.stops == ()
    assert after(position, gone()).at_venue.round == position.at_venue.round


def test_a_stop_that_was_taken_away_leaves_the_position_unprotected():
    position = open_position(ordered(), confirmed(), gone())
    assert position.at_venue.stops == ()
    assert (position.status, position.at_venue.settled) == (_P.OPEN_UNPROTECTED, False)


def test_a_stop_that_went_as_asked_leaves_the_position_as_it_was():
    position = open_position(ordered(), confirmed(), canceling())
    assert position.status is _P.MODIFYING
    assert after(position, gone()).status is _P.MODIFYING
    assert after(position, gone()).at_venue.round == position.at_venue.round


def test_a_stop_that_never_rested_and_ends_takes_no_protection_away():
    rules = replace(open_position().protection, version=2)
    position = open_position(ordered(), confirmed(), ProtectionSet(rules, (), NOW))
    position = after(position, ordered(B, AT_95), gone())
    assert position.status is _P.OPEN_UNPROTECTED
    position = after(position, ProtectionAcknowledged(2, NOW, NOW))
    assert position.status is _P.OPEN_PROTECTED
    modifying = after(position, VenueStopOutdated(NOW))
    assert modifying.status is _P.MODIFYING
    assert after(modifying, gone(B)).status is _P.MODIFYING


def test_while_another_one_rests_the_end_of_a_stop_changes_nothing_else():
    position = open_position(ordered(), confirmed(), ordered(B, AT_95), gone(B))
    assert position.status is _P.MODIFYING
    assert [stop.client_order_id for stop in position.at_venue.stops] == [A]


def test_failures_in_a_row_are_a_pause_until_it_is_tried():
    later = NOW + timedelta(seconds=3)
    once = open_position(ordered(), VenueStopFailed("no", 1, later))
    assert (once.at_venue.failures, once.at_venue.failed_at) == (1, later)
    assert not once.at_venue.pausing
    twice = after(once, VenueStopFailed("no", 2, later))
    assert (twice.at_venue.failures, twice.at_venue.pausing) == (2, True)
    assert not after(twice, VenueStopTried(NOW)).at_venue.pausing


def test_where_the_venue_has_no_stop_in_time_the_daemon_guards_if_it_watches():
    position = open_position(ordered(), VenueStopMissing("late", NOW))
    assert (position.status, position.at_venue.missing) == (_P.OPEN_PROTECTED, True)
    assert after(position, VenueStopOutdated(NOW)).status is _P.OPEN_PROTECTED
    unwatched = after(Life().begin("1").fill("1", "100").p, ordered())
    assert after(unwatched, VenueStopMissing("late", NOW)).status is _P.OPEN_UNPROTECTED
    quarantined = replace(position, status=_P.QUARANTINED)
    assert after(quarantined, VenueStopMissing("late", NOW)).status is _P.QUARANTINED


def test_a_stop_that_comes_at_last_is_missing_no_longer():
    position = open_position(ordered(), VenueStopMissing("late", NOW), confirmed())
    assert not position.at_venue.missing
    assert position.status is _P.OPEN_PROTECTED


def test_an_exit_that_waited_and_leaves_sells_what_is_free_then():
    life = locked_out(bought().cross("stop", "89"))
    (order,) = life.p.exits
    assert order.waits
    position = after(life.p, ExitReleased(order.client_order_id, D("0.6"), NOW))
    assert [(each.waits, each.quantity) for each in position.exits] == [(False, D("0.6"))]
    assert after(life.p, ExitReleased(A, D("0.6"), NOW)).exits == life.p.exits
