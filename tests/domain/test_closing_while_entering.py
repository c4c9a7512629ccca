"""Everything is to go while an entry still fills, and what is held so far cannot be sold yet."""

import pytest

from domain.commands import ClosePosition
from domain.effects import CancelOrder, SubmitOrder
from domain.inputs import OrderEnded
from domain.instrument import Kind
from domain.order import OrderStatus
from domain.position import PositionStatus
from domain.protection import ExitReason
from tests.builders import D, Life, plan, swap


def entering() -> Life:
    """Hold less than a lot of a coin: the fee was taken out of the first lot that was bought."""
    coin = swap(kind=Kind.SPOT)
    life = Life().begin("1", plan("90"), limit="100", instrument=coin)
    return life.fill("0.001", "100", fee="0.000001", fee_asset="BTC").arm()


def close(life: Life) -> Life:
    return life.tell(ClosePosition(life.p.id))


def cross(life: Life) -> Life:
    return life.cross("stop", "90")


BY = pytest.mark.parametrize(
    ("closes", "reason"), [(close, ExitReason.MANUAL_CLOSE), (cross, ExitReason.STOP_LOSS)]
)


@BY
def test_what_fills_after_that_is_sold_at_once(closes, reason):
    life = closes(entering())
    assert [type(each) for each in life.decision.effects if isinstance(each, CancelOrder)]
    assert life.exits_sent() == []
    life.fill("0.5", "100")
    (exit_order,) = [each for each in life.decision.effects if isinstance(each, SubmitOrder)]
    assert exit_order.terms.quantity == D("0.5")
    assert life.p.status is PositionStatus.CLOSING
    assert life.p.exits[0].reason is reason


@BY
def test_where_nothing_more_fills_it_is_left_over_as_dust(closes, reason):
    life = closes(entering())
    life.tell(OrderEnded(life.p.id, life.p.entry.client_order_id, OrderStatus.CANCELED, ""))
    assert life.p.status is PositionStatus.CLOSED_WITH_DUST
