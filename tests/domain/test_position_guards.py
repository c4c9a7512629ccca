"""When a position is guarded, what its timers do, and what a breakeven move sets."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.commands import ClosePosition, ModificationType, ModifyProtection, RequestedBy
from domain.effects import Alarm, Arm, RejectCrossing, WakeAfter
from domain.ids import ClientOrderId, ExitId
from domain.inputs import Armed, Offline, OrderEnded, OrderReported, Wake
from domain.instrument import Direction, PriceSource
from domain.order import OrderStatus, OrderType
from domain.position import PositionStatus
from domain.position_decide import resume
from domain.position_draft import PositionRules
from domain.position_events import (
    PositionQuarantined,
    ProtectionLost,
    ProtectionModified,
    ProtectionSet,
)
from domain.position_guards import guards
from domain.position_life import evolve
from domain.protection import Breakeven, ExitReason
from tests.builders import NOW, D, Life, opened, plan

_S = PositionStatus
STOP = ExitId("stop")


def of(life, kind):
    return [effect for effect in life.decision.effects if isinstance(effect, kind)]


def told(life, kind):
    return [event for event in life.decision.events if isinstance(event, kind)]


def refuse(life: Life) -> Life:
    order = life.last_exit().terms.client_order_id
    return life.tell(OrderEnded(life.p.id, order, OrderStatus.REJECTED, "BUSY"))


# --- from the first fill on ---


def test_a_guard_has_two_seconds_to_be_in_force():
    life = Life().begin("1", plan("90")).fill("1", "100")
    assert of(life, WakeAfter) == [WakeAfter(2.0, "unprotected", version=1)]
    assert not of(life, Alarm)


def test_without_a_guard_there_is_nothing_to_wait_for_and_it_is_said():
    life = Life().begin("1", plan(None)).fill("1", "100")
    assert not of(life, WakeAfter)
    assert [alarm.code for alarm in of(life, Alarm)] == ["NO_STOP"]


def test_nothing_is_watched_for_what_has_not_filled_or_is_closed():
    pending = Life().begin("1")
    assert guards(pending.p, pending.rules) == ()
    life = opened().cross("stop", "90")
    assert [type(each) for each in guards(life.p, life.rules)] == [Arm]
    life.fill_exit("90")
    assert guards(life.p, life.rules) == ()


def test_that_other_rules_are_watched_says_nothing_of_these():
    life = Life().begin("1").fill("1", "100").tell(Armed(Life().begin("1").p.id, 2, NOW))
    assert life.decision.events == ()
    assert life.p.status is _S.OPEN_UNPROTECTED


def test_watched_after_its_end_a_position_stays_closed():
    life = Life().begin("1").fill("1", "100").cross("stop", "90").fill_exit("90")
    life.tell(OrderEnded(life.p.id, life.p.entry.client_order_id, OrderStatus.FILLED, ""))
    assert life.p.is_closed
    assert life.arm().decision.events == ()


def test_watched_while_it_closes_it_goes_on_closing():
    life = Life().begin("1").fill("1", "100").cross("stop", "90")
    assert life.arm().decision.events == ()


# --- no guard in time ---


def test_no_guard_in_time_is_noted_alarmed_and_asked_for_once_more():
    life = Life().begin("1").fill("1", "100").tell(Wake("unprotected", version=1))
    assert [type(event) for event in life.decision.events] == [ProtectionLost]
    assert [alarm.code for alarm in of(life, Alarm)] == ["UNPROTECTED"]
    assert of(life, Arm)
    assert of(life, WakeAfter) == [WakeAfter(3.0, "overdue", version=1)]
    life.tell(OrderEnded(life.p.id, life.p.entry.client_order_id, OrderStatus.FILLED, ""))
    assert life.tell(Wake("overdue", version=1)).last_exit().armed


def test_a_guard_that_came_at_last_keeps_the_position():
    life = Life().begin("1").fill("1", "100").tell(Wake("unprotected", version=1)).arm()
    assert life.p.status is _S.OPEN_PROTECTED
    assert not life.tell(Wake("overdue", version=1)).exits_sent()


@pytest.mark.parametrize("purpose", ["unprotected", "overdue", "time_exit", "grace", "retry_exit"])
def test_a_timer_that_rings_before_the_first_fill_does_nothing(purpose):
    life = Life().begin("1").tell(Wake(purpose, STOP))
    assert life.decision.events == life.decision.effects == ()


@pytest.mark.parametrize("purpose", ["unprotected", "overdue", "time_exit", "grace", "retry_exit"])
def test_a_timer_that_rings_after_the_end_does_nothing(purpose):
    life = opened(protection=plan("90", max_holding_s=60.0)).cross("stop", "90").fill_exit("90")
    life.tell(Wake(purpose, STOP))
    assert life.decision.events == life.decision.effects == ()


# --- the time limit ---


def test_the_time_limit_leaves_with_an_id_that_was_durable():
    life = opened(protection=plan("90", max_holding_s=60.0)).after(60).tell(Wake("time_exit"))
    assert life.last_exit().armed
    assert life.p.exits[-1].exit_id == "time"


def test_without_a_time_limit_its_timer_does_nothing():
    assert not opened().tell(Wake("time_exit")).exits_sent()


def test_the_time_limit_does_nothing_while_another_exit_closes_the_position():
    life = opened(protection=plan("90", max_holding_s=60.0)).cross("stop", "90")
    assert life.tell(Wake("time_exit")).decision.events == ()


@pytest.mark.parametrize(("later_s", "delay_s"), [(59, 1), (60, 0), (3600, 0)])
def test_after_a_restart_the_time_limit_counts_from_the_first_fill(later_s, delay_s):
    life = opened(protection=plan("90", max_holding_s=60.0))
    effects = resume(life.p, life.now + timedelta(seconds=later_s), life.rules)
    timers = [each for each in effects if isinstance(each, WakeAfter)]
    assert [(each.purpose, each.delay_s) for each in timers] == [
        ("unprotected", 2.0),
        ("time_exit", delay_s),
    ]


def test_a_clock_that_is_behind_does_not_make_the_time_limit_longer():
    life = opened(protection=plan("90", max_holding_s=60.0))
    effects = resume(life.p, life.now - timedelta(seconds=84), life.rules)
    timers = {each.purpose: each.delay_s for each in effects if isinstance(each, WakeAfter)}
    assert timers["time_exit"] == 60


def test_after_a_restart_nothing_is_awaited_for_a_position_without_guard_or_limit():
    life = opened(protection=plan(None))
    assert [type(each) for each in resume(life.p, life.now, life.rules)] == [Arm]


# --- breakeven ---


@pytest.mark.parametrize(
    ("direction", "stop", "trigger", "at", "even"),
    [
        (Direction.LONG, "90", "105", "100.05", "100.2"),  # 100.15005
        (Direction.SHORT, "110", "95", "100.05", "99.9"),  # 99.94995
    ],
)
def test_a_breakeven_stop_lies_on_the_tick_beyond_entry_and_fees(
    direction, stop, trigger, at, even
):
    rules = plan(stop, breakeven_price=D(trigger))
    life = opened("1", at, rules, direction)
    assert life.p.protection.breakeven == Breakeven(D(trigger), D(even))
    life.cross("breakeven", trigger)
    assert life.p.protection.stop.price == D(even)
    assert life.p.protection.breakeven == Breakeven(D(trigger), D(even), done=True)
    assert life.p.protection.version == 2


def test_a_breakeven_move_is_kept_as_a_change_by_rule():
    life = opened(protection=plan("90", breakeven_price=D(105))).cross("breakeven", "105")
    (change,) = told(life, ProtectionModified)
    assert change.modification.requested_by is RequestedBy.RULE_ENGINE
    assert change.modification.previous.stop.price == 90
    assert change.modification.new == life.p.protection
    assert not life.p.manual_lock


def test_breakeven_does_not_loosen_a_stop_that_is_beyond_it():
    life = opened(protection=plan("90", breakeven_price=D(105)))
    life.last = "104"
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(102))).arm()
    life.cross("breakeven", "105")
    assert life.p.protection.stop.price == 102
    assert life.p.protection.breakeven.done


def test_a_stop_that_breakeven_sets_anew_watches_what_the_plan_says():
    rules = plan(None, breakeven_price=D(105), stop_watches=PriceSource.MARK)
    life = opened(protection=rules).cross("breakeven", "105")
    assert life.p.protection.stop.watches is PriceSource.MARK


def average_moves(life: Life) -> Life:
    """More fills of the first order: the average entry rises to 102."""
    return life.fill("0.5", "104", life.p.entry.client_order_id)


def test_a_breakeven_to_come_follows_an_average_that_moved_while_down():
    life = Life().begin("1", plan("90", breakeven_price=D(105)), limit="104")
    average_moves(life.fill("0.5", "100").arm())
    assert life.p.protection.breakeven.stop_price == D("100.1")
    position = replace(life.p, additions=(life.p.entry,))  # one more, which has just filled
    life.position = position
    life.tell(Offline(position.id, NOW, NOW, timedelta(0), {}, 7))
    assert life.p.protection.breakeven == Breakeven(D(105), D("102.2"))  # 102.102
    assert life.p.protection.version == 2
    assert [level.version for level in of(life, Arm)] == [2]
    assert len(told(life, ProtectionSet)) == 1
    life.tell(Offline(position.id, NOW, NOW, timedelta(0), {}, 7))
    assert life.decision.events == life.decision.effects == ()  # it follows already


# --- crossings ---


def test_a_crossing_of_what_is_no_rule_any_more_is_not_answered():
    life = opened(protection=plan("90", [("110", "0.5")]))
    for exit_id in ("trail", "breakeven", "target-2"):
        life.cross(exit_id, "50")
        assert life.decision.events == life.decision.effects == ()
    life.cross("target-1", "110").fill_exit("110").cross("target-1", "111")
    assert life.decision.effects == ()


def test_a_breakeven_that_was_done_is_not_done_again():
    life = opened(protection=plan("90", breakeven_price=D(105))).cross("breakeven", "105").arm()
    assert life.cross("breakeven", "106").decision.events == ()


def test_a_breakeven_not_quite_reached_is_watched_on():
    life = opened(protection=plan("90", breakeven_price=D(105))).cross("breakeven", "104.9")
    assert [each.exit_id for each in of(life, RejectCrossing)] == ["breakeven"]


# --- tried again ---


def test_a_retry_of_no_exit_does_nothing():
    life = refuse(opened().cross("stop", "90")).tell(Wake("retry_exit"))
    assert life.decision.events == life.decision.effects == ()


def test_a_quarantined_position_tries_nothing_again():
    life = refuse(opened().cross("stop", "90"))
    life.position = evolve(life.p, PositionQuarantined("x", NOW))
    assert life.tell(Wake("retry_exit", STOP)).decision.effects == ()


def test_a_stop_that_is_tried_again_keeps_its_reason():
    life = refuse(opened().cross("stop", "90")).tell(Wake("retry_exit", STOP))
    assert life.p.exits[-1].reason is ExitReason.STOP_LOSS
    assert life.p.status is _S.CLOSING


def test_an_exit_that_was_never_sent_is_tried_for_all_that_is_left():
    life = opened().tell(Wake("retry_exit", ExitId("close-7")))
    assert life.last_exit().terms.quantity == 1
    assert life.p.exits[-1].reason is ExitReason.MANUAL_CLOSE


@pytest.mark.parametrize(("left", "whole"), [("0.001", False), ("0.0009", True)])
def test_a_part_that_is_tried_again_ends_the_position_where_less_than_a_lot_is_left(left, whole):
    life = opened("1")
    life.tell(ClosePosition(life.p.id, part=D("0.5")))
    refuse(life)
    life.position = replace(
        life.p, ledger=replace(life.p.ledger, closed_quantity=D("0.5") - D(left))
    )
    life.tell(Wake("retry_exit", life.p.exits[-1].exit_id))
    assert (life.p.exits[-1].quantity, life.p.exits[-1].whole) == (D("0.5"), whole)
    assert not life.last_exit().armed  # its id is new


def test_a_target_that_is_tried_again_is_watched_under_the_next_version():
    life = refuse(opened(protection=plan("90", [("110", "0.5")])).cross("target-1", "110"))
    life.tell(Wake("retry_exit", ExitId("target-1")))
    assert life.p.protection.version == 2
    assert [(arm.version, len(arm.levels)) for arm in of(life, Arm)] == [(2, 2)]
    assert ClientOrderId(life.p.armed[1].client_order_id) not in {
        order.client_order_id for order in life.p.exits
    }


def test_a_breakeven_reached_after_more_fills_sets_the_stop_at_the_average_of_all():
    life = Life().begin("1", plan("90", breakeven_price=D(105)), limit="104")
    average_moves(life.fill("0.5", "100").arm()).cross("breakeven", "105")
    assert life.p.protection.stop.price == D("102.2")
    assert life.p.protection.breakeven == Breakeven(D(105), D("102.2"), done=True)


# --- with a stop at the venue ---

AT_VENUE = PositionRules(stops_at_venue=True, amends_stops=True)


def stop_reported(life: Life) -> Life:
    """Let the venue confirm the first stop it was asked for."""
    terms = next(each.terms for each in life.sent() if each.terms.type is OrderType.STOP)
    return life.tell(OrderReported(life.p.id, OrderStatus.OPEN, terms))


def test_while_the_venue_guards_it_a_position_waits_for_the_feed_without_alarm():
    life = stop_reported(Life(AT_VENUE).begin("1").fill("1", "100"))
    assert life.p.status is _S.OPEN_PROTECTED
    life.tell(Wake("unprotected", version=1))
    assert life.decision.events == ()
    assert [type(each) for each in life.decision.effects] == [Arm]


def test_a_stop_that_rests_for_a_part_and_is_changed_is_a_guard():
    life = Life(AT_VENUE).begin("1").fill("0.4", "100").fill("0.6", "100")
    stop_reported(life)
    assert life.p.status is _S.OPEN_UNPROTECTED  # confirmed for 0.4
    assert not life.tell(Wake("overdue")).p.exits


def test_while_a_stop_is_placed_again_the_feed_is_a_guard():
    life = stop_reported(Life(AT_VENUE).begin("1").fill("1", "100")).arm()
    order = life.p.at_venue.stops[0].client_order_id
    life.tell(OrderEnded(life.p.id, order, OrderStatus.CANCELED, ""))
    assert life.p.status is _S.OPEN_UNPROTECTED
    assert not life.tell(Wake("overdue")).p.exits


def test_levels_that_bound_no_loss_are_no_guard_however_well_they_are_watched():
    life = opened(protection=plan(None, [("110", "1")])).tell(Wake("overdue"))
    assert life.p.exits[-1].reason is ExitReason.UNPROTECTED
