"""What a position makes of what it hears of its stop at the venue."""

import pytest
from msgspec.structs import replace

from domain.commands import ClosePosition, RequestedBy
from domain.effects import Alarm, AmendOrder, Arm, AskOrders, CancelOrder, Disarm
from domain.ids import NO_ORDER, ClientOrderId, ExitId, client_order_id
from domain.inputs import OrderEnded, OrderReported, OutsideReported, Wake
from domain.instrument import Direction, PriceSource
from domain.order import OrderStatus, OrderType
from domain.position import PositionStatus
from domain.position_draft import HOLDS, OutsideChanges
from domain.position_events import ProtectionModified, ProtectionSet
from domain.protection import ExitReason
from domain.venue import Outside
from domain.venue_stop import StopState
from domain.venue_stop_events import VenueStopConfirmed
from tests.builders import ACCOUNT, D, Life, a_fill, plan, position_id
from tests.domain.stop_words import (
    RULES,
    asked,
    at_market,
    bought,
    end,
    guarded,
    locked_out,
    move,
    of,
    report,
    stops_sent,
    told,
)

_S = OrderStatus
ADOPTS = replace(RULES, outside_changes=OutsideChanges.ADOPT)


def alarms(life: Life) -> list[str]:
    return [alarm.code for alarm in of(life.decision.effects, Alarm)]


def stop_of(life: Life) -> ClientOrderId:
    return life.p.at_venue.stops[0].client_order_id


def meddle(life: Life, price: str | None = None, **changes: object) -> Life:
    """Let a person change the stop on the site."""
    terms = replace(stops_sent(life)[-1], **changes)
    if price is not None:
        terms = replace(terms, trigger_price=D(price))
    return report(life, terms, outside=True)


# --- a stop nobody knows any more ---


def test_a_stop_that_rests_after_the_end_is_taken_out():
    life = guarded()
    terms = replace(stops_sent(life)[-1], client_order_id=ClientOrderId("of before"))
    life.fill("1", "89", stop_of(life))
    assert life.p.is_closed
    (cancel,) = asked(report(life, terms), CancelOrder)
    assert cancel.client_order_id == terms.client_order_id
    assert asked(report(life, terms, status=_S.TRIGGERED), CancelOrder) == []


def test_a_stop_that_is_known_is_not_taken_out_where_its_position_is_quarantined():
    life = bought()
    life.position = replace(life.p, status=PositionStatus.QUARANTINED)
    assert report(life).decision.effects == ()


def test_what_an_entry_brought_may_be_heard_of_before_the_entry_has_filled():
    life = Life(replace(RULES, attaches_stops=True)).begin("1")
    terms = replace(life.sent()[0].terms, client_order_id=life.p.entry.attached)
    assert report(life, terms).decision.effects == ()
    assert asked(report(life, replace(terms, client_order_id="x")), CancelOrder)
    life.fill("1", "100")
    (question,) = asked(life, AskOrders)
    assert question.client_order_ids == (life.p.entry.attached,)
    assert [(each.type, each.trigger_price) for each in question.terms] == [(OrderType.STOP, 90)]
    assert [stop.asked.quantity for stop in life.p.at_venue.stops] == [1]


# --- confirmed ---


def test_a_stop_for_less_than_it_should_be_settles_nothing():
    life = bought()
    report(life, replace(stops_sent(life)[-1], quantity=D("0.4")))
    assert [event.settled for event in told(life, VenueStopConfirmed)] == [False]
    assert life.p.status is PositionStatus.OPEN_UNPROTECTED


def test_a_stop_that_is_going_or_has_fired_is_not_confirmed():
    life = guarded()
    terms = stops_sent(life)[-1]
    locked_out(life.tell(ClosePosition(life.p.id)))
    assert life.p.at_venue.stops[0].state is StopState.CANCELING
    assert report(life, terms).decision.events == ()
    report(life, terms, status=_S.TRIGGERED)
    assert life.p.at_venue.stops[0].state is StopState.TRIGGERED
    assert report(life, terms).decision.events == ()
    assert report(life, terms, status=_S.TRIGGERED).decision.events == ()


def test_a_refused_change_is_tried_as_another_stop():
    life = move(guarded(), "95")
    (change,) = asked(life, AmendOrder)
    report(life, change.terms, change=change.number, refused="51503: gone")
    assert [each.trigger_price for each in stops_sent(life)] == [90, 95]
    assert not at_market(life)
    assert life.p.at_venue.failures == 1


@pytest.mark.parametrize("code", ["NOT_SENT", "50011", "50061"])
def test_a_change_that_nobody_judged_is_asked_for_again_ever_slower(code):
    life = move(guarded(), "95")
    (change,) = asked(life, AmendOrder)
    report(life, change.terms, change=change.number, refused=f"{code}: no")
    (again,) = asked(life, AmendOrder)  # at once
    report(life, again.terms, change=again.number, refused=f"{code}: no")
    assert not asked(life, AmendOrder)
    assert [each.trigger_price for each in stops_sent(life)] == [90]  # no other one beside it
    assert life.p.at_venue.pausing
    life.tell(Wake("venue_stop_retry"))
    assert asked(life, AmendOrder)
    assert life.p.at_venue.failures == 2


def test_a_change_that_is_refused_for_being_crossed_means_leaving():
    life = move(guarded(), "95")
    (change,) = asked(life, AmendOrder)
    report(life, change.terms, change=change.number, refused="51280: below")
    assert life.p.status is PositionStatus.CLOSING
    assert life.p.exits[0].reason is ExitReason.STOP_LOSS
    assert life.p.at_venue.failures == 0


# --- changed on the site ---


def test_a_stop_that_a_person_moved_is_put_back_and_said():
    life = meddle(guarded(), "80")
    (alarm,) = asked(life, Alarm)
    assert "1 at 80, instead of 1 at 90" in alarm.message
    (change,) = asked(life, AmendOrder)
    assert change.terms.trigger_price == 90
    assert life.p.at_venue.failures == 1
    assert life.p.protection.stop.price == 90


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"quantity": D("0.5")}, "STOP_CHANGED_WHILE_DOWN"),
        ({"quantity": D(2)}, "STOP_CHANGED_OUTSIDE"),
        ({"trigger_price": D(89)}, "STOP_CHANGED_OUTSIDE"),
        ({"quantity": D("0.5"), "trigger_price": D(89)}, "STOP_CHANGED_OUTSIDE"),
    ],
)
def test_what_a_start_finds_smaller_the_daemon_may_have_asked_for_itself(changes, code):
    life = guarded()
    report(life, replace(stops_sent(life)[-1], **changes), outside=True, at_start=True)
    assert alarms(life) == [code]
    assert alarms(meddle(guarded(), **changes)) == ["STOP_CHANGED_OUTSIDE"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(_S.CANCELED, "STOP_CHANGED_WHILE_DOWN"), (_S.EXPIRED, "STOP_CHANGED_OUTSIDE")],
)
def test_what_a_start_finds_canceled_the_daemon_may_have_taken_out_itself(status, code):
    life = guarded()
    life.tell(OrderEnded(life.p.id, stop_of(life), status, "", at_start=True))
    assert alarms(life) == [code]
    assert len(stops_sent(life)) == 2


def test_a_trail_that_a_person_moved_is_said_by_its_ratio():
    life = guarded(protection=plan(None, trail_ratio=D("0.02")))
    (alarm,) = asked(meddle(life, trail_ratio=D("0.05")), Alarm)
    assert "1 trailing by 0.05, instead of 1 trailing by 0.02" in alarm.message


@pytest.mark.parametrize(
    ("direction", "stop", "moved"), [(Direction.LONG, "90", "85"), (Direction.SHORT, "110", "115")]
)
def test_where_that_is_the_policy_a_person_who_moves_the_stop_changes_the_position(
    direction, stop, moved
):
    watched = plan(stop, stop_watches=PriceSource.MARK)
    life = meddle(guarded(protection=watched, rules=ADOPTS, direction=direction), moved)
    assert (life.p.protection.stop.price, life.p.protection.version) == (D(moved), 2)
    assert life.p.protection.stop.watches is PriceSource.MARK
    (change,) = told(life, ProtectionModified)
    assert change.modification.requested_by is RequestedBy.USER_MANUAL
    assert (change.modification.previous.version, change.modification.new.version) == (1, 2)
    assert len(told(life, ProtectionSet)) == 1
    (arm,) = asked(life, Arm)
    assert arm.version == 2
    assert life.p.at_venue.settled
    assert life.p.at_venue.failures == 0
    assert not asked(life, AmendOrder)


@pytest.mark.parametrize(("moved", "last"), [("100", "100"), ("101", "100")])
def test_a_stop_that_would_fire_at_once_is_not_adopted(moved, last):
    life = guarded(rules=ADOPTS)
    life.last = last
    meddle(life, moved)
    assert life.p.protection.stop.price == 90
    assert life.p.at_venue.failures == 1


def test_only_a_price_is_adopted_and_only_of_a_stop():
    life = meddle(guarded(rules=ADOPTS), quantity=D("0.5"))
    assert told(life, ProtectionModified) == []
    assert life.p.at_venue.failures == 1
    life = meddle(guarded(rules=ADOPTS, protection=plan(None, trail_distance=D(5))), "90")
    assert told(life, ProtectionModified) == []
    life = meddle(guarded(rules=ADOPTS, protection=plan(None, trail_ratio=D("0.05"))))
    assert told(life, ProtectionModified) == []


# --- fired ---


def test_a_stop_that_fired_is_an_exit_at_its_price():
    life = report(guarded(), status=_S.TRIGGERED)
    (order,) = life.p.exits
    assert (order.price, order.quantity, order.at_venue) == (90, 1, True)
    assert (order.reason, order.waits) == (ExitReason.STOP_LOSS, False)
    assert [each.exit_id for each in asked(life, Disarm)] == [None]
    life = report(guarded(protection=plan(None, trail_ratio=D("0.02"))), status=_S.TRIGGERED)
    assert (life.p.exits[0].price, life.p.exits[0].reason) == (100, ExitReason.TRAILING_STOP)


def test_an_exit_that_waited_for_the_stop_is_none_when_that_fires():
    life = locked_out(guarded().tell(ClosePosition(position_id())))
    assert [order.waits for order in life.p.exits] == [True]
    report(life, status=_S.TRIGGERED)
    assert [order.at_venue for order in life.p.exits] == [True]


def test_a_stop_that_fired_and_filled_ends_without_more():
    life = report(guarded(), status=_S.TRIGGERED)
    life.fill("1", "89", stop_of(life))
    end(life, _S.FILLED)
    assert not at_market(life)
    assert alarms(life) == []


def test_what_a_stop_that_fired_did_not_sell_is_sold_at_market():
    life = report(guarded(), status=_S.TRIGGERED)
    life.fill("0.4", "89", stop_of(life))
    end(life, _S.FILLED)  # it had been made smaller before it fired
    assert [(each.terms.quantity, each.armed) for each in at_market(life)] == [(D("0.6"), True)]
    assert alarms(life) == []
    life = report(guarded(), status=_S.TRIGGERED)
    life.fill("0.4", "89", stop_of(life))
    end(life, _S.CANCELED)
    assert [each.terms.quantity for each in at_market(life)] == [D("0.6")]
    assert alarms(life) == ["STOP_FAILED"]
    (alarm,) = (each for each in asked(life, Alarm) if each.code == "STOP_FAILED")
    assert alarm.message.endswith(": no reason given")


def test_the_end_of_a_stop_that_rested_and_was_rejected_means_it_fired():
    life = end(guarded(), _S.REJECTED, "51008: no balance")
    assert alarms(life) == ["STOP_FAILED"]
    assert [each.terms.quantity for each in at_market(life)] == [1]
    assert life.p.exits[0].reason is ExitReason.STOP_LOSS


def test_beside_an_exit_that_has_claimed_all_the_levels_are_watched_when_a_stop_fails():
    life = guarded()
    life.tell(ClosePosition(life.p.id, part=D("0.5")))
    fill = a_fill("0.5", "100", life.p.direction.exit_side, NO_ORDER)
    life.tell(OutsideReported(life.p.id, fill, Outside.PERSON))
    end(life, _S.REJECTED, "51008: no balance")
    assert alarms(life) == []
    assert life.p.status in HOLDS
    assert asked(life, Arm)
    assert [order.outstanding for order in life.p.exits] == [D("0.5")]
    life = end(guarded(), _S.REJECTED, "51008: no balance")
    assert not asked(life, Arm)


def test_a_fill_of_a_stop_that_was_over_is_booked_as_a_stop_with_an_alarm():
    life = guarded()
    late = client_order_id(ACCOUNT, position_id(), "guard-0", 7)
    life.fill("0.5", "89", late)
    assert alarms(life) == ["LATE_FILL"]
    (order,) = life.p.exits
    assert (order.quantity, order.whole, order.at_venue) == (D("0.5"), False, True)
    assert order.reason is ExitReason.STOP_LOSS
    assert life.p.remaining == D("0.5")
    life.fill("0.1", "89", late)
    assert life.p.remaining == D("0.4")
    others = [
        client_order_id(ACCOUNT, position_id(2), "guard-0", 7),
        client_order_id(ACCOUNT, position_id(), "entry-9", 0),
    ]
    for other in others:
        assert alarms(life.fill("0.1", "89", other)) == ["FOREIGN_FILL"]
    assert life.p.remaining == D("0.4")


# --- ended ---


@pytest.mark.parametrize("status", [_S.CANCELED, _S.EXPIRED])
def test_what_was_taken_out_on_the_site_is_placed_again_and_said(status):
    life = end(guarded(), status)
    assert alarms(life) == ["STOP_CHANGED_OUTSIDE"]
    assert life.p.at_venue.failures == 1
    assert len(stops_sent(life)) == 2


def test_what_went_as_asked_is_no_failure():
    life = guarded().tell(ClosePosition(position_id()))
    end(life, _S.CANCELED)
    assert alarms(life) == []
    assert life.p.at_venue.failures == 0


@pytest.mark.parametrize(
    ("status", "codes"), [(_S.REJECTED, ["VENUE_STOP_REFUSED"]), (_S.ABSENT, [])]
)
def test_a_stop_that_never_rested_is_placed_again(status, codes):
    life = end(bought(), status, "50001: not now")
    assert alarms(life) == codes
    assert life.p.at_venue.failures == 1
    assert len(stops_sent(life)) == 2


@pytest.mark.parametrize(
    ("direction", "stop", "last", "fresh", "leaves"),
    [
        (Direction.LONG, "90", "90", True, True),
        (Direction.LONG, "90", "90.1", True, False),
        (Direction.LONG, "90", "89", False, False),
        (Direction.SHORT, "110", "110", True, True),
        (Direction.SHORT, "110", "109.9", True, False),
    ],
)
def test_a_refused_stop_that_a_fresh_price_has_crossed_means_leaving(
    direction, stop, last, fresh, leaves
):
    life = bought(protection=plan(stop), direction=direction)
    life.last, life.fresh = last, fresh
    end(life, _S.REJECTED, "50001: not now")
    assert bool(at_market(life)) is leaves
    assert ("VENUE_STOP_REFUSED" in alarms(life)) is not leaves
    if leaves:
        assert at_market(life)[0].armed


def test_where_an_exit_has_failed_a_crossed_stop_is_tried_again_instead():
    life = bought()
    life.position = replace(life.p, failed_exits=1)
    end(life, _S.REJECTED, "51280: wrong side")
    assert not at_market(life)
    assert len(stops_sent(life)) == 2


def test_a_trail_that_was_refused_has_no_price_to_be_crossed():
    life = bought(protection=plan(None, trail_ratio=D("0.02")))
    life.last = "1"
    end(life, _S.REJECTED, "50001: not now")
    assert not at_market(life)
    assert alarms(life) == ["VENUE_STOP_REFUSED"]


def test_a_position_that_waits_to_be_reported_takes_an_end_for_what_it_is():
    """A stop that rested, closed by its last fill before anybody said that it had fired."""
    life = guarded()
    life.fill("1", "89", stop_of(life))
    assert life.p.exits[0].at_venue
    end(life, _S.FILLED)
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exits[0].exit_id == ExitId("stop")
    assert (
        life.tell(OrderReported(life.p.id, _S.TRIGGERED, stops_sent(life)[-1])).decision.events
        == ()
    )


def test_what_a_stop_that_fires_was_never_asked_to_cover_leaves_at_once():
    life = Life(RULES).begin("1").fill("0.4", "100").fill("0.6", "100").arm()
    report(life, stops_sent(life)[0], status=_S.TRIGGERED)
    assert [(each.terms.quantity, each.armed) for each in at_market(life)] == [(D("0.6"), True)]
    assert life.p.exits[-1].reason is ExitReason.STOP_LOSS


def test_a_report_from_before_a_change_changes_nothing():
    life = guarded()
    before = stops_sent(life)[-1]
    assert report(move(life, "95"), before).decision.events == ()


def test_a_quarantined_position_asks_for_no_other_stop():
    life = bought()
    life.position = replace(life.p, status=PositionStatus.QUARANTINED)
    end(life, _S.ABSENT)
    assert life.decision.effects == ()
    assert life.p.at_venue.stops == ()


def test_what_a_stop_that_fired_left_and_others_closed_is_not_sold():
    life = report(guarded(), status=_S.TRIGGERED)
    life.fill("0.4", "89", stop_of(life))
    fill = a_fill("0.6", "100", life.p.direction.exit_side, NO_ORDER)
    life.tell(OutsideReported(life.p.id, fill, Outside.PERSON))
    end(life, _S.FILLED)
    assert not at_market(life)
    assert life.p.status is PositionStatus.CLOSED_EXTERNAL


def test_a_stop_that_fired_and_filled_while_an_entry_still_works_ends_without_more():
    life = report(Life(RULES).begin("2", limit="100").fill("1", "100").arm())
    report(life, status=_S.TRIGGERED)
    life.fill("1", "89", stop_of(life))
    assert not life.p.is_closed
    end(life, _S.FILLED)
    assert not at_market(life)
    assert alarms(life) == []
