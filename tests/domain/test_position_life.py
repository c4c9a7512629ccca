"""What a position keeps of each event; and the events that cannot be, which are bugs."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.commands import ClosePosition, ModificationType, ModifyProtection, RequestedBy
from domain.errors import InvariantError
from domain.ids import ClientOrderId, ExitId
from domain.inputs import OrderEnded, OutsideReported, Wake
from domain.instrument import Direction
from domain.order import OrderStatus
from domain.position import ExitOrder, PositionStatus
from domain.position_draft import PositionRules
from domain.position_events import (
    DowntimeJudged,
    EntryEnded,
    ExitEnded,
    ExitFired,
    PositionFilled,
    PositionQuarantined,
    PositionSettled,
    ProtectionAcknowledged,
    ProtectionLost,
    ProtectionSet,
)
from domain.position_life import KEPT_MODIFICATIONS, evolve
from domain.protection import ExitReason, Protection, Trail
from domain.venue import Outside
from domain.venue_stop_events import ExitReleased
from tests.builders import NOW, D, Life, a_fill, opened, plan

_S = PositionStatus
BOTH = pytest.mark.parametrize("direction", Direction)
NOBODY = ClientOrderId("nobody's")


def stop_of(direction: Direction) -> str:
    return "90" if direction is Direction.LONG else "110"


def an_exit(order: ClientOrderId = NOBODY, **others: object) -> ExitOrder:
    return ExitOrder(ExitId("stop"), order, ExitReason.STOP_LOSS, D(1), **others)


def ended(order: ClientOrderId = NOBODY) -> ExitEnded:
    return ExitEnded(order, OrderStatus.REJECTED, "no", NOW)


def moved(life: Life, price: str, by: RequestedBy = RequestedBy.USER_MANUAL) -> Life:
    kind = ModificationType.MOVE_SL
    return life.tell(ModifyProtection(life.p.id, kind, price=D(price), requested_by=by))


# --- what cannot be ---


def test_a_position_is_born_once_and_lives_after_that():
    life = Life().begin("1")
    (intended,) = life.events
    with pytest.raises(InvariantError, match="intended twice"):
        evolve(life.p, intended)
    with pytest.raises(InvariantError, match="PositionSettled before"):
        evolve(None, PositionSettled(NOW))


def test_what_it_never_had_cannot_end():
    life = opened()
    with pytest.raises(InvariantError, match="is no entry"):
        evolve(life.p, EntryEnded(NOBODY, OrderStatus.CANCELED, "", NOW))
    with pytest.raises(InvariantError, match="never fired"):
        evolve(life.p, ended())


def test_a_closed_position_changes_no_more():
    life = opened().cross("stop", "90").fill_exit("90")
    entry = a_fill("1", "100", life.p.direction.entry_side, life.p.entry.client_order_id)
    with pytest.raises(InvariantError, match="after it was closed"):
        evolve(life.p, PositionFilled(entry))
    with pytest.raises(InvariantError, match="closed cannot become open_unprotected"):
        evolve(life.p, ProtectionLost("x", NOW))


# --- what it keeps ---


def test_it_is_open_from_its_first_fill_on_at_the_prices_seen_since():
    life = Life().begin("1").fill("0.4", "100").after(5).fill("0.6", "102")
    assert life.p.opened_at == NOW
    assert (life.p.best_price, life.p.worst_price) == (100, 100)
    assert life.p.unrealized_pnl(D(110)) == D("8.8")


@BOTH
def test_the_fills_of_its_exits_are_among_the_prices_it_has_seen(direction):
    life = opened("1", protection=plan(stop_of(direction)), direction=direction)
    for price in ("105", "95"):
        life.tell(ClosePosition(life.p.id, part=D("0.25"))).fill_exit(price)
    best, worst = life.p.best_price, life.p.worst_price
    assert (best, worst) == ((105, 95) if direction is Direction.LONG else (95, 105))


@BOTH
def test_what_others_close_is_among_the_prices_it_has_seen(direction):
    life = opened("1", protection=plan(stop_of(direction)), direction=direction)
    for price in ("105", "95"):
        fill = a_fill("0.25", price, direction.exit_side, ClientOrderId(""))
        life.tell(OutsideReported(life.p.id, fill, Outside.PERSON))
    best, worst = life.p.best_price, life.p.worst_price
    assert (best, worst) == ((105, 95) if direction is Direction.LONG else (95, 105))


def test_an_exit_says_which_prices_the_feed_had_seen():
    life = opened()
    order = an_exit(ClientOrderId("x"))
    after = evolve(life.p, ExitFired(order, NOW, D(108), D(93)))
    assert (after.best_price, after.worst_price) == (108, 93)
    before_any_fill = evolve(Life().begin("1").p, ExitFired(replace(order, whole=False), NOW))
    assert (before_any_fill.best_price, before_any_fill.worst_price) == (None, None)


def test_changes_are_counted_and_the_last_few_kept():
    life = opened()
    for number in range(12):
        moved(life.after(1), f"91.{number:02}").arm()
    assert life.p.modification_count == 12
    assert [str(each.new.stop.price) for each in life.p.modifications] == [
        f"91.{number:02}" for number in range(12 - KEPT_MODIFICATIONS, 12)
    ]
    assert life.p.modified_at == life.now
    moved(life.after(1), "101")
    assert life.p.modifications[-1].error == "STOP_ON_WRONG_SIDE"
    assert len(life.p.modifications) == KEPT_MODIFICATIONS
    assert life.p.modification_count == 12  # a refusal is none
    assert life.p.modified_at == life.now - timedelta(seconds=1)


def test_only_a_persons_change_locks_and_only_an_automatic_one_is_counted_as_that():
    life = opened()
    moved(life, "91", RequestedBy.RULE_ENGINE)
    assert (life.p.manual_lock, life.p.last_automatic_at) == (False, NOW)
    moved(life.arm().after(1), "92")
    assert (life.p.manual_lock, life.p.last_automatic_at) == (True, NOW)


def test_settled_and_quarantined_it_says_so():
    life = opened()
    assert not life.p.is_settled
    assert evolve(life.p, PositionSettled(NOW)).is_settled
    assert evolve(life.p, PositionQuarantined("x", NOW)).status is _S.QUARANTINED


def test_a_guard_that_is_lost_is_in_force_no_longer():
    life = opened()
    lost = evolve(life.p, ProtectionLost("x", NOW))
    assert (lost.status, lost.acknowledged_version) == (_S.OPEN_UNPROTECTED, 0)


# --- protection ---


def test_a_trail_counts_from_when_the_feed_armed_it_and_not_from_a_later_arming():
    life = opened(protection=plan(None, trail_distance=D(5)))
    assert life.p.protection.trail.since == NOW
    later = NOW + timedelta(seconds=9)
    again = evolve(life.p, ProtectionAcknowledged(1, later, later))
    assert again.protection.trail.since == NOW
    assert again.armed_since == NOW


@pytest.mark.parametrize("protects", [True, False])
def test_a_position_is_protected_by_a_guard_in_force_and_by_nothing_else(protects):
    life = Life().begin("1", plan("90")).fill("1", "100")
    after = evolve(life.p, ProtectionAcknowledged(1, NOW, NOW, protects=protects))
    assert after.status is (_S.OPEN_PROTECTED if protects else _S.OPEN_UNPROTECTED)
    assert after.acknowledged_version == 1
    unguarded = Life().begin("1", plan(None)).fill("1", "100")
    assert unguarded.arm().p.status is _S.OPEN_UNPROTECTED


def test_rules_that_guard_nothing_leave_a_position_unprotected_once_they_are_in_force():
    life = opened()
    changed = evolve(life.p, ProtectionSet(Protection(version=2), (), NOW))
    assert changed.status is _S.MODIFYING
    assert evolve(changed, ProtectionAcknowledged(2, NOW, NOW)).status is _S.OPEN_UNPROTECTED


def test_an_acknowledgement_does_not_open_what_is_closing():
    life = opened().cross("stop", "90")
    assert evolve(life.p, ProtectionAcknowledged(1, NOW, NOW)).status is _S.CLOSING


# --- downtime ---


def judged(**others: object) -> DowntimeJudged:
    return DowntimeJudged(NOW, NOW + timedelta(seconds=60), 1, (), NOW, **others)


def test_a_downtime_moves_the_anchor_of_a_trail_and_the_prices_it_has_seen():
    life = opened(protection=plan("90", trail_distance=D(20)))
    after = evolve(life.p, judged(best=D(109), low=D(95), high=D(109)))
    assert after.protection.trail == Trail(D(109), distance=D(20), since=NOW)
    assert after.protection.stop == life.p.protection.stop
    assert (after.best_price, after.worst_price) == (109, 95)
    assert after.judged_until == NOW + timedelta(seconds=60)


def test_a_downtime_without_a_better_price_leaves_a_trail_where_it_was():
    life = opened(protection=plan("90", trail_distance=D(20)))
    assert evolve(life.p, judged()).protection == life.p.protection
    life = opened()
    assert evolve(life.p, judged(best=D(109))).protection == life.p.protection


# --- exits ---


def epoch(life: Life, leg: str) -> int:
    return dict(life.p.epochs).get(ExitId(leg), 0)


def test_an_exit_that_is_done_gives_its_next_order_another_id_and_others_keep_theirs():
    life = opened("1", protection=plan("90", [("110", "0.25"), ("120", "0.25")]))
    life.cross("target-1", "110").fill_exit("110", "0.1")
    assert epoch(life, "target-1") == 0  # under way
    life.fill_exit("110", "0.15")
    assert epoch(life, "target-1") == 1
    life.cross("target-2", "120").fill_exit("120")
    assert (epoch(life, "target-1"), epoch(life, "target-2")) == (1, 1)


def test_the_stop_of_the_venue_has_ids_of_its_own():
    life = opened()
    fired = evolve(life.p, ExitFired(an_exit(ClientOrderId("g"), at_venue=True), NOW))
    fill = a_fill("1", "90", life.p.direction.exit_side, ClientOrderId("g"))
    assert evolve(fired, PositionFilled(fill, ExitId("stop"))).epochs == life.p.epochs
    assert evolve(fired, ended(ClientOrderId("g"))).epochs == life.p.epochs


def test_a_fill_ends_the_row_of_failures():
    life = opened().cross("stop", "90")
    for number in (1, 2):
        order = life.last_exit().terms.client_order_id
        life.tell(OrderEnded(life.p.id, order, OrderStatus.REJECTED, "BUSY"))
        assert life.p.failed_exits == number
        life.tell(Wake("retry_exit", ExitId("stop")))
    assert life.fill_exit("90", "0.4").p.failed_exits == 0


def test_an_exit_that_never_left_is_forgotten_and_did_not_fail():
    life = opened()
    fired = evolve(life.p, ExitFired(an_exit(ClientOrderId("w"), waits=True), NOW))
    after = evolve(fired, ended(ClientOrderId("w")))
    assert after.exits == ()
    assert after.failed_exits == 0
    assert (after.status, after.acknowledged_version) == (_S.OPEN_UNPROTECTED, 0)
    sent = evolve(fired, ExitReleased(ClientOrderId("w"), D(1), NOW))
    failed = evolve(sent, ended(ClientOrderId("w")))
    assert [(each.done, each.filled) for each in failed.exits] == [(True, 0)]
    assert failed.failed_exits == 1


def test_an_exit_beside_one_that_ends_stays_as_it_is():
    life = opened("1", protection=plan("90", [("110", "0.25")])).cross("target-1", "110")
    target = life.last_exit().terms.client_order_id
    life.cross("stop", "90")
    before = life.p.exits
    after = evolve(life.p, ended(target))
    assert after.exits == (replace(before[0], done=True), before[1])
    assert not after.protection.targets[0].fired
    assert after.status is _S.CLOSING  # the stop is under way


@pytest.mark.parametrize(("attaches", "epochs"), [(True, ((ExitId("guard-0"), 1),)), (False, ())])
def test_the_id_of_a_stop_that_an_entry_brings_along_is_used(attaches, epochs):
    rules = PositionRules(stops_at_venue=True, attaches_stops=attaches)
    assert Life(rules).begin("1").p.epochs == epochs
