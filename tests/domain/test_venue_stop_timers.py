"""What a position waits for while its stop rests there, and what it asks after a restart."""

import pytest
from msgspec.structs import replace

from domain.commands import ClosePosition
from domain.effects import Alarm, AmendOrder, AskOrders, CancelOrder, WakeAfter
from domain.ids import ClientOrderId
from domain.inputs import Wake
from domain.instrument import Direction
from domain.order import OrderStatus
from domain.position import PositionStatus
from domain.position_decide import resume
from domain.venue_stop_reports import left_before_the_crash
from tests.builders import D, Life, plan, position_id
from tests.domain.stop_words import (
    RULES,
    asked,
    bought,
    end,
    guarded,
    locked_out,
    move,
    of,
)

_S = OrderStatus


def retries(life: Life) -> list[WakeAfter]:
    return [each for each in asked(life, WakeAfter) if each.purpose == "venue_stop_retry"]


def stop_of(life: Life) -> ClientOrderId:
    return life.p.at_venue.stops[0].client_order_id


# --- crossed, and the venue should know ---


@pytest.mark.parametrize(
    ("exit_id", "price", "waits"), [("trail", "97", True), ("stop", "89", False)]
)
def test_a_trail_at_the_venue_is_given_time_for_its_own_rule_alone(exit_id, price, waits):
    life = guarded(protection=plan(None, trail_ratio=D("0.02")))
    if exit_id == "stop":
        life.position = replace(
            life.p, protection=replace(life.p.protection, stop=guarded().p.protection.stop)
        )
    life.cross(exit_id, price)
    assert ([each.purpose for each in asked(life, WakeAfter)] == ["grace"]) is waits


@pytest.mark.parametrize(
    ("direction", "stop", "price"), [(Direction.LONG, "90", "90"), (Direction.SHORT, "110", "110")]
)
def test_a_stop_that_is_touched_is_given_time_to_fire_there(direction, stop, price):
    life = guarded(protection=plan(stop), direction=direction).cross("stop", price)
    assert [each.purpose for each in asked(life, WakeAfter)] == ["grace"]


def test_a_stop_that_rests_farther_away_is_not_waited_for():
    life = guarded()
    rules = life.p.protection
    nearer = replace(rules, stop=replace(rules.stop, price=D(95)))
    life.position = replace(life.p, protection=nearer)
    life.cross("stop", "94")
    assert not [each for each in asked(life, WakeAfter) if each.purpose == "grace"]


def test_a_stop_that_nobody_confirmed_is_not_waited_for():
    life = bought().cross("stop", "89")
    assert not [each for each in asked(life, WakeAfter) if each.purpose == "grace"]


# --- not in time ---


def late(life: Life) -> Life:
    return life.tell(Wake("venue_stop", version=life.p.at_venue.round))


def test_a_stop_that_is_late_is_said_once_and_by_whom_the_position_is_guarded():
    life = late(bought())
    (alarm,) = asked(life, Alarm)
    assert "the daemon alone guards" in alarm.message
    assert not asked(life, WakeAfter)
    assert late(life).decision.events == ()
    life = late(Life(RULES).begin("1").fill("1", "100"))
    (alarm,) = asked(life, Alarm)
    assert "nothing guards" in alarm.message
    assert asked(life, WakeAfter) == [WakeAfter(3.0, "overdue")]


def test_the_deadline_of_an_earlier_round_is_none():
    life = bought()
    assert life.tell(Wake("venue_stop", version=life.p.at_venue.round - 1)).decision.events == ()
    assert late(guarded()).decision.events == ()


# --- after a restart ---


def test_after_a_restart_an_exit_that_waited_may_have_left():
    life = locked_out(guarded().tell(ClosePosition(position_id())))
    (order,) = life.p.exits
    (released,) = left_before_the_crash(life.p, life.now)
    assert (released.client_order_id, released.quantity) == (order.client_order_id, 1)
    assert released.at == life.now
    assert left_before_the_crash(guarded().p, life.now) == ()
    assert left_before_the_crash(replace(life.p, status=PositionStatus.CLOSED), life.now) == ()


def purposes(life: Life, rules=None) -> list[tuple[str, float, int]]:
    effects = resume(life.p, life.now, rules or life.rules)
    return sorted((each.purpose, each.delay_s, each.version) for each in of(effects, WakeAfter))


def test_after_a_restart_a_stop_that_rests_is_asked_for_and_followed():
    life = guarded()
    effects = resume(life.p, life.now, life.rules)
    (question,) = of(effects, AskOrders)
    assert question.client_order_ids == (stop_of(life),)
    assert [each.trigger_price for each in question.terms] == [90]
    assert not of(effects, CancelOrder)
    assert not of(effects, AmendOrder)
    assert purposes(life) == [("align", 0.0, 0), ("unprotected", 2.0, 0)]


def test_after_a_restart_a_stop_that_does_not_rest_has_its_deadline_again():
    life = bought()
    round_now = life.p.at_venue.round
    assert ("venue_stop", 2.0, round_now) in purposes(life)
    end(end(life, _S.REJECTED, "50001: x"), _S.REJECTED, "50001: x")
    assert life.p.at_venue.pausing
    assert ("venue_stop_retry", 0.1, 0) in purposes(life)


def test_after_a_restart_what_was_asked_of_a_stop_is_asked_again():
    life = move(guarded(), "95")
    effects = resume(life.p, life.now, life.rules)
    assert [(each.terms.trigger_price, each.number) for each in of(effects, AmendOrder)] == [
        (95, 1)
    ]
    life = locked_out(guarded().tell(ClosePosition(position_id())))
    effects = resume(life.p, life.now, life.rules)
    assert [each.client_order_id for each in of(effects, CancelOrder)] == [stop_of(life)]
    assert ("release_exit", 0.3, 0) in purposes(life)


def test_after_a_restart_without_stops_at_the_venue_nothing_is_asked_about_them():
    life = bought(rules=replace(RULES, stops_at_venue=False))
    assert purposes(life) == [("unprotected", 2.0, 0)]
    with_stops = guarded()
    assert ("align", 0.0, 0) in purposes(with_stops, replace(RULES, stops_at_venue=False))


# --- failures in a row ---


def test_failures_within_a_minute_are_in_a_row_and_slow_it_down():
    life = end(bought(), _S.REJECTED, "50001: not now")
    assert retries(life) == []
    end(life.after(59.9), _S.REJECTED, "50001: not now")
    assert [each.delay_s for each in retries(life)] == [0.2]
    life.tell(Wake("venue_stop_retry"))
    end(life.after(60), _S.REJECTED, "50001: not now")
    assert retries(life) == []
    assert life.p.at_venue.failures == 1


def test_a_wait_for_the_next_try_ends_at_its_limit():
    life = end(bought(), _S.REJECTED, "50001: not now")
    delays = []
    for _ in range(7):
        end(life, _S.REJECTED, "50001: not now")
        delays += [each.delay_s for each in retries(life)]
        life.tell(Wake("venue_stop_retry"))
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    life.rules = replace(RULES, retry_first_s=1.0, retry_max_s=1e9)
    life.position = replace(life.p, at_venue=replace(life.p.at_venue, failures=40))
    end(life, _S.REJECTED, "50001: not now")
    assert [each.delay_s for each in retries(life)] == [2.0**16]


def test_a_timer_of_a_try_does_nothing_where_nothing_pauses():
    assert guarded().tell(Wake("venue_stop_retry")).decision.events == ()
