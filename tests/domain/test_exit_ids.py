"""An order id is used once, whatever became of its order: at the venue it means that order."""

from domain.inputs import OrderEnded, Wake
from domain.order import OrderStatus
from domain.position import PositionStatus
from domain.protection import ExitReason
from tests.builders import opened, plan


def test_what_a_target_could_not_sell_follows_the_stop_that_filled_under_another_id():
    life = opened("1", protection=plan("90", [("110", "0.4"), ("120", "0.3")]))
    life.cross("target-1", "110")
    target = life.last_exit().terms.client_order_id
    life.cross("stop", "90")
    stop = life.last_exit().terms.client_order_id
    life.fill("0.6", "90", stop)
    life.tell(OrderEnded(life.p.id, target, OrderStatus.ABSENT, "it never arrived"))
    life.tell(Wake("retry_exit", life.p.exits[0].exit_id))
    again = life.last_exit().terms
    assert again.client_order_id not in {target, stop}
    assert str(again.quantity) == "0.4"
    life.fill("0.4", "89", again.client_order_id)
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.STOP_LOSS


def test_the_id_of_a_target_that_filled_is_not_armed_again():
    life = opened("1", protection=plan("90", [("110", "0.4"), ("120", "0.6")]))
    life.cross("target-1", "110")
    refused = life.last_exit().terms.client_order_id
    life.cross("target-2", "120")
    filled = life.last_exit().terms.client_order_id
    life.fill("0.6", "120", filled)
    life.tell(OrderEnded(life.p.id, refused, OrderStatus.REJECTED, "BUSY"))
    life.tell(Wake("retry_exit", life.p.exits[0].exit_id))
    newly = {each.client_order_id for each in life.p.armed}
    assert [target.exit_id for target in life.p.protection.open_targets()] == ["target-1"]
    assert not newly & {refused, filled}
