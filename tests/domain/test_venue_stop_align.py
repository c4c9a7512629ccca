"""What should rest at the venue, and what is asked of it when that changes."""

import pytest
from msgspec.structs import replace

from domain.commands import ClosePosition, ModificationType, ModifyProtection
from domain.effects import AmendOrder, CancelOrder, SubmitOrder, WakeAfter
from domain.ids import NO_ORDER, ExitId
from domain.inputs import AdoptPosition, ExitLocked, GridTold, OrderEnded, OutsideReported, Wake
from domain.instrument import Direction, Kind, PriceSource
from domain.order import OrderStatus, OrderType
from domain.position import PositionStatus
from domain.position_events import ExitEnded
from domain.position_life import evolve
from domain.venue import Outside
from domain.venue_stop import Resting, StopState
from domain.venue_stop_align import is_settled, locked, should_rest, stop_terms
from domain.venue_stop_events import ExitHeldBack, VenueStopConfirmed, VenueStopOutdated
from tests.builders import ACCOUNT, NOW, D, Life, a_fill, opened, plan, position_id, swap
from tests.domain.stop_words import (
    RULES,
    amended,
    asked,
    at_market,
    bought,
    codes,
    end,
    guarded,
    locked_out,
    move,
    of,
    report,
    stops_sent,
    told,
)

_S = OrderStatus
STOP, TRAIL = ExitId("stop"), ExitId("trail")
REPLACES = replace(RULES, amends_stops=False)
MARK = PriceSource.MARK
SPOT = swap(kind=Kind.SPOT)


def stop_of(life: Life, number: int = -1):
    return life.p.at_venue.stops[number].client_order_id


# --- what should rest ---


@pytest.mark.parametrize(
    ("rules", "direction", "resting"),
    [
        (plan("90", stop_watches=MARK), Direction.LONG, Resting(STOP, D(1), D(90), watches=MARK)),
        (plan("90", trail_distance=D(3)), Direction.LONG, Resting(STOP, D(1), D(90))),
        (
            plan(None, trail_ratio=D("0.02"), stop_watches=MARK),
            Direction.LONG,
            Resting(TRAIL, D(1), trail_ratio=D("0.02"), watches=MARK),
        ),
        (
            plan(None, trail_distance=D("3.03"), stop_watches=MARK),
            Direction.LONG,
            Resting(TRAIL, D(1), D("97.0"), watches=MARK),
        ),
        (plan(None, trail_distance=D("3.03")), Direction.SHORT, Resting(TRAIL, D(1), D("103.0"))),
        (plan(None, [("110", "1")]), Direction.LONG, None),
    ],
)
def test_a_stop_rests_else_a_trail_else_where_that_begins(rules, direction, resting):
    life = opened("1", protection=rules, direction=direction)
    assert should_rest(life.p, RULES) == resting


def test_where_the_venue_does_not_trail_a_trail_rests_where_it_begins():
    life = opened("1", protection=plan(None, trail_ratio=D("0.02")))
    rules = replace(RULES, trails_at_venue=False)
    assert should_rest(life.p, rules) == Resting(TRAIL, D(1), D(98))


def test_nothing_should_rest_for_what_is_too_small_closing_or_guarded_here_alone():
    life = opened("0.005", "100000", plan("90000"))
    assert should_rest(life.p, RULES).quantity == D("0.005")
    assert should_rest(life.p, replace(RULES, stops_at_venue=False)) is None
    for smallest, rests in (("0.005", True), ("0.006", False)):
        small = replace(life.p, instrument=swap(min_quantity=D(smallest)))
        assert (should_rest(small, RULES) is not None) is rests
    lots = replace(life.p, instrument=swap(lot_size=D("0.006"), min_quantity=D(0)))
    assert should_rest(lots, RULES) is None
    assert should_rest(life.cross("stop", "89000").p, RULES) is None


def test_it_is_settled_when_what_should_rest_is_open_and_nothing_else():
    life = guarded()
    assert is_settled(life.p, RULES)
    assert not is_settled(bought().p, RULES)
    assert not is_settled(move(life, "95").p, RULES)
    assert is_settled(opened(protection=plan(None)).p, RULES)
    assert not is_settled(opened().p, RULES)
    only = life.p.at_venue.stops[0]
    asked_back = replace(only, state=StopState.AMENDING, held=only.asked)
    amending = replace(life.p, at_venue=replace(life.p.at_venue, stops=(asked_back,)))
    assert not is_settled(amending, RULES)


def test_the_order_of_a_stop_closes_and_watches_what_its_rule_does():
    life = bought("1", plan("90", stop_watches=MARK))
    terms = stop_terms(life.p, life.p.at_venue.stops[0])
    assert (terms.side, terms.type) == (life.p.direction.exit_side, OrderType.STOP)
    assert (terms.reduce_only, terms.leverage, terms.watches) == (True, life.p.leverage, MARK)
    life = bought("1", plan(None, trail_ratio=D("0.02")))
    assert stop_terms(life.p, life.p.at_venue.stops[0]).type is OrderType.TRAIL


# --- when it changes ---


def test_more_than_one_stop_is_one_too_many_once_the_latest_rests():
    life = move(guarded(rules=REPLACES), "95")
    first = stop_of(life, 0)
    assert not asked(life, CancelOrder)
    report(life)
    assert [each.client_order_id for each in asked(life, CancelOrder)] == [first]
    assert not asked(life, CancelOrder)[0].at_once
    assert life.tell(Wake("align")).decision.effects == ()  # it was asked to go, once


def test_a_stop_that_watches_another_price_or_trails_cannot_become_the_other():
    life = guarded()
    stop = replace(life.p.protection.stop, watches=MARK)
    life.position = replace(life.p, protection=replace(life.p.protection, stop=stop))
    life.tell(Wake("align"))
    assert not asked(life, AmendOrder)
    assert stops_sent(life)[-1].watches is MARK
    life = guarded(protection=plan(None, trail_ratio=D("0.02")))
    change = {"trail_ratio": D("0.01")}
    life.tell(ModifyProtection(life.p.id, ModificationType.TRAIL_SL, **change))
    assert not asked(life, AmendOrder)
    assert stops_sent(life)[-1].trail_ratio == D("0.01")


def test_a_stop_that_the_venue_refused_to_change_is_replaced_from_then_on():
    life = move(guarded(), "95")
    (change,) = asked(life, AmendOrder)
    report(life, change.terms, change=change.number, refused="51503: no")
    report(life)
    move(life.arm(), "96")
    assert asked(life, AmendOrder)  # the new one has not refused
    first = life.p.at_venue.stops[0]
    assert first.state is StopState.CANCELING


def test_a_change_is_urgent_when_an_exit_waits_for_it():
    assert [each.at_once for each in asked(move(guarded(), "95"), AmendOrder)] == [False]
    life = guarded(protection=plan("90", [("110", "0.4")]), instrument=SPOT)
    life.cross("target-1", "110")
    assert [(each.at_once, each.number) for each in asked(life, AmendOrder)] == [(True, 1)]


def test_a_way_back_to_what_rests_needs_nothing_of_the_venue():
    life = guarded(rules=REPLACES, instrument=swap(kind=Kind.SPOT))
    move(life, "95")
    assert len(told(life, VenueStopOutdated)) == 1
    assert not life.p.at_venue.settled
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(90), widen=True))
    assert told(life, VenueStopOutdated) == []
    assert [event.settled for event in told(life, VenueStopConfirmed)] == [True]
    assert not asked(life, CancelOrder)
    assert life.p.at_venue.settled


def test_while_it_pauses_nothing_is_placed_or_changed():
    life = end(end(bought(), _S.REJECTED, "50001: x"), _S.REJECTED, "50001: x")
    assert life.p.at_venue.pausing
    count = len(stops_sent(life))
    move(life, "95")
    assert len(stops_sent(life)) == count
    life.tell(Wake("venue_stop_retry"))
    assert stops_sent(life)[-1].trigger_price == 95
    life = guarded()
    life.position = replace(life.p, at_venue=replace(life.p.at_venue, pausing=True))
    move(life, "95")
    assert not asked(life, AmendOrder)
    assert len(stops_sent(life)) == 1
    assert len(told(life, VenueStopOutdated)) == 1


def test_on_spot_the_next_stop_waits_until_the_one_before_has_gone():
    life = move(guarded(rules=REPLACES, instrument=swap(kind=Kind.SPOT)), "95").arm()
    assert len(asked(life, CancelOrder)) == 1
    life.tell(Wake("align"))
    assert len(stops_sent(life)) == 1
    assert end(life, _S.CANCELED).p.at_venue.current.asked.trigger_price == 95


def test_on_spot_a_stop_goes_at_once_where_an_exit_waits_for_it():
    spot = swap(kind=Kind.SPOT)
    life = Life(REPLACES).begin("1", plan("90", [("110", "0.4")]), instrument=spot)
    report(life.fill("1", "100"))  # and the feed does not watch yet
    life.cross("target-1", "110")
    assert [each.at_once for each in asked(life, CancelOrder)] == [True]


def test_what_is_no_longer_protected_by_the_venue_is_not_said_twice():
    life = guarded(rules=REPLACES, instrument=swap(kind=Kind.SPOT))
    assert told(move(life, "95"), VenueStopOutdated)
    assert told(move(life, "96"), VenueStopOutdated) == []


def test_where_the_daemon_guards_alone_nothing_is_outdated():
    life = bought()
    life.tell(Wake("venue_stop", version=life.p.at_venue.round))
    assert life.p.status is PositionStatus.OPEN_PROTECTED
    move(life, "95")
    assert told(life, VenueStopOutdated) == []


# --- exits that wait ---


def test_an_exit_leaves_with_what_no_stop_may_sell():
    life = guarded(protection=plan("90", [("110", "0.4")]), instrument=SPOT)
    life.cross("target-1", "110")
    assert locked(life.p) == 1
    amended(life)
    assert locked(life.p) == D("0.6")
    assert [(each.terms.quantity, each.armed) for each in at_market(life)] == [(D("0.4"), True)]
    assert at_market(life)[0].decided_at == life.now


def test_an_exit_that_is_overdue_leaves_though_the_stop_may_still_fire():
    life = locked_out(guarded().tell(ClosePosition(position_id())))
    assert len(at_market(life)) == 1  # the one that was locked
    life.tell(Wake("release_exit", ExitId("other")))
    assert len(at_market(life)) == 1
    life.tell(Wake("release_exit", ExitId("close")))
    assert [each.terms.quantity for each in at_market(life)] == [1, 1]


def test_an_exit_that_has_nothing_left_to_close_is_dropped():
    life = guarded(protection=plan("90", [("110", "0.4")]), instrument=SPOT)
    life.cross("target-1", "110")
    fill = a_fill("1", "100", life.p.direction.exit_side, NO_ORDER)
    life.tell(OutsideReported(life.p.id, fill, Outside.PERSON))
    end(life, _S.CANCELED)
    assert not at_market(life)
    assert life.p.status is PositionStatus.CLOSED_EXTERNAL
    assert life.p.exits == ()


def test_an_exit_that_leaves_asks_for_no_more_than_others_left():
    life = guarded(instrument=SPOT).tell(ClosePosition(position_id(), part=D("0.5")))
    fill = a_fill("0.7", "100", life.p.direction.exit_side, NO_ORDER)
    life.tell(OutsideReported(life.p.id, fill, Outside.PERSON))
    while life.p.at_venue.live:
        end(life, _S.CANCELED)
    assert [each.terms.quantity for each in at_market(life)] == [D("0.3")]


def test_of_two_exits_that_wait_the_second_counts_what_the_first_took():
    life = guarded(protection=plan("90", [("110", "0.4"), ("120", "0.3")]), instrument=SPOT)
    life.cross("target-1", "110").cross("target-2", "120")
    assert [order.waits for order in life.p.exits] == [True, True]
    order = stop_of(life)
    report(life, of(life.effects, AmendOrder)[-1].terms, change=life.p.at_venue.stops[0].changes)
    while any(each.waits for each in life.p.exits):
        amended(life)
    assert [each.terms.quantity for each in at_market(life)] == [D("0.4"), D("0.3")]
    assert locked(life.p) == D("0.3")
    assert stop_of(life) == order


# --- exits beside the stop ---


def test_on_a_swap_an_exit_leaves_at_once_and_the_stop_rests_until_nothing_is_held():
    life = guarded().tell(ClosePosition(position_id()))
    (order,) = at_market(life)
    assert not asked(life, CancelOrder)
    life.fill("0.4", "100", order.terms.client_order_id)
    assert not asked(life, CancelOrder)
    assert life.p.at_venue.stops[0].state is StopState.OPEN
    life.fill("0.6", "100", order.terms.client_order_id)
    (cancel,) = asked(life, CancelOrder)
    assert (cancel.client_order_id, cancel.at_once) == (stop_of(life), True)
    assert not life.p.is_closed
    assert end(life, _S.CANCELED).p.status is PositionStatus.CLOSED


def test_the_stop_of_what_is_left_as_dust_goes_too():
    life = guarded("1.005").tell(ClosePosition(position_id()))
    life.tell(GridTold(life.p.id, D("0.1"), D("0.1")))
    life.fill("1", "100", at_market(life)[0].terms.client_order_id)
    assert len(asked(life, CancelOrder)) == 1
    life.tell(OrderEnded(life.p.id, at_market(life)[0].terms.client_order_id, _S.CANCELED, ""))
    assert end(life, _S.CANCELED).p.status is PositionStatus.CLOSED_WITH_DUST


def test_a_part_leaves_beside_the_stop_which_is_made_smaller_afterwards():
    life = guarded(protection=plan("90", [("110", "0.4")])).cross("target-1", "110")
    (order,) = at_market(life)
    assert (order.terms.quantity, order.armed) == (D("0.4"), True)
    assert not asked(life, AmendOrder)
    assert is_settled(life.p, RULES)
    life.fill("0.1", "110", order.terms.client_order_id)
    assert not asked(life, AmendOrder)
    life.fill("0.3", "110", order.terms.client_order_id)
    assert [each.terms.quantity for each in asked(life, AmendOrder)] == [D("0.6")]


def test_a_stop_is_moved_while_a_part_is_leaving_and_keeps_its_size():
    life = guarded(protection=plan("90", [("110", "0.4")])).cross("target-1", "110")
    (change,) = asked(move(life, "95"), AmendOrder)
    assert (change.terms.trigger_price, change.terms.quantity) == (95, 1)


def test_an_exit_that_fails_leaves_the_stop_where_it_is_and_is_tried_again():
    life = guarded().tell(ClosePosition(position_id()))
    for _ in range(3):
        order = at_market(life)[-1].terms.client_order_id
        life.tell(OrderEnded(life.p.id, order, _S.REJECTED, "BUSY"))
        life.tell(Wake("retry_exit", ExitId("close")))
    assert len(at_market(life)) == 4
    assert not of(life.effects, CancelOrder)
    assert life.p.at_venue.stops[0].state is StopState.OPEN


def test_the_first_failure_beside_a_stop_may_mean_that_this_has_fired_and_is_not_called_one():
    life = guarded().tell(ClosePosition(position_id()))
    for codes_told, delay_s in (([], 0.1), (["EXIT_FAILED"], 0.2)):
        order = at_market(life)[-1].terms.client_order_id
        life.tell(OrderEnded(life.p.id, order, _S.REJECTED, "51169: nothing to close"))
        assert codes(life) == codes_told
        assert [each.delay_s for each in asked(life, WakeAfter) if each.exit_id] == [delay_s]
        life.tell(Wake("retry_exit", ExitId("close")))


def refused_while_closing(life: Life) -> Life:
    order = at_market(life)[-1].terms.client_order_id
    return life.tell(OrderEnded(life.p.id, order, _S.REJECTED, "BUSY"))


def test_between_two_tries_of_an_exit_a_position_is_protected_by_the_stop_that_rests_on():
    life = guarded().tell(ClosePosition(position_id()))
    for _ in range(3):
        assert life.p.status is PositionStatus.CLOSING
        refused_while_closing(life)
        assert life.p.status is PositionStatus.OPEN_PROTECTED
        assert life.p.acknowledged_version == 0  # the feed has forgotten the levels
        assert not asked(life, AmendOrder)
        life.tell(Wake("retry_exit", ExitId("close")))
    life.fill_exit("101")
    assert life.p.remaining == 0


def test_a_last_target_that_is_refused_is_watched_again_beside_the_stop_that_rests_on():
    life = guarded(protection=plan("90", [("110", "1")])).cross("target-1", "110")
    refused_while_closing(life).tell(Wake("retry_exit", ExitId("target-1")))
    assert life.p.status is PositionStatus.MODIFYING
    assert life.arm().p.status is PositionStatus.OPEN_PROTECTED
    assert life.p.acknowledged_version == life.p.protection.version == 2


def test_a_stop_larger_than_what_an_exit_left_protects_it_and_is_made_smaller():
    life = guarded().tell(ClosePosition(position_id())).fill_exit("101", "0.4")
    refused_while_closing(life)
    assert [each.terms.quantity for each in asked(life, AmendOrder)] == [D("0.6")]
    assert life.p.status is PositionStatus.MODIFYING
    assert amended(life).p.status is PositionStatus.OPEN_PROTECTED


def test_a_stop_for_less_than_is_held_since_does_not_protect_it_after_a_refused_exit():
    life = report(Life(RULES).begin("1", limit="100").fill("0.4", "100").arm())
    life.tell(ClosePosition(position_id())).fill("0.1", "100")
    assert life.p.at_venue.settled
    for order in life.p.exits:
        life.tell(OrderEnded(life.p.id, order.client_order_id, _S.REJECTED, "BUSY"))
    assert life.p.status is PositionStatus.OPEN_UNPROTECTED
    assert [each.terms.quantity for each in asked(life, AmendOrder)] == [D("0.5")]


def test_a_stop_that_is_not_there_any_more_does_not_protect_after_a_refused_exit():
    life = guarded().tell(ClosePosition(position_id()))
    end(life, _S.CANCELED)
    assert refused_while_closing(life).p.status is PositionStatus.OPEN_UNPROTECTED


def test_a_stop_that_has_fired_does_not_protect_after_a_refused_exit():
    life = guarded().tell(ClosePosition(position_id()))
    closes = at_market(life)[-1].terms.client_order_id
    report(life, stops_sent(life)[-1], _S.TRIGGERED)
    assert life.p.at_venue.settled
    both = closes, stops_sent(life)[-1].client_order_id
    statuses = []
    for order in both:
        life.position = evolve(life.p, ExitEnded(order, _S.REJECTED, "BUSY", NOW))
        statuses.append(life.p.status)
    assert statuses == [PositionStatus.CLOSING, PositionStatus.OPEN_UNPROTECTED]


def test_where_others_hold_the_symbol_the_stop_goes_first():
    life = locked_out(guarded().tell(ClosePosition(position_id())))
    assert [(each.client_order_id, each.at_once) for each in asked(life, CancelOrder)] == [
        (stop_of(life), True)
    ]
    assert WakeAfter(0.3, "release_exit", ExitId("close")) in asked(life, WakeAfter)
    end(life, _S.CANCELED)
    assert len(at_market(life)) == 2
    assert [(each.waits, each.beside) for each in life.p.exits] == [(False, False)]


def test_that_it_is_locked_means_nothing_once_it_has_ended_or_waited():
    life = guarded().tell(ClosePosition(position_id()))
    order = at_market(life)[0].terms.client_order_id
    locked_out(life)
    assert told(locked_out(life), ExitHeldBack) == []
    life = guarded().tell(ClosePosition(position_id(), part=D("0.5")))
    life.fill("0.5", "100", order)
    life.tell(ExitLocked(life.p.id, order))
    assert told(life, ExitHeldBack) == []


# --- deadlines ---


def test_each_round_in_which_nothing_rests_has_a_deadline():
    life = bought()
    timers = [each for each in of(life.effects, WakeAfter) if each.purpose == "venue_stop"]
    assert timers == [WakeAfter(2.0, "venue_stop", version=1)]
    report(life)
    assert not asked(life, WakeAfter)
    assert asked(move(life, "95"), WakeAfter) == [WakeAfter(2.0, "venue_stop", version=2)]
    assert not [each for each in asked(move(life, "96"), WakeAfter) if each.purpose == "venue_stop"]


def test_an_exit_that_is_tried_again_at_once_does_not_have_to_wait_for_a_stop():
    life = guarded(instrument=SPOT).tell(ClosePosition(position_id()))
    end(life, _S.CANCELED)
    order = at_market(life)[-1].terms.client_order_id
    count = len(stops_sent(life))
    life.tell(OrderEnded(life.p.id, order, _S.REJECTED, "BUSY"))
    assert [each.delay_s for each in asked(life, WakeAfter) if each.exit_id] == [0.0]
    assert len(stops_sent(life)) == count
    life.tell(Wake("retry_exit", ExitId("close")))
    order = at_market(life)[-1].terms.client_order_id
    life.tell(OrderEnded(life.p.id, order, _S.REJECTED, "BUSY"))
    assert len(stops_sent(life)) == count + 1


def test_a_position_that_has_not_filled_asks_for_no_stop():
    life = Life(RULES).begin("1")
    assert [type(each) for each in life.decision.effects] == [SubmitOrder]
    assert not stops_sent(life)


def test_a_find_has_a_deadline_for_its_first_stop():
    life = Life(RULES).tell(
        AdoptPosition(
            position_id(), ACCOUNT, swap(), Direction.LONG, D(1), D(100), D(1), plan("90")
        )
    )
    assert [each.trigger_price for each in stops_sent(life)] == [90]
    assert WakeAfter(2.0, "venue_stop", version=1) in asked(life, WakeAfter)


def test_where_stops_are_to_rest_at_the_venue_no_longer_those_that_do_are_taken_out():
    life = guarded()
    life.rules = replace(RULES, stops_at_venue=False)
    life.tell(Wake("align"))
    assert [each.client_order_id for each in asked(life, CancelOrder)] == [stop_of(life)]
