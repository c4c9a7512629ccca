"""Suggestions that met a change by a person: how they are held, accepted and refused."""

import pytest

from domain.commands import ModificationType, ModifyProtection, RequestedBy
from domain.effects import Answer, Arm
from domain.ids import RequestId
from domain.inputs import ResolveConflict
from domain.position_events import ProtectionModified, SuggestionHeld
from tests.builders import D, Life, opened, plan


def suggest(life: Life, price: str, by: RequestedBy = RequestedBy.RULE_ENGINE) -> Life:
    """Let somebody wish for a stop at `price`; whoever is automatic says which version it saw."""
    return life.tell(
        ModifyProtection(
            life.p.id,
            ModificationType.MOVE_SL,
            price=D(price),
            requested_by=by,
            based_on=life.p.protection.version,
            request_id=RequestId("r"),
        )
    )


def touched() -> Life:
    """A position that a person has changed."""
    life = opened("1", protection=plan("90", [("110", "0.4"), ("120", "0.3")]))
    return suggest(life, "91", RequestedBy.USER_MANUAL).arm()


def resolve(life: Life, conflict: str, *, accept: bool) -> str | None:
    """Decide; return the rule of a refusal."""
    life.tell(ResolveConflict(life.p.id, conflict, accept, RequestId("q")))
    (answer,) = (effect for effect in life.decision.effects if isinstance(effect, Answer))
    return None if answer.refusal is None else answer.refusal.rule


def held(life: Life) -> list[str]:
    return [conflict.conflict_id for conflict in life.p.conflicts]


def test_an_accepted_suggestion_is_done_and_armed():
    life = suggest(touched(), "92")
    assert held(life) == ["c1"]
    assert resolve(life, "c1", accept=True) is None
    assert life.p.protection.stop.price == 92
    assert any(isinstance(effect, Arm) for effect in life.decision.effects)
    assert held(life) == []
    (done,) = [event for event in life.decision.events if isinstance(event, ProtectionModified)]
    assert done.modification.requested_by is RequestedBy.RULE_ENGINE
    assert done.modification.at == life.now


def test_a_refused_suggestion_is_gone_and_nothing_moved():
    life = suggest(touched(), "92")
    before = life.p.protection
    assert resolve(life, "c1", accept=False) is None
    assert life.p.protection == before
    assert held(life) == []
    assert resolve(life, "c1", accept=True) == "UNKNOWN_CONFLICT"


def test_a_newer_suggestion_of_a_kind_takes_the_place_of_the_older_under_its_own_id():
    life = suggest(suggest(touched(), "92").after(300), "93")
    assert held(life) == ["c2"]
    assert resolve(life, "c1", accept=True) == "UNKNOWN_CONFLICT"  # nobody accepts the unseen
    assert resolve(life, "c2", accept=False) is None
    assert held(suggest(life.after(300), "94")) == ["c3"]


def test_suggestions_are_as_rare_as_automatic_changes():
    life = suggest(suggest(touched(), "92").after(299), "93")
    assert held(life) == ["c1"]
    assert held(suggest(life.after(1), "93")) == ["c2"]


def test_the_same_suggestion_again_is_not_held_again():
    life = touched()
    for _ in range(3):
        suggest(life, "92").after(300)
    assert held(life) == ["c1"]
    assert len([event for event in life.events if isinstance(event, SuggestionHeld)]) == 1


def test_after_another_change_a_suggestion_can_only_be_refused():
    life = suggest(touched(), "93")
    suggest(life, "92", RequestedBy.USER_MANUAL).arm()
    assert resolve(life, "c1", accept=True) == "STALE_VERSION"
    assert life.p.protection.stop.price == 92
    assert resolve(life, "c1", accept=False) is None


def test_a_suggestion_is_checked_again_at_the_price_of_the_moment():
    life = suggest(touched(), "95")
    life.last = "94"
    assert resolve(life, "c1", accept=True) == "STOP_ON_WRONG_SIDE"
    life.last, life.fresh = "99", False
    assert resolve(life, "c1", accept=True) == "STALE_PRICE"
    life.fresh = True
    assert held(life) == ["c1"]
    life.last = "96"
    assert resolve(life, "c1", accept=True) is None


def test_a_target_that_fired_since_does_not_come_back_with_an_accepted_suggestion():
    life = suggest(touched(), "95")
    life.cross("target-1", "110").fill_exit("110")
    life.last = "110"
    assert resolve(life, "c1", accept=True) is None
    assert [target.exit_id for target in life.p.protection.open_targets()] == ["target-2"]
    assert life.p.protection.stop.price == 95


@pytest.mark.parametrize("accept", [True, False])
def test_what_nobody_suggested_cannot_be_resolved(accept):
    assert resolve(touched(), "c1", accept=accept) == "UNKNOWN_CONFLICT"


def test_a_position_that_is_closing_accepts_nothing():
    life = suggest(touched(), "95")
    life.cross("stop", "91")
    assert resolve(life, "c1", accept=True) == "NOT_OPEN"
