"""The zoo: its bugs can be planted and taken out again, and the judge sees them."""

import json
from decimal import Decimal

import pytest
from msgspec.structs import replace

from daemon.simulation.day import run
from daemon.simulation.plan import Plan, Step
from exchanges.translate import base_units
from tests import bugzoo
from tests.builders import D, swap
from tests.daemon.simulation.zoo.hunt import Found, first_violation, hunt
from tests.daemon.simulation.zoo.planting import Bug, Edit, function_of, planted
from tests.daemon.simulation.zoo.short_days import OPENS, SEEN, short
from tests.daemon.simulation.zoo.zoo import BUGS, ELUSIVE

# A crash drops what was about to begin: coroutines that nobody will await.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ALL = BUGS | ELUSIVE


@pytest.mark.parametrize("name", ALL)
def test_a_bug_is_planted_and_taken_out_again(name):
    functions = [function_of(edit.where) for edit in ALL[name].edits]
    before = [function.__code__ for function in functions]

    with planted(ALL[name]):
        assert all(
            function.__code__ is not code for function, code in zip(functions, before, strict=True)
        )

    assert [function.__code__ for function in functions] == before


def test_there_are_at_least_forty_each_with_a_sentence_and_an_invariant():
    assert len(BUGS) >= 40
    assert not BUGS.keys() & ELUSIVE.keys()
    assert len({bug.sentence for bug in ALL.values()}) == len(ALL)
    assert {bug.breaks for bug in ALL.values()} <= {f"I{number}" for number in range(1, 15)}


def test_code_that_says_something_else_by_now_is_no_place_for_a_bug():
    bug = Bug("old", "It is outdated.", "I1", (Edit("domain.order:Order.has", "none", "some"),))

    with pytest.raises(LookupError, match=r"domain\.order:Order\.has has 'none' 0 times"):
        planted(bug).__enter__()


def test_who_has_imported_the_function_before_has_the_bug_too():
    with planted(BUGS["contracts_told_as_coins"]):
        assert base_units(Decimal(3), swap(contract_size=D("0.1"))) == 3
    assert base_units(Decimal(3), swap(contract_size=D("0.1"))) == Decimal("0.3")


@pytest.mark.parametrize("name", SEEN)
def test_the_judge_sees_it(name):
    rule, plan = SEEN[name]

    with planted(ALL[name]):
        seen = first_violation(plan)

    assert seen.startswith(f"{rule}:"), seen


@pytest.mark.parametrize("name", SEEN)
def test_the_judge_sees_nothing_without_it(name):
    assert not run(SEEN[name][1]).violations


def closes(seed: int) -> Plan:
    """Return a day in which a position is opened and closed."""
    return replace(short(OPENS, Step(at=20.0, do="close")), seed=seed)


def test_a_hunt_says_which_seed_found_it_and_ends_there():
    found = hunt(BUGS["exit_may_turn_the_position"], range(3, 5), closes)

    assert found.seeds == 1
    assert found.seed == 3
    assert found.violation.startswith("I4:")


def test_a_change_that_is_no_bug_is_not_found():
    harmless = Bug("none", "", "I1", (Edit("domain.order:Order.has", "any(", "0 < sum("),))

    assert hunt(harmless, [3, 4], closes) == Found("none", 2, None)


def test_a_day_that_fails_without_the_bug_proves_nothing():
    with planted(BUGS["exit_may_turn_the_position"]):
        assert hunt(BUGS["fees_left_out"], [5], closes) == Found("fees_left_out", 1, None)


def test_figures_tell_what_was_found_and_how_soon():
    names = list(BUGS)[:3]
    results = [Found(names[0], 1, 0, "I2: …"), Found(names[1], 5, 4, "I9: …")]

    told = bugzoo.figures([*results, Found(names[2], 300, None)])

    assert (told["planted"], told["found"], told["median_seeds"]) == (3, 2, 5)
    assert told["bugs"][names[1]] == {
        "breaks": BUGS[names[1]].breaks,
        "seeds": 5,
        "seed": 4,
        "violation": "I9: …",
    }


def test_the_command_prints_json_and_fails_when_a_bug_is_not_found(capsys, monkeypatch):
    monkeypatch.setattr(bugzoo, "hunt", lambda bug, seeds: Found(bug.name, len(seeds), None))

    assert bugzoo.main(["--only", "fees_left_out", "--seeds", "7"]) == 1
    assert json.loads(capsys.readouterr().out)["bugs"]["fees_left_out"]["seeds"] == 7


def test_a_bug_of_no_such_name_is_refused(capsys):
    assert bugzoo.main(["--only", "heisenbug"]) == 2
    assert "no such bug: heisenbug" in capsys.readouterr().err
