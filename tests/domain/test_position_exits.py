"""How much an exit sells, under which id, and what the feed watches while it is under way."""

import msgspec
import pytest
from msgspec.structs import replace

from domain.commands import ClosePosition, ModificationType, ModifyProtection, ProtectionPlan
from domain.effects import Arm, CancelOrder, Disarm, SubmitOrder, WakeAfter
from domain.ids import NO_ORDER, ClientOrderId, ExitId
from domain.inputs import GridTold, OrderEnded, OutsideReported, Wake
from domain.instrument import Instrument, Kind
from domain.modifications import NO_MARKET
from domain.order import OrderStatus
from domain.position import ExitOrder, PositionStatus
from domain.position_draft import Draft
from domain.position_exits import (
    MOST_PARTS,
    closing_reason,
    exit_timer,
    failed_exits,
    failed_targets,
    parts_of,
)
from domain.protection import CLOSE, ExitReason
from domain.venue import Outside
from tests.builders import NOW, D, Life, a_fill, opened, plan, swap

STOP, TARGET = ExitId("stop"), ExitId("target-1")


def of(life, kind):
    return [effect for effect in life.decision.effects if isinstance(effect, kind)]


def close(life: Life, part: str = "1") -> Life:
    return life.tell(ClosePosition(life.p.id, part=D(part)))


def refuse(life: Life, order: ClientOrderId | None = None) -> Life:
    order = order or life.last_exit().terms.client_order_id
    return life.tell(OrderEnded(life.p.id, order, OrderStatus.REJECTED, "BUSY"))


def taken_by_others(life: Life, quantity: str) -> Life:
    fill = a_fill(quantity, "100", life.p.direction.exit_side, NO_ORDER)
    return life.tell(OutsideReported(life.p.id, fill, Outside.PERSON))


# --- how much ---


def test_a_retry_while_its_exit_is_under_way_sells_nothing():
    life = opened().cross("stop", "90")
    life.tell(Wake("retry_exit", STOP))
    assert len(life.exits_sent()) == len(life.p.exits) == 1


@pytest.mark.parametrize("taken", ["0.5", "0.7"])
def test_what_exits_under_way_have_claimed_no_target_and_no_stop_sells_again(taken):
    life = close(opened("1", protection=plan("90", [("110", "0.2")])), "0.5")
    taken_by_others(life, taken)
    life.cross("target-1", "110").cross("stop", "90")
    assert len(life.exits_sent()) == len(life.p.exits) == 1


def sold_by_target(instrument: Instrument, quantity: str, part: str = "0.5") -> object:
    protection = plan("90", [("100.5", part), ("130", "0.1")])
    life = opened(quantity, "100", protection, instrument=instrument)
    return life.cross("target-1", "100.5").last_exit().terms.quantity


def test_a_rest_that_is_just_large_enough_to_be_sold_stays():
    assert sold_by_target(swap(min_notional=D("5.025")), "0.1") == D("0.05")
    assert sold_by_target(swap(min_notional=D("5.0251")), "0.1") == D("0.1")
    by_quantity = {"min_notional": D(0), "lot_size": D("0.001")}
    assert sold_by_target(swap(min_quantity=D("0.05"), **by_quantity), "0.1") == D("0.05")
    assert sold_by_target(swap(min_quantity=D("0.051"), **by_quantity), "0.1") == D("0.1")


# --- beside what is under way ---


def test_a_target_that_takes_all_cancels_an_entry_that_still_fills():
    life = Life().begin("1", plan("90", [("110", "1")]), limit="100").fill("0.4", "100").arm()
    life.cross("target-1", "110")
    assert [each.client_order_id for each in of(life, CancelOrder)] == [
        life.p.entry.client_order_id
    ]


def test_a_target_that_takes_a_part_leaves_an_entry_that_still_fills():
    life = Life().begin("1", plan("90", [("110", "0.5")]), limit="100").fill("0.4", "100").arm()
    assert not of(life.cross("target-1", "110"), CancelOrder)


def test_a_target_leaves_at_once_with_an_id_that_was_durable():
    life = opened("1", protection=plan("90", [("110", "0.5")])).cross("target-1", "110")
    assert life.last_exit().armed


def test_the_feed_forgets_what_fired_and_all_of_it_when_nothing_is_left_to_watch():
    life = opened("1", protection=plan("90", [("110", "0.5")]))
    assert [each.exit_id for each in of(life.cross("target-1", "110"), Disarm)] == ["target-1"]
    assert [each.exit_id for each in of(life.cross("stop", "90"), Disarm)] == [None]


def test_an_exit_waits_on_spot_as_long_as_the_stop_has_its_units_and_not_so_on_a_swap():
    life = opened().cross("stop", "90")
    (order,) = life.p.exits
    (timer,) = exit_timer(life.rules, life.p, order)
    assert (timer.purpose, timer.exit_id, timer.delay_s) == ("release_exit", "stop", 0.3)
    spot = replace(life.p, instrument=swap(kind=Kind.SPOT))
    assert exit_timer(life.rules, spot, order) == ()


# --- ids ---


@pytest.mark.parametrize(
    ("rules", "armed"),
    [
        (plan("90", [("110", "0.5")]), ["stop", "target-1", "close"]),
        (plan(None, [("110", "0.5")], trail_distance=D(5)), ["target-1", "trail", "close"]),
        (plan("90", max_holding_s=60.0), ["stop", "time", "close"]),
        (plan(None, breakeven_price=D(105)), ["stop", "close"]),  # breakeven may set one
        (plan(None), ["close"]),
    ],
)
def test_every_exit_that_may_fire_has_its_id_before_it_does(rules: ProtectionPlan, armed):
    assert [each.exit_id for each in opened(protection=rules).p.armed] == armed


def test_where_an_id_and_that_of_a_close_are_in_use_an_exit_has_a_third():
    life = Life().begin("1", limit="100").fill("0.4", "100").arm().cross("stop", "90")
    for _ in range(2):
        refuse(life.fill("0.1", "100"))  # what filled late is sold, and that is refused
        life.tell(Wake("retry_exit", STOP))
    orders = [(each.exit_id, each.quantity) for each in life.p.exits if not each.done]
    assert orders == [("stop", D("0.4")), ("close", D("0.1")), ("close-5", D("0.1"))]
    assert len({each.client_order_id for each in life.p.exits}) == len(life.p.exits)


@pytest.mark.parametrize(
    ("exit_id", "reason"),
    [
        ("stop", ExitReason.STOP_LOSS),
        ("trail", ExitReason.TRAILING_STOP),
        ("target-1", ExitReason.TAKE_PROFIT),
        ("time", ExitReason.TIME_EXIT),
        ("close", ExitReason.MANUAL_CLOSE),
    ],
)
def test_a_firing_that_the_journal_lost_means_what_its_exit_stands_for(exit_id, reason):
    rules = plan("90", [("110", "1")], trail_distance=D(20), max_holding_s=60.0)
    life = opened(protection=rules)
    (order,) = (each.client_order_id for each in life.p.armed if each.exit_id == exit_id)
    life.fill("1", "95", order)
    assert life.p.exits[-1].reason is life.p.exit_reason is reason


# --- what failed ---


def test_a_refused_stop_failed_and_a_refused_target_is_watched_again_instead():
    life = opened("1", protection=plan("90", [("110", "0.5")])).cross("target-1", "110")
    assert failed_exits(life.p) == ()  # under way
    refuse(life)
    assert failed_exits(life.p) == ()
    refuse(life.cross("stop", "90"))
    assert failed_exits(life.p) == ("stop",)


def test_while_a_position_closes_a_refused_target_failed_too():
    life = opened("1", protection=plan("90", [("110", "0.5")])).cross("target-1", "110")
    target = life.last_exit().terms.client_order_id
    refuse(life.cross("stop", "90"), target)
    assert life.p.status is PositionStatus.CLOSING
    assert failed_exits(life.p) == ("target-1",)


def test_what_nobody_claims_while_a_position_closes_is_to_be_closed():
    life = opened().cross("stop", "90")
    assert failed_exits(life.p) == ()
    (order,) = life.p.exits
    short = replace(life.p, exits=(replace(order, quantity=D("0.6")),))
    assert failed_exits(short) == (CLOSE,)
    assert failed_exits(replace(short, status=PositionStatus.OPEN_PROTECTED)) == ()


def test_a_position_closes_for_the_reason_of_the_last_exit_that_was_to_end_it():
    life = close(opened("1"), "0.5").cross("stop", "90")
    part, stop = life.p.exits
    assert (part.whole, stop.whole) == (False, True)

    def reason(*exits):
        return closing_reason(Draft(replace(life.p, exits=exits), life.rules, NOW, NO_MARKET))

    assert reason(part, stop) is reason(stop, part) is ExitReason.STOP_LOSS
    timed = replace(stop, reason=ExitReason.TIME_EXIT)
    assert reason(stop, timed) is ExitReason.TIME_EXIT
    assert reason(part, replace(part, reason=ExitReason.KILL_SWITCH)) is ExitReason.KILL_SWITCH


# --- more than one order at market may have ---


def parts(life: Life) -> list[str]:
    return [str(sent.terms.quantity.normalize()) for sent in of(life, SubmitOrder)]


def test_what_is_too_much_for_one_order_at_market_leaves_at_once_in_several():
    life = opened("1", instrument=most_of("0.3"))

    life.cross("stop", "90")

    assert parts(life) == ["0.25", "0.25", "0.25", "0.25"]
    for sent in of(life, SubmitOrder):
        life.fill(str(sent.terms.quantity), "90", order=sent.terms.client_order_id)
    assert (life.p.status, life.p.exit_reason) == (PositionStatus.CLOSED, ExitReason.STOP_LOSS)
    assert of(life, WakeAfter) == []


def test_of_spot_the_parts_are_by_their_value():
    most = replace(swap(), kind=Kind.SPOT, max_market_value=D(40))
    assert parts(close(opened("1", instrument=most))) == ["0.334", "0.333", "0.333"]


@pytest.mark.parametrize(("part", "sold"), [("0.25", ["0.25"]), ("0.5", ["0.25", "0.25"])])
def test_a_part_that_is_too_much_for_one_order_leaves_in_several(part, sold):
    life = opened("1", instrument=most_of("0.3"))
    assert parts(close(life, part)) == sold
    assert life.p.status is PositionStatus.OPEN_PROTECTED


def test_a_target_that_is_too_much_for_one_order_leaves_in_several():
    life = opened("1", protection=plan("90", [("110", "1")]), instrument=most_of("0.5"))
    life.cross("target-1", "110")
    assert parts(life) == ["0.5", "0.5"]


@pytest.mark.parametrize("refused", [0, 1, 2])
@pytest.mark.parametrize("comes", ["first", "last"])
def test_of_a_target_in_several_parts_one_that_is_refused_is_sold_and_no_more(refused, comes):
    life = in_parts([("110", "0.6"), ("120", "0.4")])
    sent = [each.terms.client_order_id for each in of(life, SubmitOrder)]
    others = [each for each in sent if each != sent[refused]]
    if comes == "first":
        refuse(life, sent[refused])
        wake(life)
        assert parts(life.arm().cross("target-1", "110")) == ["0.2"]
        again = life.last_exit().terms.client_order_id
        fill_each(life, [*others, again])
    else:
        refuse(fill_each(life, others), sent[refused])
        wake(life)
        assert parts(life.arm().cross("target-1", "110")) == ["0.2"]
        fill_each(life, [life.last_exit().terms.client_order_id])
    assert life.p.remaining == D("0.4")
    assert life.p.status is PositionStatus.OPEN_PROTECTED
    assert [each.exit_id for each in life.p.protection.open_targets()] == ["target-2"]
    assert parts(life.cross("target-2", "120")) == ["0.2", "0.2"]


def test_of_a_target_in_several_parts_all_that_are_refused_are_sold_once():
    life = in_parts([("110", "0.6"), ("120", "0.4")])
    timers = []
    for each in of(life, SubmitOrder):
        timers += of(refuse(life, each.terms.client_order_id), WakeAfter)
    assert {each.exit_id for each in timers} == {"target-1"}
    for timer in timers:
        life.tell(Wake(timer.purpose, timer.exit_id)).arm().cross("target-1", "110")
    assert [each.outstanding for each in life.p.exits if not each.done] == [D("0.2")] * 3
    assert life.p.free_quantity == D("0.4")


def test_of_the_last_target_in_several_parts_one_that_is_refused_is_sold_at_once():
    life = in_parts([("110", "1")])
    sent = [each.terms.client_order_id for each in of(life, SubmitOrder)]
    refuse(life, sent[1])
    assert life.p.status is PositionStatus.CLOSING
    wake(life)
    assert parts(life) == ["0.2"]
    fill_each(life, [sent[0], *sent[2:], life.last_exit().terms.client_order_id])
    assert (life.p.status, life.p.exit_reason) == (PositionStatus.CLOSED, ExitReason.TAKE_PROFIT)


def test_of_the_last_target_in_several_parts_one_refused_again_leaves_the_stop_watched():
    life = in_parts([("110", "1")])
    *filled, last = [each.terms.client_order_id for each in of(life, SubmitOrder)]
    refuse(fill_each(life, filled), last)
    wake(life)
    assert parts(life.arm().cross("target-1", "110")) == ["0.2"]
    refuse(life)
    (arm,) = of(life, Arm)
    assert [level.exit_id for level in arm.levels] == ["stop"]


def test_while_a_part_of_it_is_under_way_the_feed_forgets_the_target_and_not_the_part():
    life = in_parts([("110", "0.6"), ("120", "0.4")])
    assert {each.exit_id for each in of(life, Disarm)} == {"target-1"}
    refuse(life, of(life, SubmitOrder)[2].terms.client_order_id)
    wake(life)
    life.arm().cross("target-1", "110")
    assert [each.exit_id for each in of(life, Disarm)] == ["target-1"]
    assert [each.stands_for for each in life.p.exits] == ["target-1"] * 4
    assert len({each.exit_id for each in life.p.exits}) == 4


def test_after_a_restart_a_refused_part_of_a_target_is_watched_again_as_the_target():
    life = in_parts([("110", "0.6"), ("120", "0.4")])
    sent = [each.terms.client_order_id for each in of(life, SubmitOrder)]
    for each in sent[1:]:
        refuse(life, each)
    assert failed_exits(life.p) == ()
    assert failed_targets(life.p) == {"target-1"}
    life.cross("stop", "90")
    assert failed_exits(life.p) == ("target-1",)


def test_a_part_of_a_target_that_a_person_took_away_is_not_tried_again():
    life = in_parts([("110", "0.6"), ("120", "0.4")])
    sent = [each.terms.client_order_id for each in of(life, SubmitOrder)]
    refuse(life, sent[1])
    life.tell(ModifyProtection(life.p.id, ModificationType.CANCEL_TP, exit_id=TARGET))
    refuse(life, sent[2])
    wake(life)
    assert parts(life) == []


def test_an_exit_of_an_older_journal_stands_for_itself():
    order = in_parts([("110", "0.6")]).p.exits[1]
    assert (order.exit_id, order.stands_for) == ("close", "target-1")
    row = msgspec.to_builtins(order)
    del row["rule"]
    assert msgspec.convert(row, ExitOrder).stands_for == "close"


def test_an_exit_that_was_refused_as_too_large_is_divided_once_the_venue_has_told_how_much():
    life = close(opened("1"))
    refuse(life)
    life.tell(GridTold(life.p.id, D("0.001"), D("0.001"), D("0.5")))
    assert parts(life.tell(Wake("retry_exit", CLOSE))) == ["0.5", "0.5"]


def test_so_many_orders_leave_together_and_the_rest_when_it_is_tried_again():
    sold = parts_of(most_of("0.01"), D(1), D(100))
    assert sold == (*([D("0.01")] * (MOST_PARTS - 1)), D("0.81"))


def in_parts(targets) -> Life:
    """A position of 1 whose first target has fired in orders of 0.2."""
    life = opened("1", protection=plan("90", targets), instrument=most_of("0.2"))
    return life.cross("target-1", "110")


def fill_each(life: Life, orders) -> Life:
    for each in orders:
        life.fill("0.2", "110", each)
    return life


def wake(life: Life) -> Life:
    (timer,) = of(life, WakeAfter)
    return life.tell(Wake(timer.purpose, timer.exit_id))


def most_of(quantity: str) -> Instrument:
    return replace(swap(), max_market=D(quantity))
