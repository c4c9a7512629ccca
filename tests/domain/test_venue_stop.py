"""What a position asks of the venue for its stop, step by step."""

import pytest
from msgspec.structs import replace

from domain.commands import ClosePosition, ModificationType, ModifyProtection
from domain.effects import AmendOrder, Arm, CancelOrder, SubmitOrder, WakeAfter
from domain.inputs import Wake
from domain.instrument import Direction, Kind
from domain.order import OrderStatus, OrderType
from domain.position import PositionStatus
from domain.position_decide import resume
from domain.position_draft import PositionRules
from domain.protection import ExitReason
from domain.venue_stop import StopState
from tests.builders import D, Life, plan, swap
from tests.domain.stop_words import (
    RULES,
    amended,
    at_market,
    bought,
    codes,
    end,
    guarded,
    locked_out,
    of,
    report,
    stops_sent,
)

_S = OrderStatus


def test_the_first_fill_asks_the_venue_for_the_stop_and_its_word_protects():
    life = bought()
    (terms,) = stops_sent(life)
    assert (terms.type, terms.trigger_price, terms.quantity) == (OrderType.STOP, 90, 1)
    assert terms.reduce_only
    assert life.p.status is PositionStatus.OPEN_UNPROTECTED  # the daemon watches, that is not it
    assert report(life).p.status is PositionStatus.OPEN_PROTECTED


def test_a_venue_that_holds_no_stops_is_asked_for_none():
    life = bought(rules=PositionRules())
    assert stops_sent(life) == []
    assert life.p.status is PositionStatus.OPEN_PROTECTED


def test_later_fills_make_it_larger():
    life = Life(RULES).begin("1").fill("0.4", "100")
    assert stops_sent(life)[0].quantity == D("0.4")
    report(life).fill("0.6", "101")
    (change,) = of(life.decision.effects, AmendOrder)
    assert change.terms.quantity == 1
    assert life.p.status is PositionStatus.MODIFYING
    assert amended(life).p.status is PositionStatus.OPEN_PROTECTED


def test_a_trail_by_a_ratio_trails_at_the_venue_and_one_by_a_distance_rests_where_it_began():
    (terms,) = stops_sent(bought(protection=plan(None, trail_ratio=D("0.02"))))
    assert (terms.type, terms.trail_ratio) == (OrderType.TRAIL, D("0.02"))
    (terms,) = stops_sent(bought(protection=plan(None, trail_distance=D(3))))
    assert (terms.type, terms.trigger_price) == (OrderType.STOP, 97)


def test_a_report_from_before_a_change_is_not_taken_for_its_outcome():
    life = guarded()
    old = stops_sent(life)[-1]
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(95)))
    report(life, old)
    assert life.p.at_venue.current.state is StopState.AMENDING
    amended(life)
    assert life.p.at_venue.settled


def test_where_it_cannot_be_changed_a_swap_places_the_new_one_before_the_old_one_goes():
    life = guarded(rules=replace(RULES, amends_stops=False))
    first = stops_sent(life)[-1]
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(95)))
    assert not of(life.decision.effects, CancelOrder)
    report(life)
    (cancel,) = of(life.decision.effects, CancelOrder)
    assert cancel.client_order_id == first.client_order_id
    assert life.p.status is PositionStatus.OPEN_PROTECTED


def test_on_spot_the_old_one_goes_first_but_not_before_the_daemon_watches():
    spot = swap(kind=Kind.SPOT)
    life = guarded(rules=replace(RULES, amends_stops=False), instrument=spot)
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(95)))
    assert not of(life.decision.effects, CancelOrder)
    assert of(life.arm().decision.effects, CancelOrder)
    assert len(stops_sent(life)) == 1
    end(life, _S.CANCELED)
    assert stops_sent(life)[-1].trigger_price == 95
    assert report(life).p.status is PositionStatus.OPEN_PROTECTED


def test_a_crossing_gives_the_venue_a_grace_to_fire():
    life = guarded().cross("stop", "89")
    (timer,) = of(life.decision.effects, WakeAfter)
    assert (timer.purpose, timer.delay_s) == ("grace", 1.0)
    assert not at_market(life)
    report(life, status=_S.TRIGGERED)
    assert life.p.status is PositionStatus.CLOSING
    life.fill("1", "89", life.p.at_venue.stops[0].client_order_id)
    assert life.p.exit_reason is ExitReason.STOP_LOSS
    life.tell(Wake(timer.purpose, timer.exit_id, timer.version, timer.crossed))
    assert not at_market(life)


@pytest.mark.parametrize("kind", list(Kind))
def test_after_the_grace_what_is_left_is_sold_on_spot_once_the_stop_is_taken_out(kind):
    life = guarded(instrument=swap(kind=kind)).cross("stop", "89")
    (timer,) = of(life.decision.effects, WakeAfter)
    life.tell(Wake(timer.purpose, timer.exit_id, timer.version, timer.crossed))
    if kind is Kind.SPOT:
        (cancel,) = of(life.decision.effects, CancelOrder)
        assert cancel.at_once
        assert not at_market(life)
        end(life, _S.CANCELED)
    (exit_order,) = at_market(life)
    assert exit_order.armed
    assert exit_order.terms.quantity == 1
    assert life.p.exits[0].trigger.level == 90


def test_a_stop_that_fills_while_it_is_taken_out_leaves_nothing_to_sell():
    life = guarded(instrument=swap(kind=Kind.SPOT))
    life.tell(ClosePosition(life_id(), reason=ExitReason.KILL_SWITCH))
    stop = life.p.at_venue.stops[0].client_order_id
    life.fill("1", "89", stop)
    assert not at_market(life)
    end(life, _S.FILLED, order=stop)
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.STOP_LOSS


def life_id():
    return bought().p.id


@pytest.mark.parametrize(("kind", "leaves"), [(Kind.SWAP, 1), (Kind.SPOT, 0)])
def test_without_an_answer_to_the_cancel_a_swap_leaves_and_spot_waits(kind, leaves):
    life = locked_out(guarded(instrument=swap(kind=kind)).tell(ClosePosition(life_id())))
    count = len(at_market(life))
    for timer in of(life.decision.effects, WakeAfter):
        life.tell(Wake(timer.purpose, timer.exit_id, timer.version))
    assert len(at_market(life)) - count == leaves


def test_a_target_leaves_when_the_stop_has_been_made_smaller():
    spot = swap(kind=Kind.SPOT)
    life = guarded(protection=plan("90", [("110", "0.4")]), instrument=spot)
    life.cross("target-1", "110")
    (change,) = of(life.decision.effects, AmendOrder)
    assert change.terms.quantity == D("0.6")
    assert change.at_once
    assert not at_market(life)
    amended(life)
    assert [each.terms.quantity for each in at_market(life)] == [D("0.4")]
    assert life.p.status is PositionStatus.OPEN_PROTECTED


def test_a_stop_that_fired_while_its_order_failed_means_leaving_at_once():
    life = report(guarded(), status=_S.TRIGGERED)
    end(life, _S.REJECTED, "51008: no balance")
    (exit_order,) = at_market(life)
    assert exit_order.armed
    assert "STOP_FAILED" in codes(life)


def test_what_the_stop_did_not_cover_leaves_beside_it():
    life = Life(RULES).begin("1").fill("0.4", "100")
    report(life).fill("0.6", "100")  # and the change is not answered
    asked = of(life.decision.effects, AmendOrder)
    assert asked
    stop = life.p.at_venue.stops[0]
    report(life, replace(asked[0].terms, quantity=D("0.4")), status=_S.TRIGGERED)
    life.fill("0.4", "89", stop.client_order_id)
    end(life, _S.FILLED, order=stop.client_order_id)
    assert [each.terms.quantity for each in at_market(life)] == [D("0.6")]


def test_a_late_fill_of_a_stop_that_was_taken_out_is_booked_with_an_alarm():
    life = guarded(protection=plan("90", [("110", "0.4")]))
    first = life.p.at_venue.stops[0].client_order_id
    end(life, _S.CANCELED, order=first)
    life.fill("0.5", "89", first)
    assert life.p.remaining == D("0.5")
    assert "LATE_FILL" in codes(life)


def test_a_fill_of_more_than_is_held_is_an_alarm_and_no_crash():
    life = report(guarded(), status=_S.TRIGGERED)
    life.fill("1.5", "89", life.p.at_venue.stops[0].client_order_id)
    assert "OVER_FILL" in codes(life)
    assert life.p.status is PositionStatus.CLOSED


def test_one_that_was_taken_out_on_the_site_is_placed_again_at_once():
    life = guarded()
    end(life, _S.CANCELED)
    assert "STOP_CHANGED_OUTSIDE" in codes(life)
    assert life.p.status is PositionStatus.OPEN_UNPROTECTED
    assert len(stops_sent(life)) == 2
    assert report(life).p.status is PositionStatus.OPEN_PROTECTED


def test_a_refused_stop_is_tried_at_once_then_ever_slower():
    life = bought()
    delays = []
    for _ in range(5):
        end(life, _S.REJECTED, "50001: not now")
        for timer in of(life.decision.effects, WakeAfter):
            if timer.purpose == "venue_stop_retry":
                delays.append(timer.delay_s)
                life.tell(Wake(timer.purpose))
    assert delays == [0.2, 0.4, 0.8, 1.6]
    assert len(stops_sent(life)) == 6
    assert "VENUE_STOP_REFUSED" in codes(life)


@pytest.mark.parametrize("code", ["51278", "51280", "51051", "51053"])
def test_a_stop_on_the_wrong_side_means_leaving_now(code):
    life = bought()
    end(life, _S.REJECTED, f"{code}: trigger price above the last price")
    assert [each.terms.quantity for each in at_market(life)] == [1]
    assert life.p.exits[0].reason is ExitReason.STOP_LOSS


def test_not_confirmed_in_time_the_armed_daemon_counts_and_is_said_to_be_alone():
    life = bought()
    (timer,) = [each for each in of(life.effects, WakeAfter) if each.purpose == "venue_stop"]
    life.tell(Wake(timer.purpose, version=timer.version))
    assert "VENUE_STOP_MISSING" in codes(life)
    assert life.p.status is PositionStatus.OPEN_PROTECTED
    assert not report(life).p.at_venue.missing


def test_with_neither_guard_the_position_is_closed():
    life = Life(RULES).begin("1").fill("1", "100")
    for purpose in ("venue_stop", "unprotected", "overdue"):
        life.tell(Wake(purpose, version=1))
    assert life.p.status is PositionStatus.CLOSING
    end(life, _S.REJECTED, "50001: not now")
    assert at_market(life)[0].terms.quantity == 1
    assert life.p.exits[0].reason is ExitReason.UNPROTECTED


def test_a_failed_exit_has_the_stop_back_before_it_is_tried_again_slowly():
    life = guarded(instrument=swap(kind=Kind.SPOT)).tell(ClosePosition(life_id()))
    end(life, _S.CANCELED)
    for _ in range(2):
        order = at_market(life)[-1].terms.client_order_id
        end(life, _S.REJECTED, "BUSY", order=order)
        timers = of(life.decision.effects, WakeAfter)
        (timer,) = [each for each in timers if each.exit_id == "close"]
        if not timer.delay_s:
            life.tell(Wake(timer.purpose, timer.exit_id, timer.version))
    assert life.p.at_venue.current.state is StopState.PLACING
    assert report(life).p.status is PositionStatus.OPEN_PROTECTED


def test_a_short_has_its_stop_above():
    (terms,) = stops_sent(bought(protection=plan("110"), direction=Direction.SHORT))
    assert (terms.side.value, terms.trigger_price) == ("buy", 110)


def test_after_a_restart_the_orders_of_stops_are_asked_for_and_wishes_repeated():
    life = guarded()
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(95)))
    effects = resume(life.p, life.now, life.rules)
    assert of(effects, AmendOrder)
    assert of(effects, Arm)
    locked_out(life.tell(ClosePosition(life.p.id)))
    assert of(resume(life.p, life.now, life.rules), CancelOrder)
    assert not of(resume(life.p, life.now, life.rules), SubmitOrder)
