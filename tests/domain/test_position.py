"""A position from intent to close: what it decides at each step."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.commands import ClosePosition, ModificationType, ModifyProtection, RequestedBy
from domain.effects import (
    Alarm,
    AnnounceClosed,
    Answer,
    Arm,
    AskOrders,
    CancelOrder,
    Disarm,
    RejectCrossing,
    SubmitOrder,
    WakeAfter,
)
from domain.errors import InvariantError
from domain.ids import RequestId
from domain.inputs import GuardLost, OrderEnded, ResolveConflict, Wake
from domain.instrument import Direction, Kind, PriceSource
from domain.order import OrderStatus, OrderType
from domain.position import PositionStatus
from domain.position_decide import resume
from domain.position_life import evolve
from domain.protection import ExitReason
from tests.builders import D, Life, opened, plan, swap


def of(effects, kind):
    return [effect for effect in effects if isinstance(effect, kind)]


def end_entry(life, status=OrderStatus.CANCELED):
    return life.tell(OrderEnded(life.p.id, life.p.entry.client_order_id, status, "x"))


def end_exit(life, status=OrderStatus.REJECTED, why="51008: no"):
    return life.tell(OrderEnded(life.p.id, life.last_exit().terms.client_order_id, status, why))


def test_an_approved_entry_becomes_a_position_and_an_order():
    life = Life().begin("1")
    (submit,) = life.sent()
    assert life.p.status is PositionStatus.ENTRY_PENDING
    assert submit.terms.type is OrderType.MARKET
    assert not submit.armed
    assert submit.expires_at is not None


def test_the_first_fill_sets_the_protection_and_arms_it():
    life = Life().begin("1", plan("90", [("110", "0.5")])).fill("1", "100")
    (arm,) = of(life.effects, Arm)
    assert life.p.status is PositionStatus.OPEN_UNPROTECTED
    assert [level.exit_id for level in arm.levels] == ["stop", "target-1"]
    assert {each.exit_id for each in life.p.armed} == {"stop", "target-1", "close"}
    assert life.arm().p.status is PositionStatus.OPEN_PROTECTED


def test_an_entry_that_never_fills_ends_as_never_filled():
    life = end_entry(Life().begin("1"), OrderStatus.REJECTED)
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.NEVER_FILLED


@pytest.mark.parametrize("status", [OrderStatus.FILLED, OrderStatus.CANCELED])
@pytest.mark.parametrize("known", [[], ["0.4"]])
def test_an_entry_that_ended_with_fills_it_never_heard_of_ends_nothing(status, known):
    life = Life().begin("1")
    for quantity in known:
        life.fill(quantity, "100")
    before, order = life.p, life.p.entry.client_order_id
    with pytest.raises(InvariantError, match="filled, and"):
        life.tell(OrderEnded(before.id, order, status, "", filled=D("0.5")))
    assert life.p == before


def test_a_partly_filled_entry_that_is_canceled_keeps_what_it_got():
    life = end_entry(Life().begin("1").fill("0.4", "100"))
    assert life.p.remaining == D("0.4")
    assert not life.p.is_closed


def test_a_fill_reported_twice_counts_once():
    life = Life().begin("1").fill("0.4", "100", trade="t1")
    once = life.p
    assert life.fill("0.4", "100", trade="t1").p == once


def test_a_touched_stop_closes_everything_with_an_id_that_was_armed():
    life = opened().cross("stop", "90")
    submit = life.last_exit()
    assert submit.armed
    assert submit.terms.quantity == 1
    assert submit.terms.client_order_id in {each.client_order_id for each in life.p.armed}
    assert life.p.status is PositionStatus.CLOSING
    life.fill_exit("89.9")
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.STOP_LOSS
    assert life.p.realized_pnl == D("-10.1")
    assert of(life.effects, AnnounceClosed)
    assert of(life.effects, Disarm)


def test_a_short_is_stopped_above():
    life = opened(protection=plan("110", [("90", "1")]), direction=Direction.SHORT)
    assert not life.cross("stop", "109.9").exits_sent()
    life.cross("stop", "112").fill_exit("112")
    assert life.p.exit_reason is ExitReason.STOP_LOSS
    assert life.p.realized_pnl == D("-12")


def test_a_crossing_that_exact_decimals_deny_is_rejected_and_stays_armed():
    life = opened().cross("stop", "90.000000000000000000001")
    (reject,) = of(life.effects, RejectCrossing)
    assert reject.exit_id == "stop"
    assert not life.exits_sent()


def test_closing_absorbs_further_triggers():
    life = opened(protection=plan("90", [("110", "1")])).cross("stop", "90").cross("stop", "80")
    life.cross("target-1", "120")
    assert len(life.exits_sent()) == 1


def test_a_target_closes_its_part_and_the_stop_the_rest():
    life = opened("1", protection=plan("90", [("110", "0.5"), ("120", "0.5")]))
    life.cross("target-1", "110").fill_exit("110")
    assert life.p.remaining == D("0.5")
    assert life.p.status is PositionStatus.OPEN_PROTECTED
    life.cross("stop", "90").fill_exit("90")
    assert life.p.exit_reason is ExitReason.STOP_LOSS
    assert life.p.realized_pnl == 0


def test_a_stop_crossed_while_a_target_is_under_way_takes_only_what_is_free():
    life = opened("1", protection=plan("90", [("110", "0.5")])).cross("target-1", "110")
    life.cross("stop", "90")
    assert life.last_exit().terms.quantity == D("0.5")


def test_the_last_target_takes_the_odd_lot_along():
    life = opened("0.005", "100000", plan("90000", [("110000", "0.5"), ("120000", "0.5")]))
    life.cross("target-1", "110000").fill_exit("110000")
    assert life.p.remaining == D("0.003")
    life.cross("target-2", "120000").fill_exit("120000")
    assert life.p.status is PositionStatus.CLOSED


def test_a_rest_too_small_to_sell_is_taken_by_the_target():
    life = opened("1", "10", plan("9", [("11", "0.9")]))  # the rest would be worth 1.1 < 5
    life.cross("target-1", "11")
    assert life.last_exit().terms.quantity == 1


def test_a_trail_fires_below_the_best_price_by_its_ratio():
    life = opened(protection=plan("90", trail_ratio=D("0.02")))
    assert not life.cross("trail", "107.9", best="110").exits_sent()
    life.cross("trail", "107.8", best="110")
    assert life.p.exits[-1].reason is ExitReason.TRAILING_STOP
    assert life.p.exits[-1].trigger.level == D("107.80")


def test_a_trail_by_distance_on_a_short_fires_above_the_lowest():
    life = opened(protection=plan("120", trail_distance=D(3)), direction=Direction.SHORT)
    assert not life.cross("trail", "97.9", best="95").exits_sent()
    assert life.cross("trail", "98", best="95").exits_sent()


def test_breakeven_moves_the_stop_to_entry_plus_fees_once():
    life = opened(protection=plan("90", breakeven_price=D(105))).cross("breakeven", "105")
    assert life.p.protection.stop.price == D("100.1")
    assert life.p.protection.version == 2
    assert life.p.status is PositionStatus.MODIFYING
    assert life.arm().p.status is PositionStatus.OPEN_PROTECTED
    assert not life.cross("breakeven", "106").decision.events


def test_the_stop_that_breakeven_moves_counts_from_the_next_price_on():
    life = opened(protection=plan("90", breakeven_price=D(105))).cross("breakeven", "105")
    (arm,) = of(life.decision.effects, Arm)
    assert arm.at_once
    assert [(level.exit_id, level.price) for level in arm.levels] == [("stop", D("100.1"))]
    assert life.arm().cross("stop", "100").last_exit().armed


def test_a_change_by_a_person_waits_for_the_journal():
    life = opened(protection=plan("90"))
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(95)))
    (arm,) = of(life.decision.effects, Arm)
    assert not arm.at_once


def test_a_stop_that_breakeven_will_set_has_its_id_armed_from_the_start():
    life = opened(protection=plan(None, [("120", "1")], breakeven_price=D(105)))
    assert "stop" in {each.exit_id for each in life.p.armed}
    life.cross("breakeven", "105").arm().cross("stop", "100")
    assert life.last_exit().armed


def test_a_part_below_the_smallest_order_closes_the_smallest_order():
    instrument = swap(min_quantity=D("0.005"))
    life = opened("0.1", protection=plan("90", [("110", "0.01")]), instrument=instrument)
    assert life.cross("target-1", "110").last_exit().terms.quantity == D("0.005")


def test_the_time_limit_closes_when_its_timer_has_run_whatever_the_clock_says_then():
    life = opened(protection=plan("90", max_holding_s=60.0))
    timers = [each for each in of(life.effects, WakeAfter) if each.purpose == "time_exit"]
    assert [each.delay_s for each in timers] == [60]
    life.after(60 - 3600).tell(Wake("time_exit"))
    assert life.p.exits[-1].reason is ExitReason.TIME_EXIT


def test_a_refused_exit_is_tried_again_under_the_next_id():
    life = opened().cross("stop", "90")
    first = life.last_exit().terms.client_order_id
    end_exit(life)
    assert life.p.status is PositionStatus.OPEN_UNPROTECTED
    assert of(life.decision.effects, Alarm)
    wake = of(life.decision.effects, WakeAfter)[0]
    life.tell(Wake(wake.purpose, wake.exit_id))
    second = life.last_exit()
    assert second.terms.client_order_id != first
    assert not second.armed  # an id that was never durable waits for the disk
    assert second.terms.quantity == 1


def test_a_failing_exit_is_retried_ever_more_slowly():
    life = opened().cross("stop", "90")
    delays = []
    for _ in range(9):
        end_exit(life)
        wake = of(life.decision.effects, WakeAfter)[0]
        delays.append(wake.delay_s)
        life.tell(Wake(wake.purpose, wake.exit_id))
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert delays[-1] == 5.0


def test_a_partly_filled_exit_that_ends_sells_only_the_rest_again():
    life = opened().cross("stop", "90").fill_exit("90", "0.4")
    end_exit(life, OrderStatus.CANCELED)
    wake = of(life.decision.effects, WakeAfter)[0]
    life.tell(Wake(wake.purpose, wake.exit_id))
    assert life.last_exit().terms.quantity == D("0.6")


def test_a_refused_target_is_armed_again_for_what_it_still_owes():
    life = opened("1", protection=plan("90", [("110", "0.5")])).cross("target-1", "110")
    life.fill_exit("110", "0.2")
    end_exit(life, OrderStatus.CANCELED)
    wake = of(life.decision.effects, WakeAfter)[0]
    life.tell(Wake(wake.purpose, wake.exit_id)).arm()
    life.cross("target-1", "111")
    assert life.last_exit().terms.quantity == D("0.3")


def test_a_stop_hit_while_the_entry_still_fills_cancels_it_and_sells_late_fills_too():
    life = Life().begin("1", limit="100").fill("0.4", "100").arm()
    life.cross("stop", "90")
    assert of(life.decision.effects, CancelOrder)
    life.fill("0.1", "100")
    assert life.last_exit().terms.quantity == D("0.1")


def test_a_manual_close_has_an_id_armed_before_so_that_a_full_disk_does_not_hold_it():
    life = opened()
    life.tell(ClosePosition(life.p.id, request_id=RequestId("r")))
    assert life.last_exit().armed
    assert of(life.effects, Answer)[0].refusal is None


def test_closing_a_part_keeps_the_rest_guarded():
    life = opened()
    life.tell(ClosePosition(life.p.id, part=D("0.25"))).fill_exit("101")
    assert life.p.remaining == D("0.75")
    assert life.p.status is PositionStatus.OPEN_PROTECTED


@pytest.mark.parametrize("part", ["0", "-1", "1.01", "0.0001"])
def test_an_impossible_part_is_refused(part):
    life = opened()
    life.tell(ClosePosition(life.p.id, part=D(part), request_id=RequestId("r")))
    assert of(life.effects, Answer)[0].refusal is not None
    assert not life.exits_sent()


def test_closing_twice_is_refused():
    life = opened()
    for request in ("a", "b"):
        life.tell(ClosePosition(life.p.id, request_id=RequestId(request)))
    refusals = [answer.refusal for answer in of(life.effects, Answer)]
    assert [refusal and refusal.rule for refusal in refusals] == [None, "ALREADY_CLOSING"]


def test_closing_a_pending_entry_cancels_it():
    life = Life().begin("1", limit="99")
    life.tell(ClosePosition(life.p.id))
    assert of(life.effects, CancelOrder)


def test_of_a_pending_entry_no_part_can_be_closed():
    life = Life().begin("1", limit="99")
    life.tell(ClosePosition(life.p.id, part=D("0.5"), request_id=RequestId("r")))
    (answer,) = of(life.effects, Answer)
    assert answer.refusal.rule == "NOTHING_FILLED"
    assert not of(life.effects, CancelOrder)


def test_dust_that_a_base_fee_leaves_over_ends_the_position():
    life = Life().begin("1")
    life.fill("1", "100", fee="0.0005", fee_asset="BTC")
    end_entry(life, OrderStatus.FILLED)
    life.arm()
    spot_like = life.p.remaining
    life.cross("stop", "90").fill_exit("90")
    expected = PositionStatus.CLOSED if spot_like == 1 else PositionStatus.CLOSED_WITH_DUST
    assert life.p.status is expected


def test_too_little_to_be_ordered_that_a_base_fee_leaves_of_a_first_fill_is_dust_at_once():
    spot = swap(kind=Kind.SPOT, min_quantity=D("0.1"))
    life = Life().begin("1", instrument=spot).fill("0.1", "100", fee="0.0001", fee_asset="BTC")

    end_entry(life)

    assert life.p.status is PositionStatus.CLOSED_WITH_DUST
    assert life.p.remaining == D("0.0999")
    assert life.p.exit_reason is ExitReason.UNPROTECTED
    assert not life.sent()[1:]


def test_an_armed_exit_found_filled_at_the_venue_is_booked_though_its_firing_was_lost():
    life = opened()
    order = next(each.client_order_id for each in life.p.armed if each.exit_id == "stop")
    life.fill("1", "89", order)
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.STOP_LOSS


def test_without_confirmation_in_time_an_alarm_is_raised_and_then_the_position_left():
    life = Life().begin("1").fill("1", "100")
    end_entry(life, OrderStatus.FILLED)
    life.tell(Wake("unprotected"))
    assert of(life.decision.effects, Alarm)
    life.tell(Wake("overdue"))
    assert life.p.exits[-1].reason is ExitReason.UNPROTECTED


def test_a_lost_guard_is_armed_again_without_any_event():
    life = opened().tell(GuardLost("the feed restarted"))
    assert of(life.decision.effects, Arm)
    assert not life.decision.events


def test_after_a_restart_levels_are_armed_and_orders_asked_for():
    life = opened().cross("stop", "90")
    effects = resume(life.p, life.now, life.rules)
    (ask,) = of(effects, AskOrders)
    assert life.last_exit().terms.client_order_id in ask.client_order_ids
    assert ask.terms[0] == life.last_exit().terms
    assert of(effects, Arm)


# --- modifications ---


def move(life, price, by=RequestedBy.USER_MANUAL, **others):
    return ModifyProtection(
        life.p.id,
        ModificationType.MOVE_SL,
        price=D(price),
        requested_by=by,
        request_id=RequestId("r"),
        **others,
    )


def rule_of(life):
    refusal = of(life.decision.effects, Answer)[0].refusal
    return None if refusal is None else refusal.rule


def test_a_person_tightens_a_stop_and_the_new_one_is_armed():
    life = opened()
    life.tell(move(life, "95", based_on=1))
    assert rule_of(life) is None
    assert life.p.protection.stop.price == 95
    assert of(life.decision.effects, Arm)[0].version == 2
    assert life.arm().cross("stop", "95").exits_sent()


@pytest.mark.parametrize(
    ("price", "others", "rule"),
    [
        ("101", {}, "STOP_ON_WRONG_SIDE"),
        ("100", {}, "STOP_ON_WRONG_SIDE"),
        ("85", {}, "WOULD_WIDEN"),
        ("40", {"widen": True}, "RISK_TOO_LARGE"),
        ("0", {}, "INVALID_PRICE"),
        ("95", {"based_on": 7}, "STALE_VERSION"),
    ],
)
def test_a_bad_stop_is_refused_and_nothing_moves(price, others, rule):
    life = opened()
    before = life.p.protection
    life.tell(move(life, price, **others))
    assert rule_of(life) == rule
    assert life.p.protection == before


def test_a_person_may_widen_explicitly_within_the_risk_limit():
    life = opened()
    life.tell(move(life, "85", widen=True))
    assert life.p.protection.stop.price == 85


def test_a_stop_may_be_tightened_though_the_limit_was_lowered_below_it():
    life = opened()
    life.rules = lowered(life.rules, "0.02")
    life.tell(move(life, "95"))
    assert rule_of(life) is None
    assert life.p.protection.stop.price == 95
    life.tell(move(life, "94", widen=True))
    assert rule_of(life) == "RISK_TOO_LARGE"


def test_a_first_stop_is_within_the_limit():
    life = opened(protection=plan(None))
    life.rules = lowered(life.rules, "0.02")
    life.tell(move(life, "95"))
    assert rule_of(life) == "RISK_TOO_LARGE"


def lowered(rules, ratio):
    return replace(
        rules, modifications=replace(rules.modifications, max_stop_distance_ratio=D(ratio))
    )


def test_an_automatic_change_may_not_loosen_even_when_it_says_so():
    life = opened()
    life.tell(move(life, "85", RequestedBy.RULE_ENGINE, widen=True))
    assert rule_of(life) == "WOULD_WIDEN"


def test_automatic_changes_are_rare():
    life = opened()
    life.tell(move(life, "91", RequestedBy.RULE_ENGINE)).arm()
    life.after(299).tell(move(life, "92", RequestedBy.RULE_ENGINE))
    assert rule_of(life) == "TOO_SOON"
    life.after(1).tell(move(life, "92", RequestedBy.RULE_ENGINE))
    assert rule_of(life) is None


def test_an_automatic_change_after_a_manual_one_waits_for_a_person():
    life = opened()
    life.tell(move(life, "91")).arm()
    life.tell(move(life, "92", RequestedBy.AI_ANALYSIS))
    assert rule_of(life) == "MANUAL_LOCK"
    (conflict,) = life.p.conflicts
    resolve = ResolveConflict(life.p.id, conflict.conflict_id, True, RequestId("q"))
    assert life.tell(resolve).p.protection.stop.price == 92
    assert not life.p.conflicts


def target(life, kind, **fields):
    return ModifyProtection(life.p.id, kind, request_id=RequestId("r"), **fields)


def test_targets_are_added_changed_and_canceled():
    life = opened(protection=plan("90", [("110", "0.5")]))
    life.tell(target(life, ModificationType.ADD_TP, price=D(120), part=D("0.5"))).arm()
    added = life.p.protection.targets[-1].exit_id
    assert added != "target-1"
    life.tell(target(life, ModificationType.MODIFY_TP, exit_id=added, price=D(130))).arm()
    assert life.p.protection.target(added).price == 130
    life.tell(target(life, ModificationType.CANCEL_TP, exit_id=added)).arm()
    assert life.p.protection.target(added) is None
    life.tell(target(life, ModificationType.ADD_TP, price=D(120), part=D("0.5")))
    assert life.p.protection.targets[-1].exit_id != added  # an order id never comes back


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"price": D(99), "part": D("0.1")}, "TARGET_ON_WRONG_SIDE"),
        ({"price": D("100.05"), "part": D("0.1")}, "TARGET_BELOW_FEES"),
        ({"price": D(120), "part": D("0.6")}, "PARTS_OVER_100"),
        ({"price": D(120), "part": D("0")}, "INVALID_PART"),
    ],
)
def test_a_bad_target_is_refused(fields, rule):
    life = opened(protection=plan("90", [("110", "0.5")]))
    life.tell(target(life, ModificationType.ADD_TP, **fields))
    assert rule_of(life) == rule


def test_a_crossing_reported_under_an_old_version_is_judged_by_the_rule_in_force():
    life = opened()
    life.tell(move(life, "95"))
    assert life.cross("stop", "90", version=1).exits_sent()
    wider = opened()
    wider.tell(move(wider, "85", widen=True))
    assert not wider.cross("stop", "90", version=1).exits_sent()


# --- properties ---

splits = st.lists(st.integers(1, 40), min_size=1, max_size=6)
prices = st.integers(500, 2000).map(lambda tenths: Decimal(tenths) / 10)


@given(splits, splits, prices, prices, st.sampled_from(list(Direction)))
def test_profit_is_conserved_over_any_split_of_fills(buys, sells, entry, out, direction):
    lots = sum(buys)
    quantity = Decimal(lots) / 1000
    stop = "1" if direction is Direction.LONG else "9999"
    life = Life().begin(str(quantity), plan(stop), direction)
    for part in buys:
        life.fill(str(Decimal(part) / 1000), str(entry), fee="0.01")
    end_entry(life, OrderStatus.FILLED)
    life.arm().tell(ClosePosition(life.p.id))
    left = lots
    for part in sells:
        step = min(part, left)
        if step:
            life.fill_exit(str(out), str(Decimal(step) / 1000), fee="0.01")
        left -= step
    if left:
        life.fill_exit(str(out), str(Decimal(left) / 1000), fee="0.01")
    fees = Decimal("0.01") * len(life.p.fills)
    assert life.p.realized_pnl == (out - entry) * quantity * direction.sign - fees
    assert life.p.is_closed


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("cross"),
            st.sampled_from(["stop", "trail", "target-1", "target-2", "breakeven"]),
            prices,
        ),
        st.tuples(st.just("fill"), st.integers(1, 1000), prices),
        st.tuples(
            st.just("end"),
            st.sampled_from([OrderStatus.REJECTED, OrderStatus.CANCELED, OrderStatus.ABSENT]),
            st.none(),
        ),
        st.tuples(st.just("close"), st.integers(1, 10), st.none()),
        st.tuples(st.just("wake"), st.none(), st.none()),
        st.tuples(st.just("arm"), st.none(), st.none()),
        st.tuples(st.just("auto"), prices, st.none()),
        st.tuples(st.just("after"), st.integers(1, 400), st.none()),
    ),
    max_size=40,
)


def play(life, script):
    for action, one, two in script:
        if life.p.is_closed:
            break
        if action == "cross":
            life.last = str(two)
            life.cross(one, str(two), best=str(max(two, D(100))))
        elif action == "fill" and life.exits_sent():
            open_orders = [order for order in life.p.exits if order.outstanding > 0]
            if open_orders:
                order = open_orders[one % len(open_orders)]
                quantity = min(order.outstanding, D(one) / 1000)
                life.fill(str(quantity), str(two), order.client_order_id)
        elif action == "end" and life.exits_sent():
            end_exit(life, one)
        elif action == "close":
            life.tell(ClosePosition(life.p.id, part=D(one) / 10))
        elif action == "wake":
            for wake in of(life.effects, WakeAfter)[-2:]:
                life.tell(Wake(wake.purpose, wake.exit_id))
        elif action == "arm":
            life.arm()
        elif action == "auto":
            life.tell(move(life, str(one), RequestedBy.RULE_ENGINE))
        elif action == "after":
            life.after(one)
        yield


def scripted():
    return opened(
        protection=plan(
            "90",
            [("110", "0.3"), ("120", "0.7")],
            trail_ratio=D("0.1"),
            breakeven_price=D(105),
        )
    )


@given(steps)
def test_exits_never_exceed_the_quantity_and_ids_are_never_reused(script):
    life = scripted()
    for _ in play(life, script):
        assert life.p.outstanding_exits <= life.p.remaining
        assert life.p.remaining >= 0
    ids = [effect.terms.client_order_id for effect in life.sent()]
    assert len(ids) == len(set(ids))


@given(steps)
def test_an_automatic_change_never_loosens_a_stop(script):
    life = scripted()
    stop = life.p.protection.stop.price
    for _ in play(life, script):
        assert life.p.protection.stop.price >= stop
        stop = life.p.protection.stop.price


@given(steps)
def test_replay_equals_live(script):
    life = scripted()
    for _ in play(life, script):
        pass
    replayed = None
    for event in life.events:
        replayed = evolve(replayed, event)
    assert replayed == life.p


@given(steps)
def test_an_armed_submission_has_an_id_that_was_armed_before(script):
    life = scripted()
    known = {each.client_order_id for each in life.p.armed}
    seen = len(life.effects)
    for _ in play(life, script):
        new = [e for e in life.effects[seen:] if isinstance(e, SubmitOrder) and e.armed]
        assert all(effect.terms.client_order_id in known for effect in new)
        seen = len(life.effects)
        known = {each.client_order_id for each in life.p.armed}


# --- which price ---


def test_stops_and_targets_may_watch_prices_of_their_own():
    rules = plan(
        "90", [("110", "0.5")], trail_distance=D(5), breakeven_price=D(105),
        stop_watches=PriceSource.MARK, target_watches=PriceSource.BID,
    )  # fmt: skip
    life = opened(protection=rules)
    protection = life.p.protection
    assert protection.stop.watches is PriceSource.MARK
    assert protection.trail.watches is PriceSource.MARK
    assert protection.targets[0].watches is PriceSource.BID
    assert protection.breakeven.watches is PriceSource.BID
    life.tell(ModifyProtection(life.p.id, ModificationType.ADD_TP, price=D(120), part=D("0.1")))
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(91))).arm()
    assert life.p.protection.targets[1].watches is PriceSource.BID
    assert life.p.protection.stop.watches is PriceSource.MARK


@pytest.mark.parametrize("stop", ["90", None])
def test_a_stop_that_breakeven_moves_or_sets_watches_what_stops_watch(stop):
    rules = plan(stop, breakeven_price=D(105), trail_distance=D(50), stop_watches=PriceSource.MARK)
    life = opened(protection=rules)
    life.cross("breakeven", "105")
    assert life.p.protection.stop.watches is PriceSource.MARK


def test_without_choice_all_exits_watch_the_same_price():
    life = opened(protection=plan("90", [("110", "1")], watches=PriceSource.ASK))
    assert life.p.protection.stop.watches is PriceSource.ASK
    assert life.p.protection.targets[0].watches is PriceSource.ASK
