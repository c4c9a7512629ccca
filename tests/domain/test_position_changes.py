"""What is asked of a position by command: to close it or a part, to change what guards it."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.commands import ClosePosition, ModificationType, ModifyProtection, RequestedBy
from domain.effects import Answer, CancelOrder
from domain.errors import Refusal
from domain.ids import NO_ORDER, RequestId
from domain.inputs import OutsideReported, ResolveConflict
from domain.instrument import Kind
from domain.modifications import NO_MARKET, ModificationRules, validate
from domain.position import PositionStatus
from domain.position_events import ProtectionModified
from domain.venue import Outside
from tests.builders import D, Life, a_fill, opened, plan, swap

ASKED = RequestId("r")


def answer(life: Life) -> Refusal | None:
    (found,) = (each for each in life.decision.effects if isinstance(each, Answer))
    return found.refusal


def rule(life: Life) -> str | None:
    refusal = answer(life)
    return None if refusal is None else refusal.rule


def close(life: Life, part: str = "1") -> Life:
    return life.tell(ClosePosition(life.p.id, part=D(part), request_id=ASKED))


def change(life: Life, kind: ModificationType, **others: object) -> Life:
    return life.tell(ModifyProtection(life.p.id, kind, request_id=ASKED, **others))


def move(life: Life, price: str, **others: object) -> Life:
    return change(life, ModificationType.MOVE_SL, price=D(price), **others)


def resolve(life: Life, conflict: str, *, accept: bool) -> Life:
    return life.tell(ResolveConflict(life.p.id, conflict, accept, ASKED))


# --- to close it ---


def test_whoever_closes_a_pending_entry_is_answered():
    life = close(Life().begin("1", limit="99"))
    assert answer(life) is None
    assert [type(each) for each in life.decision.effects] == [CancelOrder, Answer]


@pytest.mark.parametrize("part", ["0", "-0.1", "1.01"])
def test_a_part_is_more_than_nothing_and_at_most_all(part):
    assert rule(close(opened(), part)) == "INVALID_PART"


def test_the_smallest_part_is_one_lot_or_the_smallest_order():
    assert rule(close(opened("0.004", "100000"), "0.25")) is None
    refusal = answer(close(opened("0.004", "100000"), "0.2"))
    assert refusal.rule == "QUANTITY_BELOW_LOT"
    assert (refusal.actual, refusal.limit) == ("0.0008", "0.001")
    assert "25.0 %" in refusal.remedy
    least = swap(min_quantity=D("0.002"))
    assert rule(close(opened("0.004", "100000", instrument=least), "0.5")) is None
    assert rule(close(opened("0.004", "100000", instrument=least), "0.4")) == "QUANTITY_BELOW_LOT"


def test_a_part_that_leaves_a_lot_leaves_the_position_open():
    life = close(opened("0.002", "100000"), "0.5")
    assert life.p.status is PositionStatus.OPEN_PROTECTED
    assert not life.last_exit().armed


def test_a_part_that_leaves_less_than_a_lot_closes_the_position():
    life = Life(last="100000").begin("0.003", instrument=swap(kind=Kind.SPOT))
    life.fill("0.003", "100000", fee="0.0005", fee_asset="BTC").arm()
    close(life, "0.8")
    assert life.last_exit().terms.quantity == D("0.002")
    assert life.p.status is PositionStatus.CLOSING


def test_what_is_closed_or_claimed_is_not_closed_again():
    life = close(opened(), "0.5")
    fill = a_fill("0.5", "100", life.p.direction.exit_side, NO_ORDER)
    life.tell(OutsideReported(life.p.id, fill, Outside.PERSON))
    assert rule(close(life)) == "ALREADY_CLOSING"
    assert rule(close(life, "0.5")) == "ALREADY_CLOSING"
    assert len(life.exits_sent()) == 1
    life.fill_exit("100")
    assert rule(close(life)) == "ALREADY_CLOSED"


# --- to change what guards it ---


TOO_CLOSE = [
    ("200", {"trail_ratio": D("0.00099")}, "0.099 %", "0.1 % or more"),
    ("200", {"trail_distance": D("0.19")}, "0.19", "0.2 or more"),
    ("50", {"trail_distance": D("0.049")}, "0.049", "0.05 or more"),
]


@pytest.mark.parametrize(("last", "wish", "actual", "least"), TOO_CLOSE)
def test_a_trail_that_follows_nearer_than_both_fees_take_is_refused(last, wish, actual, least):
    life = opened(protection=plan("40"))
    life.last = last

    refusal = answer(change(life, ModificationType.TRAIL_SL, **wish))

    assert refusal.rule == "TRAIL_TOO_CLOSE"
    assert (refusal.actual, refusal.limit) == (actual, least)
    assert "2 % is written 2%" in refusal.remedy
    assert life.p.protection.trail is None


@pytest.mark.parametrize(("distance", "errors"), [("0.09", ("TRAIL_TOO_CLOSE",)), ("0.1", ())])
def test_without_a_price_a_trail_is_measured_at_the_entry(distance, errors):
    life = opened(protection=plan("40"))
    command = ModifyProtection(
        life.p.id, ModificationType.TRAIL_SL, trail_distance=D(distance), request_id=ASKED
    )

    assert validate(life.p, command, life.now, ModificationRules(), NO_MARKET).errors == errors


@pytest.mark.parametrize("wish", [{"trail_ratio": D("0.001")}, {"trail_distance": D("0.2")}])
def test_a_trail_may_follow_from_where_both_fees_take_the_price(wish):
    life = opened(protection=plan("40"))
    life.last = "200"

    assert rule(change(life, ModificationType.TRAIL_SL, **wish)) is None


@pytest.mark.parametrize(
    ("distance", "widen", "rule_of_it"),
    [
        ("0.1", False, None),  # what both fees took at the entry
        ("0.099", False, "TRAIL_TOO_CLOSE"),
        ("0.12", False, None),  # as it is
        ("0.15", False, "WOULD_WIDEN"),
        ("0.15", True, None),
    ],
)
@pytest.mark.parametrize("last", ["200", "100"])
def test_a_trail_that_was_wide_enough_may_be_changed_however_far_the_price_went(
    last, distance, widen, rule_of_it
):
    life = opened(protection=plan(None, trail_distance=D("0.12")))
    life.last = last

    change(life, ModificationType.TRAIL_SL, trail_distance=D(distance), widen=widen)

    assert rule(life) == rule_of_it


def test_a_trail_that_is_too_close_by_now_may_be_widened():
    life = opened(protection=plan(None, trail_ratio=D("0.0005")))

    change(life, ModificationType.TRAIL_SL, trail_ratio=D("0.0006"), widen=True)
    assert rule(life) is None
    change(life.arm(), ModificationType.TRAIL_SL, trail_ratio=D("0.0005"))
    assert rule(life) == "TRAIL_TOO_CLOSE"


def test_what_is_kept_of_a_change_is_what_came_of_it():
    life = opened()
    before = life.p.protection
    move(life, "95")
    (kept,) = (each for each in life.decision.events if isinstance(each, ProtectionModified))
    assert kept.modification.previous == before
    assert kept.modification.new == life.p.protection
    assert life.p.protection.version == 2


def touched(**others: object) -> Life:
    """A position that a person has changed, 300 s ago."""
    targets = [("110", "0.4"), ("120", "0.3")]
    return move(opened("1", protection=plan("80", targets, **others)), "81").arm().after(300)


def suggest(life: Life, price: str = "92", **others: object) -> Life:
    move(life, price, requested_by=RequestedBy.RULE_ENGINE, **others)
    assert rule(life) == "MANUAL_LOCK"
    return life


def test_whoever_names_an_unknown_conflict_is_told_the_known_ones():
    assert "It has: none." in answer(resolve(touched(), "c9", accept=True)).remedy
    assert "It has: c1." in answer(resolve(suggest(touched()), "c9", accept=True)).remedy


def test_a_suggestion_is_good_until_a_person_has_decided_however_short_its_own_time_was():
    life = touched()
    suggest(life, expires_at=life.now + timedelta(seconds=1))
    assert rule(resolve(life.after(3600), "c1", accept=True)) is None
    assert life.p.protection.stop.price == 92


def test_what_is_kept_of_an_accepted_suggestion_is_of_the_moment_when_it_was_accepted():
    life = suggest(touched())
    life.fresh = False
    life.cross("target-1", "110").fill_exit("110")
    life.fresh = True
    before = life.p.protection
    resolve(life.after(60), "c1", accept=True)
    (kept,) = (each for each in life.decision.events if isinstance(each, ProtectionModified))
    assert kept.modification.previous == before
    assert before.targets[0].fired
    assert kept.modification.at == life.now
    assert kept.modification.validation.passed
    assert kept.modification.new == life.p.protection


def test_a_suggestion_that_would_widen_at_the_price_of_the_moment_is_not_accepted():
    life = touched(trail_ratio=D("0.05"))
    life.last = "120"
    suggest_trail = {"trail_distance": D(5), "requested_by": RequestedBy.RULE_ENGINE, "widen": True}
    change(life, ModificationType.TRAIL_SL, **suggest_trail)  # 6 below the price until now
    assert rule(life) == "MANUAL_LOCK"
    life.last = "90"  # 4.5 below it
    assert rule(resolve(life, "c1", accept=True)) == "WOULD_WIDEN"
    life.last = "110"
    assert rule(resolve(life, "c1", accept=True)) is None
    assert life.p.protection.trail.distance == 5


@pytest.mark.parametrize("is_old", [True, False])
def test_a_suggestion_for_other_rules_or_without_its_wish_can_only_be_refused(is_old):
    life = suggest(touched())
    if is_old:  # of a journal that did not keep wishes
        (held,) = life.p.conflicts
        life.position = replace(life.p, conflicts=(replace(held, wish=None),))
    else:
        move(life, "85").arm()
    assert rule(resolve(life, "c1", accept=True)) == "STALE_VERSION"
    assert rule(resolve(life, "c1", accept=False)) is None


def test_a_change_of_what_is_closed_is_refused_and_not_kept():
    life = close(opened()).fill_exit("100")
    move(life, "95")
    assert rule(life) == "NOT_OPEN"
    assert life.decision.events == ()
