"""The last target beside the stop at the venue, in one order."""

import pytest
from msgspec.structs import replace

from domain.commands import ModificationType, ModifyProtection
from domain.effects import Alarm, AmendOrder, CancelOrder, SubmitOrder, WakeAfter
from domain.ids import ExitId
from domain.inputs import OrderEnded
from domain.instrument import PriceSource
from domain.order import OrderStatus, OrderType
from domain.position import PositionStatus
from domain.position_draft import PositionRules
from domain.protection import ExitReason
from domain.venue_stop import Resting
from tests.builders import D, Life, plan
from tests.domain import stop_words
from tests.domain.stop_words import amended, at_market, end, locked_out, of, report, stops_sent

RULES = PositionRules(stops_at_venue=True, amends_stops=True, targets_at_venue=True)
ONE_TARGET = plan("90", [("110", "1")])
TWO_TARGETS = plan("90", [("105", "0.4"), ("110", "0.6")])
_S = OrderStatus


def bought(protection=ONE_TARGET, rules=RULES):
    return stop_words.bought(protection=protection, rules=rules)


def guarded(*args, **others):
    return report(bought(*args, **others))


def prices(terms):
    return terms.trigger_price, terms.target_price


def test_a_target_that_closes_all_rests_in_one_order_with_the_stop():
    (terms,) = stops_sent(bought())
    assert (terms.type, *prices(terms), terms.quantity) == (OrderType.STOP, 90, 110, 1)
    assert guarded().p.status is PositionStatus.OPEN_PROTECTED


@pytest.mark.parametrize(
    ("protection", "rules"),
    [
        (ONE_TARGET, replace(RULES, targets_at_venue=False)),
        (TWO_TARGETS, RULES),
        (plan("90", [("110", "0.4")]), RULES),
        (plan("90"), RULES),
        (plan("90", [("110", "1")], target_watches=PriceSource.MARK), RULES),
    ],
)
def test_else_the_stop_rests_alone(protection, rules):
    (terms,) = stops_sent(bought(protection, rules))
    assert prices(terms) == (90, None)


def test_the_last_of_several_joins_the_stop_when_those_before_it_have_filled():
    life = guarded(TWO_TARGETS).cross("target-1", "105")
    life.fill("0.4", "105", at_market(life)[0].terms.client_order_id)
    assert [prices(each) for each in stops_sent(life)] == [(90, None), (90, 110)]
    report(life)
    (cancel,) = of(life.decision.effects, CancelOrder)
    assert cancel.client_order_id == stops_sent(life)[0].client_order_id


def test_moving_either_changes_the_order_in_place():
    life = guarded()
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(95)))
    (change,) = of(life.decision.effects, AmendOrder)
    assert prices(change.terms) == (95, 110)
    report(life, change.terms, change=change.number)
    moved = ModifyProtection(
        life.p.id, ModificationType.MODIFY_TP, price=D(112), exit_id="target-1"
    )
    life.tell(moved)
    (change,) = of(life.decision.effects, AmendOrder)
    assert prices(change.terms) == (95, 112)


def test_a_crossed_target_gives_the_venue_a_grace_and_its_fill_is_the_exit():
    life = guarded().cross("target-1", "110")
    (timer,) = of(life.decision.effects, WakeAfter)
    assert timer.purpose == "grace"
    assert not at_market(life)
    report(life, status=_S.TRIGGERED, at_target=True)
    life.fill("1", "110", stops_sent(life)[-1].client_order_id)
    end(life, _S.FILLED)
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.TAKE_PROFIT
    assert not at_market(life)


def test_a_target_that_closes_all_there_takes_back_what_the_entry_would_still_buy():
    life = report(Life(RULES).begin("1", ONE_TARGET, limit="100").fill("0.6", "100").arm())
    report(life, status=_S.TRIGGERED, at_target=True)
    (cancel,) = of(life.decision.effects, CancelOrder)
    assert cancel.client_order_id == life.p.entry.client_order_id


def test_a_target_whose_order_there_has_fired_sells_no_lot_besides():
    life = locked_out(guarded(TWO_TARGETS).cross("target-1", "105"))
    both = stops_sent(amended(life))[-1]  # the second target's
    report(life, both)
    life.tell(OrderEnded(life.p.id, life.p.exits[-1].client_order_id, _S.REJECTED, "BUSY"))
    before = len(at_market(life))
    report(life, both, status=_S.TRIGGERED, at_target=True)
    assert (prices(both), both.quantity) == ((90, 110), D("0.6"))
    assert at_market(life)[before:] == []


@pytest.mark.parametrize(
    ("price", "reason"), [("111", ExitReason.TAKE_PROFIT), ("89", ExitReason.STOP_LOSS)]
)
def test_a_fill_that_is_the_first_news_of_it_says_which_of_the_two_it_was(price, reason):
    life = guarded()
    life.fill("1", price, stops_sent(life)[-1].client_order_id)
    end(life, _S.FILLED)
    assert life.p.exit_reason is reason


def test_a_venue_that_refuses_both_in_one_order_gets_the_stop_alone():
    life = end(bought(), _S.REJECTED, "51277: the target would trigger at once")
    assert [prices(each) for each in stops_sent(life)] == [(90, 110), (90, None)]
    assert report(life).p.status is PositionStatus.OPEN_PROTECTED
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(95)))
    assert prices(stops_sent(life)[-1]) == (95, 110)  # changed protection is tried anew


def test_a_target_that_is_gone_at_the_venue_is_not_fought_for():
    life = bought()
    report(life, replace(stops_sent(life)[-1], target_price=None))
    assert life.p.status is PositionStatus.OPEN_PROTECTED
    assert len(stops_sent(life)) == 1
    assert not of(life.decision.effects, AmendOrder)
    assert not of(life.decision.effects, Alarm)


def test_a_stop_that_fired_for_a_moment_is_no_target_though_the_price_is_back():
    life = guarded(plan("90", [("102", "1")]))
    life.last = "98"
    report(life, status=_S.TRIGGERED)
    life.fill("1", "89.9", stops_sent(life)[-1].client_order_id)
    end(life, _S.FILLED)
    assert life.p.exit_reason is ExitReason.STOP_LOSS


def test_a_target_of_a_part_stays_apart_though_it_closes_all_that_has_filled_yet():
    life = Life(RULES).begin("1", plan("90", [("110", "0.5")]), limit="100").fill("0.001", "100")
    assert prices(stops_sent(life.arm())[-1]) == (90, None)


def test_a_target_whose_order_failed_at_the_venue_leaves_at_market():
    life = report(guarded(), status=_S.TRIGGERED, at_target=True)
    end(life, _S.REJECTED, "51008: no balance")
    (exit_order,) = at_market(life)
    assert exit_order.terms.quantity == 1
    assert life.p.exits[-1].reason is ExitReason.TAKE_PROFIT


def test_an_entry_brings_both_along_when_one_target_closes_all():
    rules = replace(RULES, attaches_stops=True)
    life = Life(rules).begin("1", ONE_TARGET)
    (entry,) = of(life.decision.effects, SubmitOrder)
    assert entry.terms.attached.trigger_price == 90
    assert entry.terms.attached.target_price == 110
    life.fill("1", "100")
    assert not stops_sent(life)
    stop = life.p.at_venue.current
    assert (stop.asked.target_id, stop.asked.target_price) == ("target-1", 110)
    (entry,) = of(Life(rules).begin("1", TWO_TARGETS).decision.effects, SubmitOrder)
    assert entry.terms.attached.target_price is None


BOTH = Resting(ExitId("stop"), D(1), D(90), target_id=ExitId("target-1"), target_price=D(110))


@pytest.mark.parametrize(
    ("price", "rule"),
    [("110", "target-1"), ("100.1", "target-1"), ("100", "stop"), ("89", "stop"), (None, "stop")],
)
def test_a_trade_is_of_the_rule_that_it_is_nearer_to_and_in_doubt_of_the_stop(price, rule):
    assert BOTH.rule_at(None if price is None else D(price)) == rule
    for alone in ({"target_id": None}, {"target_price": None}, {"trigger_price": None}):
        assert replace(BOTH, **alone).rule_at(D(110)) == "stop"


def test_what_a_target_at_the_venue_leaves_is_dust_where_it_cannot_be_ordered():
    life = report(guarded(), status=_S.TRIGGERED, at_target=True)
    life.fill("0.9996", "110", stops_sent(life)[-1].client_order_id)
    end(life, _S.FILLED)
    assert not at_market(life)
    assert life.p.status is PositionStatus.CLOSED_WITH_DUST
