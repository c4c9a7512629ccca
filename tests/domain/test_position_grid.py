"""The venue takes orders of other sizes than when a position was opened."""

import pytest

from domain.commands import ClosePosition
from domain.effects import Alarm, AmendOrder
from domain.inputs import GridTold, OrderEnded, Wake
from domain.order import OrderStatus
from domain.position import PositionStatus
from domain.position_events import GridChanged
from tests.builders import D, Life, opened, plan, position_id
from tests.domain.stop_words import guarded

_S = PositionStatus


def alarms(life: Life) -> list[str]:
    return [each.message for each in life.decision.effects if isinstance(each, Alarm)]


def told(life: Life, lot: str, least: str | None = None) -> Life:
    return life.tell(GridTold(life.p.id, D(lot), D(least or lot)))


def refuse(life: Life) -> Life:
    order = life.last_exit().terms.client_order_id
    return life.tell(OrderEnded(life.p.id, order, OrderStatus.REJECTED, "51121: lot"))


def test_an_exit_sells_what_the_venue_takes_and_the_rest_is_dust():
    life = told(opened("1.005"), "0.01")
    (said,) = alarms(life)
    assert said.endswith("of 1.005 held 0.005 will be left over as dust; sell that there")
    life.cross("stop", "90")
    assert life.last_exit().terms.quantity == D("1.00")
    life.fill_exit("90")
    assert (life.p.status, life.p.remaining) == (_S.CLOSED_WITH_DUST, D("0.005"))


def test_an_exit_that_was_refused_for_its_size_is_tried_again_in_whole_lots():
    life = opened("1.005").cross("stop", "90")
    refuse(life)
    told(life, "0.01").tell(Wake("retry_exit", "stop"))
    assert life.last_exit().terms.quantity == D("1.00")


def test_a_refused_part_is_tried_again_in_whole_lots():
    life = opened("1.005").tell(ClosePosition(position_id(), part=D("0.5")))
    assert life.last_exit().terms.quantity == D("0.502")
    refuse(life)
    told(life, "0.01").tell(Wake("retry_exit", "close-1"))
    assert life.last_exit().terms.quantity == D("0.50")


def test_a_refused_part_that_is_too_small_by_now_is_not_tried_again():
    life = opened("1").tell(ClosePosition(position_id(), part=D("0.05")))
    refuse(life)
    told(life, "0.1").tell(Wake("retry_exit", "close-1"))
    assert len(life.exits_sent()) == 1


def test_less_than_the_least_order_is_left_over():
    life = told(opened("1", protection=plan("90", [("110", "0.95")])), "0.001", "0.1")
    assert alarms(life) == []
    life.cross("target-1", "110")
    assert life.last_exit().terms.quantity == D(1)  # what is left could not be sold


def test_the_stop_at_the_venue_is_made_whole_lots():
    life = told(guarded("1.005"), "0.01")
    (change,) = [each for each in life.decision.effects if isinstance(each, AmendOrder)]
    assert change.terms.quantity == D("1.00")


@pytest.mark.parametrize(("lot", "least"), [("2", "2"), ("0.001", "2")])
def test_sizes_by_which_nothing_could_be_sold_are_not_taken_over(lot, least):
    life = guarded("1")
    before = life.p
    told(life, lot, least)
    assert "nothing can be sold by an order" in alarms(life)[0]
    assert life.p == before


def test_the_same_sizes_are_no_news():
    life = told(opened(), "0.001")
    assert life.decision.events == life.decision.effects == ()


def test_finer_lots_and_lots_that_leave_no_more_behind_are_taken_over_quietly():
    for lot in ("0.0001", "0.01"):
        life = told(opened(), lot)
        assert [type(each) for each in life.decision.events] == [GridChanged]
        assert alarms(life) == []
        assert life.p.instrument.lot_size == D(lot)


def test_before_its_entry_has_filled_it_takes_them_over_and_after_its_end_nothing():
    life = told(Life().begin("1"), "2")
    assert life.p.instrument.lot_size == 2
    life = opened().cross("stop", "90").fill_exit("90")
    assert told(life, "2").decision.events == ()
