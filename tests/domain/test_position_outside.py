"""What happens to a position at the venue and is not its doing."""

import pytest

from domain.commands import ClosePosition
from domain.effects import Alarm, AnnounceClosed, Arm, BookOutside, CancelOrder
from domain.ids import NO_ORDER, client_order_id
from domain.inputs import AdoptPosition, FundingTold, OrderEnded, OutsideReported
from domain.instrument import Direction, Kind, Side
from domain.order import OrderStatus
from domain.position import PositionStatus
from domain.position_events import PositionSettled
from domain.position_life import evolve
from domain.protection import ExitReason
from domain.venue import Outside
from tests.builders import ACCOUNT, NOW, D, Life, a_fill, opened, plan, position_id, swap

_S = PositionStatus


def outside(life, quantity, at="100", trade="x", cause=Outside.PERSON, **others):
    fill = a_fill(quantity, at, life.p.direction.exit_side, NO_ORDER, trade)
    return life.tell(OutsideReported(life.p.id, fill, cause, **others))


def effects(life, kind):
    return [effect for effect in life.decision.effects if isinstance(effect, kind)]


@pytest.mark.parametrize(
    ("cause", "status", "reason"),
    [
        (Outside.PERSON, _S.CLOSED_EXTERNAL, ExitReason.EXTERNAL),
        (Outside.ADL, _S.CLOSED_EXTERNAL, ExitReason.EXTERNAL),
        (Outside.LIQUIDATION, _S.LIQUIDATED, ExitReason.LIQUIDATED),
    ],
)
def test_closed_by_others_it_is_over_and_says_by_whom(cause, status, reason):
    life = outside(opened("1"), "1", at="90", cause=cause)
    assert (life.p.status, life.p.exit_reason) == (status, reason)
    assert life.p.realized_pnl == -10
    (told,) = effects(life, AnnounceClosed)
    assert told.reason is reason
    assert not life.exits_sent()
    assert len(effects(life, BookOutside)) == 1


def test_told_twice_it_counts_once():
    life = outside(opened("1"), "0.4")
    outside(life, "0.4")
    assert life.p.remaining == D("0.6")
    assert life.decision.effects == ()


def test_more_than_is_held_takes_only_that():
    life = outside(opened("1"), "3")
    assert life.p.fills[-1].quantity == 1
    assert life.p.is_closed


def test_a_part_leaves_the_rest_guarded_and_an_exit_asks_for_no_more():
    life = outside(opened("1"), "0.4")
    assert life.p.status is _S.OPEN_PROTECTED
    assert effects(life, Arm)
    life.cross("stop", "89")
    assert life.last_exit().terms.quantity == D("0.6")
    life.fill_exit("89")
    assert life.p.exit_reason is ExitReason.STOP_LOSS


def test_an_exit_under_way_is_taken_out_when_nothing_is_left_to_close():
    life = opened("1")
    life.cross("stop", "89")
    outside(life, "1")
    (cancel,) = effects(life, CancelOrder)
    assert cancel.client_order_id == life.last_exit().terms.client_order_id
    life.tell(OrderEnded(life.p.id, cancel.client_order_id, OrderStatus.REJECTED, "51169"))
    assert life.p.status is _S.CLOSED_EXTERNAL


def test_an_entry_that_still_works_is_canceled_before_the_end():
    life = Life().begin("2", limit="100").fill("1", "100").arm()
    outside(life, "1")
    (cancel,) = effects(life, CancelOrder)
    assert cancel.client_order_id == life.p.entry.client_order_id
    assert not life.p.is_closed
    life.tell(OrderEnded(life.p.id, cancel.client_order_id, OrderStatus.CANCELED, ""))
    assert life.p.status is _S.CLOSED_EXTERNAL


def test_less_than_a_lot_left_by_others_is_dust():
    life = opened("1", instrument=swap(kind=Kind.SPOT))
    outside(life, "0.9995")
    assert life.p.status is _S.CLOSED_EXTERNAL
    assert life.p.remaining == D("0.0005")


def test_dust_left_by_others_and_an_exit_of_a_part_ends_the_position():
    life = opened("1", instrument=swap(kind=Kind.SPOT))
    life.tell(ClosePosition(life.p.id, D("0.5")))
    outside(life, "0.4995")

    life.fill_exit("100")

    assert life.p.status is _S.CLOSED_WITH_DUST
    assert life.p.exit_reason is ExitReason.MANUAL_CLOSE


def test_a_guessed_price_is_said_to_be_one():
    life = outside(opened("1"), "1", estimated=True)
    (alarm,) = effects(life, Alarm)
    assert "guess" in alarm.message


# --- adopted ---


def adopted(direction=Direction.LONG, stop="90"):
    return Life().tell(
        AdoptPosition(
            position_id=position_id(),
            account=ACCOUNT,
            instrument=swap(),
            direction=direction,
            quantity=D(2),
            price=D(105),
            leverage=D(3),
            plan=plan(stop),
        )
    )


def test_a_find_is_born_with_an_emergency_stop_and_is_the_persons():
    life = adopted()
    assert (life.p.status, life.p.trader) == (_S.ADOPTED, "manual")
    assert (life.p.remaining, life.p.entry_price, life.p.leverage) == (2, 105, 3)
    assert life.p.protection.stop.price == 90
    (booked,) = effects(life, BookOutside)
    assert booked.fill.side is Side.BUY
    assert life.arm().p.status is _S.OPEN_PROTECTED


def test_a_find_is_closed_by_its_stop_as_any_other():
    life = adopted(Direction.SHORT, stop="120").arm()
    life.cross("stop", "121")
    assert life.last_exit().terms.side is Side.BUY
    life.fill_exit("121")
    assert (life.p.status, life.p.realized_pnl) == (_S.CLOSED, -32)


def test_a_find_that_is_adopted_twice_is_one():
    life = adopted()
    before = life.p
    life.tell(
        AdoptPosition(position_id(), ACCOUNT, swap(), Direction.LONG, D(1), D(1), D(1), plan())
    )
    assert life.p == before


# --- funding ---


def test_funding_is_a_part_of_the_profit():
    life = opened("1").tell(FundingTold(position_id(), D(-3), NOW))
    assert life.p.realized_pnl == -3
    life.tell(FundingTold(position_id(), D(-3), NOW))
    assert life.decision.events == ()
    life.tell(FundingTold(position_id(), D(-5), NOW))
    assert life.p.realized_pnl == -5


def test_funding_that_is_told_after_the_last_fill_is_a_part_of_the_profit_until_all_is_settled():
    life = outside(opened("1"), "1", at="90")
    life.tell(FundingTold(position_id(), D(-3), NOW))
    assert life.p.realized_pnl == -13
    life.position = evolve(life.p, PositionSettled(NOW))
    life.tell(FundingTold(position_id(), D(-5), NOW))
    assert life.decision.events == ()


def test_more_than_is_held_pays_its_share_of_the_fee():
    life = opened("2")
    fill = a_fill("6", "100", life.p.direction.exit_side, NO_ORDER, fee="0.6")
    life.tell(OutsideReported(life.p.id, fill, Outside.PERSON))
    assert life.p.fills[-1].fee.amount == D("0.2")
    assert life.p.fees == D("0.2")
    assert life.p.outside_fills == (life.p.fills[-1],)


def test_a_whole_lot_left_by_others_is_guarded_and_sold():
    life = outside(opened("1"), "0.999")
    assert life.p.status is _S.OPEN_PROTECTED
    assert life.cross("stop", "89").last_exit().terms.quantity == D("0.001")


def test_nothing_can_be_taken_of_what_has_not_filled():
    life = Life().begin("1", limit="99")
    outside(life, "1")
    assert life.decision.events == life.decision.effects == ()


def test_a_find_has_the_same_order_id_whenever_it_is_adopted():
    assert adopted().p.entry.client_order_id == client_order_id(
        ACCOUNT, position_id(), "adopted-0", 0
    )


def test_exactly_what_is_held_pays_its_fee_to_the_last_digit():
    life = opened("1")
    fill = a_fill("1", "100", life.p.direction.exit_side, NO_ORDER, fee="0.0000000000000001")
    life.tell(OutsideReported(life.p.id, fill, Outside.PERSON))
    assert life.p.fills[-1] == fill
