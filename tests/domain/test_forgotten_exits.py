"""A fill of an exit that left just before a crash, and whose rule a person has taken away since.

The venue tells of it when the position knows neither the order nor the rule: the money moved, and
the id says whose it was. It is booked, once, and nothing is sold twice for it.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.commands import ClosePosition, ModificationType, ModifyProtection
from domain.effects import Disarm, WakeAfter
from domain.ids import ClientOrderId, client_order_id
from domain.inputs import FillReported, OrderEnded, Wake
from domain.instrument import Direction
from domain.money import ZERO
from domain.order import OrderStatus
from domain.position import PositionStatus
from domain.position_draft import PositionRules
from domain.protection import ExitReason
from tests.builders import ACCOUNT, D, Life, a_fill, opened, plan, position_id

BOTH = pytest.mark.parametrize("direction", Direction)
TARGETS = plan("90", [("110", "0.5"), ("120", "0.5")])


def alarms(life: Life) -> list[str]:
    return [effect.code for effect in life.decision.effects if hasattr(effect, "code")]


def leg(name: str, epoch: int = 0, number: int = 1) -> ClientOrderId:
    return client_order_id(ACCOUNT, position_id(number), name, epoch)


def cancel_target(life: Life, name: str = "target-1") -> Life:
    return life.tell(ModifyProtection(life.p.id, ModificationType.CANCEL_TP, exit_id=name))


def told(
    life: Life, order: str, quantity: str, ordered: str | None = None, trade: str | None = None
) -> Life:
    fill = a_fill(quantity, "110", life.p.direction.exit_side, order, trade)
    return life.tell(FillReported(life.p.id, fill, None if ordered is None else D(ordered)))


def end(life: Life, order: str, status: OrderStatus = OrderStatus.CANCELED) -> Life:
    return life.tell(OrderEnded(life.p.id, order, status, ""))


def forgotten(**others: object) -> Life:
    return cancel_target(opened(protection=TARGETS, **others)).arm()


def test_a_target_that_was_canceled_after_it_had_sold_is_booked_as_a_target():
    life = told(forgotten(), leg("target-1"), "0.5", "0.5")
    assert alarms(life) == []
    (order,) = life.p.exits
    assert (order.exit_id, order.reason) == ("target-1", ExitReason.TAKE_PROFIT)
    assert (order.whole, order.done, order.outstanding) == (False, True, ZERO)
    assert life.p.remaining == D("0.5")
    assert life.p.status is PositionStatus.OPEN_PROTECTED


def test_it_claims_what_it_still_may_sell():
    life = told(forgotten(), leg("target-1"), "0.2", "0.5")
    assert (life.p.remaining, life.p.outstanding_exits) == (D("0.8"), D("0.3"))
    life.tell(ClosePosition(life.p.id))
    assert life.last_exit().terms.quantity == D("0.5")
    told(life, leg("target-1"), "0.3", "0.5")
    life.fill_exit("110")
    assert life.p.status is PositionStatus.CLOSED


def test_told_twice_it_counts_once():
    life = told(forgotten(), leg("target-1"), "0.5", "0.5", trade="t1")
    before = life.p
    assert told(life, leg("target-1"), "0.5", "0.5", trade="t1").p == before


def test_what_it_left_is_not_sold_again_for_a_rule_that_is_gone():
    life = told(forgotten(), leg("target-1"), "0.2", "0.5")
    end(life, leg("target-1"))
    assert alarms(life) == ["EXIT_FAILED"]
    sent = len(life.exits_sent())
    life.tell(Wake("retry_exit", "target-1"))
    assert len(life.exits_sent()) == sent
    assert (life.p.free_quantity, life.p.status) == (D("0.8"), PositionStatus.OPEN_PROTECTED)


def test_a_target_that_failed_and_was_canceled_before_its_retry_stays_canceled():
    life = opened(protection=TARGETS).cross("target-1", "110")
    end(life, leg("target-1"), OrderStatus.REJECTED)
    cancel_target(life).tell(Wake("retry_exit", "target-1"))
    assert len(life.exits_sent()) == 1


def test_nobody_told_how_much_it_asked_for():
    life = told(forgotten(), leg("target-1"), "0.2")
    told(life, leg("target-1"), "0.3")
    assert (life.p.remaining, life.p.outstanding_exits) == (D("0.5"), ZERO)
    assert [order.filled for order in life.p.exits] == [D("0.5")]


def test_it_may_be_the_end_of_the_position():
    life = told(forgotten(), leg("target-1"), "1", "1")
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.TAKE_PROFIT


@pytest.mark.parametrize(
    ("name", "exit_id", "reason"),
    [
        ("stop-0", "stop", ExitReason.STOP_LOSS),
        ("trail-0", "trail", ExitReason.TRAILING_STOP),
        ("time-0", "time", ExitReason.TIME_EXIT),
        ("close-0", "close", ExitReason.MANUAL_CLOSE),
        ("close-3", "close-3", ExitReason.MANUAL_CLOSE),
        ("target-7", "target-7", ExitReason.TAKE_PROFIT),
    ],
)
def test_each_leg_says_which_exit_it_was(name, exit_id, reason):
    life = told(opened(), leg(name, epoch=9), "0.5", "0.5")
    (order,) = life.p.exits
    assert (order.exit_id, order.reason) == (exit_id, reason)
    assert life.p.remaining == D("0.5")


@pytest.mark.parametrize("order", [leg("entry-3"), leg("adopted-0"), leg("stop-0", number=2), "x"])
def test_what_is_no_exit_of_it_is_foreign(order):
    life = opened()
    before = life.p
    assert alarms(told(life, order, "0.5", "0.5")) == ["FOREIGN_FILL"]
    assert life.p == before


@BOTH
def test_the_stop_at_the_venue_covers_what_is_left(direction):
    rules = PositionRules(stops_at_venue=True, amends_stops=True)
    targets = TARGETS if direction is Direction.LONG else plan("110", [("90", "1")])
    life = Life(rules).begin(protection=targets, direction=direction).fill("1", "100")
    cancel_target(life)
    told(life, leg("target-1"), "0.5", "0.5")
    assert life.p.free_quantity == D("0.5")


PARTS = st.sampled_from(["0.1", "0.2", "0.3"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("target"), st.sampled_from(["target-1", "target-2"]), PARTS),
        st.tuples(st.just("stray"), st.sampled_from(["stop-0", "time-0", "close-4"]), PARTS),
        st.tuples(st.just("cancel"), st.sampled_from(["target-1", "target-2"]), PARTS),
        st.tuples(st.just("close"), st.just(""), PARTS),
        st.tuples(st.just("fill"), st.just(""), PARTS),
        st.tuples(st.just("again"), st.just(""), PARTS),
        st.tuples(st.just("end"), st.sampled_from(["target-1", "target-2"]), PARTS),
        st.tuples(st.just("retry"), st.sampled_from(["target-1", "target-2", "close"]), PARTS),
    ),
    max_size=14,
)


@given(STEPS)
def test_in_any_order_every_fill_counts_once_and_no_claim_is_negative(steps):
    life = opened(protection=TARGETS)
    sold, trades = ZERO, 0
    for step, name, part in steps:
        if life.p.is_closed:
            break
        quantity = str(min(D(part), life.p.remaining))
        match step:
            case "target" | "stray":
                before = life.p.remaining
                order = leg(f"{name}")
                told(life, order, quantity, "0.5", trade=f"t{trades}")
                trades += 1
                sold += before - life.p.remaining
                assert before - life.p.remaining == D(quantity)
                assert "FOREIGN_FILL" not in alarms(life)
            case "cancel":
                cancel_target(life, name)
            case "close":
                life.tell(ClosePosition(life.p.id, part=D(part)))
            case "fill" if life.exits_sent():
                sold += D(quantity)
                told(life, life.last_exit().terms.client_order_id, quantity, trade=f"t{trades}")
                trades += 1
            case "again" if life.p.fills[1:]:
                before = life.p
                life.tell(FillReported(life.p.id, life.p.fills[-1]))
                assert life.p == before
            case "end":
                end(life, leg(name))
            case "retry":
                life.tell(Wake("retry_exit", name))
        assert life.p.remaining == D(1) - sold
        assert all(order.outstanding >= ZERO for order in life.p.exits)
        assert len({fill.trade_id for fill in life.p.fills}) == len(life.p.fills)
        ids = [each.client_order_id for each in life.p.exits]
        assert len(set(ids)) == len(ids)
    for order in life.exits_sent():
        assert ZERO < order.terms.quantity <= D(1)


def test_a_target_whose_firing_the_journal_lost_is_watched_no_longer():
    life = opened("1", protection=plan("90", [("110", "0.4"), ("120", "0.6")]))
    order = next(each for each in life.p.armed if each.exit_id == "target-1").client_order_id
    life.fill("0.4", "110", order)
    (disarm,) = [each for each in life.decision.effects if isinstance(each, Disarm)]
    assert (disarm.position_id, disarm.exit_id) == (life.p.id, "target-1")


def test_a_part_of_an_exit_that_filled_has_not_failed_and_the_rest_leaves():
    """An exit in several orders, of which the first left before the crash."""
    life = told(opened(protection=TARGETS), leg("stop-0"), "0.4", "0.4")
    end(life, leg("stop-0"), OrderStatus.FILLED)
    assert alarms(life) == []
    (wake,) = [each for each in life.effects if getattr(each, "purpose", "") == "retry_exit"]
    assert isinstance(wake, WakeAfter)
    life.tell(Wake(wake.purpose, wake.exit_id))
    assert life.last_exit().terms.quantity == D("0.6")
    life.fill_exit("90")
    assert life.p.status is PositionStatus.CLOSED
    assert alarms(life) == []


def test_a_part_of_a_target_that_filled_has_not_failed_and_its_rest_is_watched_again():
    life = told(opened(protection=TARGETS), leg("target-1"), "0.2", "0.2")
    end(life, leg("target-1"), OrderStatus.FILLED)
    assert alarms(life) == []
    life.tell(Wake("retry_exit", "target-1"))
    assert life.p.protection.target("target-1") is not None
    life.arm().cross("target-1", "110")
    assert life.last_exit().terms.quantity == D("0.3")
