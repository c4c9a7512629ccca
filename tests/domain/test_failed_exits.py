"""What a position does about exits that fail, alone and beside others."""

import pytest

from domain.commands import ClosePosition
from domain.effects import Arm, CancelOrder, SubmitOrder, WakeAfter
from domain.ids import ClientOrderId
from domain.inputs import OrderEnded, Wake
from domain.order import OrderStatus
from domain.position import PositionStatus
from domain.position_decide import resume
from domain.protection import ExitReason
from tests.builders import D, Life, opened, plan


def of(effects, kind):
    return [effect for effect in effects if isinstance(effect, kind)]


def fail(life: Life, order: ClientOrderId | None = None) -> Life:
    """Let an exit be refused: the named one, else the last."""
    order = order or life.last_exit().terms.client_order_id
    return life.tell(OrderEnded(life.p.id, order, OrderStatus.REJECTED, "BUSY"))


def wake(life: Life) -> Life:
    """Let the retry come that was set last."""
    (timer,) = of(life.decision.effects, WakeAfter)
    return life.tell(Wake(timer.purpose, timer.exit_id, timer.version))


def ids(life: Life) -> list[str]:
    return [effect.terms.client_order_id for effect in life.exits_sent()]


def test_a_refused_part_is_tried_again_as_a_part():
    life = opened()
    life.tell(ClosePosition(life.p.id, part=D("0.25")))
    wake(fail(life))
    assert life.last_exit().terms.quantity == D("0.25")
    life.fill_exit("101")
    assert life.p.remaining == D("0.75")
    assert life.p.status is PositionStatus.OPEN_PROTECTED
    assert len(set(ids(life))) == 2


def test_a_part_that_filled_in_part_is_tried_again_for_its_rest():
    life = opened()
    life.tell(ClosePosition(life.p.id, part=D("0.5"))).fill_exit("101", "0.2")
    wake(fail(life))
    assert life.last_exit().terms.quantity == D("0.3")


def test_a_retry_that_comes_twice_sells_once():
    life = opened()
    life.tell(ClosePosition(life.p.id, part=D("0.25")))
    fail(life)
    (timer,) = of(life.decision.effects, WakeAfter)
    for _ in range(2):
        life.tell(Wake(timer.purpose, timer.exit_id, timer.version))
    assert len(life.exits_sent()) == 2
    life.fill_exit("101")
    life.tell(Wake(timer.purpose, timer.exit_id, timer.version))
    assert len(life.exits_sent()) == 2


def test_an_exit_that_fails_for_minutes_is_tried_less_often_and_never_less_than_that():
    life = opened().cross("stop", "90")
    pauses = []
    for _ in range(200):
        (timer,) = of(fail(life).decision.effects, WakeAfter)
        pauses.append(timer.delay_s)
        wake(life)
    assert pauses[:8] == [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert set(pauses[7:100]) == {5.0}
    assert set(pauses[100:]) == {20.0}
    fail(life.fill_exit("90", "0.4"))  # it trades again
    assert [each.delay_s for each in of(life.decision.effects, WakeAfter)] == [0.0]


def test_what_a_refused_target_had_claimed_is_sold_though_a_stop_is_under_way():
    life = opened("1", protection=plan("90", [("110", "0.4"), ("120", "0.3")]))
    life.cross("target-1", "110")
    target = life.last_exit().terms.client_order_id
    life.cross("stop", "90")
    stop = life.last_exit().terms
    assert stop.quantity == D("0.6")
    wake(fail(life, target))
    again = life.last_exit().terms
    assert again.quantity == D("0.4")
    assert again.client_order_id not in {target, stop.client_order_id}
    life.fill("0.6", "90", stop.client_order_id).fill("0.4", "90", again.client_order_id)
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.STOP_LOSS


@pytest.mark.parametrize("part", [D("0.25"), None])
def test_what_a_failed_exit_had_claimed_is_closed_though_the_close_of_the_rest_is_done(part):
    life = opened("1", protection=plan("90", [("110", "0.25"), ("120", "0.3")]))
    if part is None:
        life.cross("target-1", "110")
    else:
        life.tell(ClosePosition(life.p.id, part=part))
    first = life.last_exit().terms.client_order_id
    life.tell(ClosePosition(life.p.id)).fill_exit("105", "0.75")
    wake(fail(life, first))  # in doubt until now
    assert life.p.status is PositionStatus.CLOSING
    assert life.last_exit().terms.quantity == D("0.25")
    wake(fail(life)).fill_exit("104", "0.25")
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.MANUAL_CLOSE
    assert len(set(ids(life))) == 4


def test_a_failed_target_is_watched_again_though_the_last_target_has_sold_the_rest():
    life = opened("1", protection=plan("90", [("110", "0.4"), ("120", "0.6")]))
    life.cross("target-1", "110")
    first = life.last_exit().terms.client_order_id
    life.cross("target-2", "120").fill_exit("120", "0.6")
    wake(fail(life, first))
    (arm,) = of(life.decision.effects, Arm)
    assert [level.exit_id for level in arm.levels] == ["stop", "target-1"]
    assert life.arm().p.status is PositionStatus.OPEN_PROTECTED


def test_a_refused_exit_of_late_fills_is_tried_again_while_the_first_one_is_under_way():
    life = Life().begin("1", limit="100").fill("0.4", "100").arm().cross("stop", "90")
    first = life.last_exit().terms.client_order_id
    life.fill("0.1", "100")
    second = life.last_exit().terms.client_order_id
    wake(fail(life, second))
    third = life.last_exit().terms
    assert third.quantity == D("0.1")
    assert len({first, second, third.client_order_id}) == 3


def test_after_a_restart_nothing_that_failed_while_closing_is_left_lying():
    life = opened("1", protection=plan("90", [("110", "0.4"), ("120", "0.3")]))
    life.cross("target-1", "110")
    target = life.last_exit().terms.client_order_id
    life.cross("stop", "90")
    stop = life.last_exit().terms.client_order_id
    fail(life, target).fill("0.6", "90", stop)  # a fill: nothing counts as failing any more
    assert life.p.status is PositionStatus.CLOSING
    (timer,) = of(resume(life.p, life.now, life.rules), WakeAfter)
    life.tell(Wake(timer.purpose, timer.exit_id))
    assert life.last_exit().terms.quantity == D("0.4")


def test_after_a_restart_an_exit_under_way_is_not_taken_for_a_failed_one():
    life = opened()
    life.tell(ClosePosition(life.p.id, part=D("0.25")))
    fail(life)
    life.tell(ClosePosition(life.p.id, part=D("0.5")))
    before = len(life.exits_sent())
    for timer in of(resume(life.p, life.now, life.rules), WakeAfter):
        life.tell(Wake(timer.purpose, timer.exit_id, timer.version))
    again = life.exits_sent()[before:]
    assert [effect.terms.quantity for effect in again] == [D("0.25")]
    assert len(set(ids(life))) == len(ids(life))


def test_while_a_last_target_is_refused_again_and_again_the_stop_is_watched():
    life = opened("1", protection=plan("90", [("110", "1")])).cross("target-1", "110")
    wake(fail(life)).arm().cross("target-1", "110")
    fail(life)
    assert of(life.decision.effects, WakeAfter)[0].delay_s > 0
    (arm,) = of(life.decision.effects, Arm)
    assert [level.exit_id for level in arm.levels] == ["stop"]
    life.arm()
    assert life.p.status is PositionStatus.OPEN_PROTECTED
    assert life.cross("stop", "90").exits_sent()[-1].terms.quantity == 1


def test_an_entry_withdrawn_before_it_filled_is_closed_when_it_fills_all_the_same():
    life = Life().begin("1", limit="99")
    life.tell(ClosePosition(life.p.id, reason=ExitReason.KILL_SWITCH))
    life.tell(ClosePosition(life.p.id))
    assert len(of(life.events, type(life.events[-1]))) == 1  # wished twice, noted once
    life.fill("0.4", "99")
    assert life.last_exit().terms.quantity == D("0.4")
    assert not life.last_exit().armed
    life.fill("0.6", "99")
    assert life.last_exit().terms.quantity == D("0.6")
    for sent in life.exits_sent():
        life.fill(str(sent.terms.quantity), "99", sent.terms.client_order_id)
    life.tell(OrderEnded(life.p.id, life.p.entry.client_order_id, OrderStatus.FILLED, ""))
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.KILL_SWITCH


def test_after_a_restart_an_entry_that_nobody_wants_is_canceled_again():
    life = Life().begin("1", limit="99")
    assert not of(resume(life.p, life.now, life.rules), CancelOrder)
    life.tell(ClosePosition(life.p.id))
    assert of(resume(life.p, life.now, life.rules), CancelOrder)
    closing = Life().begin("1", limit="100").fill("0.4", "100").arm().cross("stop", "90")
    assert of(resume(closing.p, closing.now, closing.rules), CancelOrder)
    assert not of(resume(closing.p, closing.now, closing.rules), SubmitOrder)
