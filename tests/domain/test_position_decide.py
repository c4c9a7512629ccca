"""What a position does about fills and ends of orders, expected or not, and about a restart."""

from datetime import timedelta
from math import inf

import pytest
from msgspec.structs import replace

from domain.commands import ClosePosition
from domain.effects import (
    Alarm,
    AnnounceClosed,
    AnnounceOpened,
    Answer,
    Arm,
    AskOrders,
    CancelOrder,
    Disarm,
    SubmitOrder,
    WakeAfter,
)
from domain.ids import (
    NO_ORDER,
    ClientOrderId,
    ExitId,
    RequestId,
    TraderName,
    client_order_id,
)
from domain.inputs import BeginEntry, FillReported, OrderEnded, OutsideReported, Wake
from domain.instrument import Direction, Kind
from domain.order import OrderStatus
from domain.position import PositionStatus
from domain.position_decide import resume
from domain.position_draft import PositionRules
from domain.position_events import PositionFilled, PositionQuarantined, ProtectionSet
from domain.position_life import evolve
from domain.protection import ExitReason
from domain.venue import Outside
from tests.builders import ACCOUNT, NOW, D, Life, a_fill, opened, plan, position_id, swap

_S = PositionStatus
NOBODY = ClientOrderId("nobody's")


def of(life, kind):
    return [effect for effect in life.decision.effects if isinstance(effect, kind)]


def alarms(life: Life) -> list[str]:
    return [alarm.code for alarm in of(life, Alarm)]


def ended(life: Life, order: ClientOrderId, status: OrderStatus = OrderStatus.REJECTED) -> Life:
    return life.tell(OrderEnded(life.p.id, order, status, "BUSY"))


def refuse(life: Life) -> Life:
    return ended(life, life.last_exit().terms.client_order_id)


def outside(life: Life, quantity: str) -> Life:
    fill = a_fill(quantity, "100", life.p.direction.exit_side, NO_ORDER)
    return life.tell(OutsideReported(life.p.id, fill, Outside.PERSON))


# --- entries ---


def entry(**others: object) -> BeginEntry:
    return BeginEntry(
        position_id=position_id(),
        account=ACCOUNT,
        trader=TraderName("manual"),
        instrument=swap(),
        direction=Direction.LONG,
        client_order_id=client_order_id(ACCOUNT, position_id(), "entry-0", 0),
        quantity=D(1),
        limit_price=None,
        leverage=D(1),
        plan=plan(),
        expires_at=NOW + timedelta(seconds=5),
        **others,
    )


def test_whoever_asks_for_an_entry_is_answered_when_its_intent_is_decided():
    life = Life().tell(entry(request_id=RequestId("r")))
    assert [answer.refusal for answer in of(life, Answer)] == [None]
    assert [type(each) for each in Life().tell(entry()).decision.effects] == [SubmitOrder]


def test_an_entry_begun_twice_is_one():
    life = Life().tell(entry())
    before = life.p
    life.tell(entry())
    assert life.p == before
    assert life.decision.effects == ()


def test_it_is_announced_once_with_its_first_fill():
    life = Life().begin("1").fill("0.4", "100")
    (opening,) = of(life, AnnounceOpened)
    assert (opening.position_id, opening.direction) == (life.p.id, Direction.LONG)
    assert not of(life.fill("0.6", "100"), AnnounceOpened)


def test_the_end_of_the_first_entry_leaves_a_breakeven_where_it_was_planned():
    life = Life().begin("1", plan("90", breakeven_price=D(105)), limit="104")
    life.fill("0.5", "100").arm().fill("0.4", "104")
    ended(life, life.p.entry.client_order_id, OrderStatus.CANCELED)
    assert not [event for event in life.decision.events if isinstance(event, ProtectionSet)]


def test_selling_a_part_leaves_an_entry_that_still_fills():
    life = Life().begin("1", plan("90", [("110", "0.5")]), limit="100").fill("0.4", "100").arm()
    life.cross("target-1", "110").fill_exit("110")
    assert not of(life, CancelOrder)


# --- fills that nobody expected ---


def test_a_fill_of_an_order_that_is_not_ours_is_alarmed_and_not_booked():
    life = opened()
    before = life.p
    life.fill("1", "100", NOBODY)
    assert alarms(life) == ["FOREIGN_FILL"]
    assert life.p == before


def test_before_its_entry_has_filled_a_fill_of_the_stop_it_brought_is_ignored():
    life = Life(PositionRules(stops_at_venue=True, attaches_stops=True)).begin("1")
    stop = life.p.entry.attached
    assert life.fill("1", "90", stop).decision.effects == ()
    assert life.fill("1", "90", NOBODY).decision.effects != ()
    life.fill("1", "100").fill("1", "90", stop)
    assert life.p.fills[-1].client_order_id == stop


def test_an_exit_that_sells_more_than_is_held_is_alarmed():
    life = opened().cross("stop", "90").fill_exit("90", "1.5")
    assert alarms(life) == ["OVER_FILL"]
    assert life.p.is_closed
    assert alarms(opened().cross("stop", "90").fill_exit("90", "1")) == []


@pytest.mark.parametrize(("part", "status"), [("1", _S.CLOSING), ("0.5", _S.OPEN_PROTECTED)])
def test_a_target_whose_firing_was_lost_closes_what_it_stands_for(part, status):
    life = opened("1", protection=plan("90", [("110", part)]))
    (target,) = (each.client_order_id for each in life.p.armed if each.exit_id == "target-1")
    life.fill("0.1", "110", target)
    assert life.p.status is status
    assert life.p.exits[0].quantity == D(part)
    assert life.p.exits[0].whole is (part == "1")


# --- ends that nobody expected ---


def test_the_end_of_an_order_that_is_not_ours_changes_nothing():
    for life in (Life().begin("1"), opened(), opened().cross("stop", "90")):
        ended(life, NOBODY)
        assert life.decision.events == life.decision.effects == ()


def test_an_exit_that_has_filled_and_ends_did_not_fail():
    life = opened("1", protection=plan("90", [("110", "0.5")]))
    life.cross("target-1", "110").fill_exit("110")
    ended(life, life.last_exit().terms.client_order_id, OrderStatus.FILLED)
    assert life.decision.events == life.decision.effects == ()


def test_a_position_of_which_nothing_is_left_is_closed_by_any_end_at_the_latest():
    life = opened().cross("stop", "90")
    order = life.last_exit().terms.client_order_id
    fill = a_fill("1", "90", life.p.direction.exit_side, order)
    life.position = evolve(life.p, PositionFilled(fill, ExitId("stop")))
    assert ended(life, order, OrderStatus.FILLED).p.status is _S.CLOSED


def test_an_exit_that_ends_when_others_have_closed_all_did_not_fail():
    life = outside(opened().cross("stop", "90"), "1")
    refuse(life)
    assert life.p.status is _S.CLOSED_EXTERNAL
    assert alarms(life) == []
    assert not of(life, WakeAfter)


def test_an_exit_that_ends_when_a_late_fill_has_closed_all_did_not_fail():
    life = opened().cross("stop", "90")
    late = client_order_id(ACCOUNT, position_id(), "guard-0", 3)
    life.fill("1", "90", late)
    assert not life.p.is_closed  # its own order is under way
    refuse(life)
    assert life.p.status is _S.CLOSED
    assert alarms(life) == []


def test_the_last_lot_is_no_dust():
    life = opened(
        "1", protection=plan("90", [("110", "0.001")]), instrument=swap(min_notional=D(0))
    )
    life.cross("target-1", "110")
    target = life.last_exit().terms
    assert target.quantity == D("0.001")
    life.cross("stop", "90").fill_exit("90")
    ended(life, target.client_order_id)
    assert life.p.status is _S.CLOSING
    life.tell(Wake("retry_exit", ExitId("target-1")))
    assert life.last_exit().terms.quantity == D("0.001")


def test_what_a_fee_in_base_leaves_below_a_lot_is_dust():
    life = Life().begin("1", instrument=swap(kind=Kind.SPOT))
    life.fill("1", "100", fee="0.0005", fee_asset="BTC")
    ended(life, life.p.entry.client_order_id, OrderStatus.FILLED)
    life.arm().cross("stop", "90").fill_exit("90")
    assert life.p.status is _S.CLOSED_WITH_DUST
    assert life.p.exit_reason is ExitReason.STOP_LOSS
    assert life.p.remaining == D("0.0005")
    assert [(each.exit_id, each.over) for each in of(life, Disarm)] == [(None, True)]
    assert [each.reason for each in of(life, AnnounceClosed)] == [ExitReason.STOP_LOSS]


# --- failures ---


def test_a_failing_exit_waits_twice_as_long_each_time():
    life = opened().cross("stop", "90")
    delays = []
    for _ in range(8):
        (timer,) = of(refuse(life), WakeAfter)
        delays.append(timer.delay_s)
        life.tell(Wake(timer.purpose, timer.exit_id))
    assert delays == [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_wait_does_not_double_for_ever():
    life = opened().cross("stop", "90")
    life.rules = PositionRules(retry_first_s=1.0, retry_max_s=inf)
    for failures, delay in [(15, 2.0**15), (16, 2.0**16), (17, 2.0**16), (99, 2.0**16)]:
        life.position = replace(life.p, failed_exits=failures)
        (timer,) = of(refuse(life), WakeAfter)
        assert timer.delay_s == delay
        life.tell(Wake("retry_exit", ExitId("stop")))


def test_other_rules_are_watched_while_a_last_target_waits_to_be_tried_again():
    life = opened(protection=plan("90", [("110", "1")]))
    for arms in ([], [["stop"]]):
        refuse(life.cross("target-1", "110"))
        assert [[level.exit_id for level in arm.levels] for arm in of(life, Arm)] == arms
        life.tell(Wake("retry_exit", ExitId("target-1"))).arm()


@pytest.mark.parametrize(
    ("exit_id", "targets"), [("stop", []), ("target-1", [("110", "0.4"), ("120", "0.6")])]
)
def test_nothing_else_is_armed_where_a_stop_or_a_part_waits_to_be_tried_again(exit_id, targets):
    life = opened(protection=plan("90", targets))
    for _ in range(3):
        refuse(life.cross(exit_id, "90" if exit_id == "stop" else "110"))
        assert not of(life, Arm)
        life.tell(Wake("retry_exit", ExitId(exit_id))).arm()


def test_two_targets_that_are_refused_do_not_fire_at_each_others_failure():
    life = opened("10", protection=plan("90", [("110", "0.4"), ("120", "0.6")]))
    outside(life, "8")  # what is left is less than either target's part
    refuse(life.cross("target-1", "130"))
    life.tell(Wake("retry_exit", ExitId("target-1"))).arm()
    refuse(life.cross("target-1", "130"))
    assert watched(life) == ["stop", "target-2"]
    refuse(life.cross("target-2", "130"))
    assert watched(life) == ["stop"]
    life.tell(Wake("retry_exit", ExitId("target-1")))
    assert watched(life) == ["stop", "target-1", "target-2"]
    refuse(life.cross("target-1", "130"))
    assert watched(life) == ["stop"]


def watched(life):
    (arm,) = of(life, Arm)
    return sorted(level.exit_id for level in arm.levels)


# --- after a restart ---


def test_a_closed_position_asks_nothing_after_a_restart():
    life = opened().cross("stop", "90").fill_exit("90")
    assert resume(life.p, life.now, life.rules) == ()


def test_after_a_restart_only_orders_that_may_be_under_way_are_asked_for():
    life = opened("1", protection=plan("90", [("110", "0.5")]))
    life.cross("target-1", "110").fill_exit("110")
    effects = resume(life.p, life.now, life.rules)
    assert not [each for each in effects if isinstance(each, AskOrders)]
    life.tell(ClosePosition(life.p.id, part=D("0.5")))
    effects = resume(life.p, life.now, life.rules)
    (asked,) = (each for each in effects if isinstance(each, AskOrders))
    assert asked.client_order_ids == (life.last_exit().terms.client_order_id,)


def test_after_a_restart_a_quarantined_position_tries_nothing_again():
    life = refuse(opened().cross("stop", "90"))
    retries = [WakeAfter(0.1, "retry_exit", ExitId("stop"))]

    def timers():
        effects = resume(life.p, life.now, life.rules)
        return [each for each in effects if getattr(each, "purpose", "") == "retry_exit"]

    assert timers() == retries
    life.position = evolve(life.p, PositionQuarantined("x", NOW))
    assert timers() == []


def test_told_of_a_fill_after_its_end_it_only_alarms():
    life = opened().cross("stop", "90").fill_exit("90")
    fill = a_fill("1", "90", life.p.direction.exit_side, life.last_exit().terms.client_order_id)
    life.tell(FillReported(life.p.id, fill))
    assert alarms(life) == ["LATE_FILL"]
    assert life.decision.events == ()
