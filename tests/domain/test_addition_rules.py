"""When something may be added to a position, and which stop an entry brings along."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.effects import Answer, SubmitOrder
from domain.ids import ExitId, RequestId, client_order_id
from domain.inputs import BeginAddition, OrderEnded, Wake
from domain.order import AttachedStop, OrderStatus
from domain.position import Entry, PositionStatus
from domain.position_additions import MAX_ADDITIONS, addition_problem
from domain.position_draft import PositionRules
from domain.position_events import AdditionIntended, PositionQuarantined, ProtectionSet
from domain.position_life import evolve
from tests.builders import ACCOUNT, NOW, D, Life, opened, plan, position_id


def adding(life: Life, stop: str | None = None) -> Life:
    return life.tell(
        BeginAddition(
            position_id=life.p.id,
            client_order_id=client_order_id(ACCOUNT, position_id(), "entry-1", 0),
            quantity=D("0.5"),
            limit_price=None,
            expires_at=NOW + timedelta(seconds=5),
            stop_price=None if stop is None else D(stop),
            request_id=RequestId("r"),
        )
    )


def refusal(life: Life) -> str | None:
    (answer,) = (each for each in life.decision.effects if isinstance(each, Answer))
    return None if answer.refusal is None else answer.refusal.rule


def test_nothing_is_added_to_what_is_quarantined():
    life = opened()
    assert addition_problem(life.p) is None
    assert addition_problem(evolve(life.p, PositionQuarantined("x", NOW))).rule == "QUARANTINED"


@pytest.mark.parametrize(
    ("known", "rule"), [(MAX_ADDITIONS - 1, None), (MAX_ADDITIONS, "TOO_MANY_ADDITIONS")]
)
def test_the_last_addition_there_may_be_may_be(known, rule):
    life = opened()
    done: Entry = replace(life.p.entry, status=OrderStatus.FILLED)
    problem = addition_problem(replace(life.p, additions=(done,) * known))
    assert (problem and problem.rule) == rule


def test_a_last_target_that_sold_all_it_could_is_not_tried_again():
    life = opened("1", protection=plan("90", [("110", "0.4"), ("120", "0.6")]))
    life.cross("target-1", "110")
    first = life.last_exit().terms.client_order_id
    life.cross("target-2", "120").fill_exit("120", "0.6")
    life.tell(OrderEnded(life.p.id, first, OrderStatus.REJECTED, "BUSY"))
    life.tell(Wake("retry_exit", ExitId("target-1"))).arm()
    assert life.p.status is PositionStatus.OPEN_PROTECTED
    assert addition_problem(life.p) is None


def test_a_stop_that_is_where_an_addition_wants_it_is_not_moved():
    life = adding(opened(protection=plan("90")), stop="90")
    assert [type(event) for event in life.decision.events] == [AdditionIntended]
    assert refusal(life) is None


def test_an_addition_may_bring_a_stop_to_what_has_only_a_trail():
    life = adding(opened(protection=plan(None, trail_distance=D(5))), stop="96")
    assert refusal(life) is None
    assert life.p.protection.stop.price == 96
    assert ProtectionSet in {type(event) for event in life.decision.events}


def test_an_entry_brings_the_stop_of_its_plan_where_the_venue_takes_both():
    rules = PositionRules(stops_at_venue=True, attaches_stops=True)
    (sent,) = Life(rules).begin("1", plan("90")).sent()
    assert sent.terms.attached == AttachedStop(
        client_order_id(ACCOUNT, position_id(), "guard-0", 0), D(90)
    )
    for bare in (Life(rules).begin("1", plan(None)), Life(rules).begin("1", limit="99"), Life()):
        life = bare if bare.position else bare.begin("1")
        (sent,) = (each for each in life.effects if isinstance(each, SubmitOrder))
        assert sent.terms.attached is None
