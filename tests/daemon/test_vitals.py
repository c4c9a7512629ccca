"""The verdicts: not alive means that a restart would help, and nothing else means that."""

from typing import Any

import pytest

from daemon.vitals import Vitals, failures, liveness, passed, readiness
from domain.modes import Mode, ModeCause


def vitals(**others: Any) -> Vitals:
    return Vitals(**{"loop_late_s": 0.001, "close_after_s": 7.0} | others)


def test_all_is_well():
    assert passed(liveness(vitals(guarded=3)))
    assert passed(readiness(vitals(guarded=3)))


@pytest.mark.parametrize(
    ("trouble", "what"),
    [
        ({"loop_late_s": 5.0}, "loop"),
        ({"down_s": {"feed": 31.0}}, "actors"),
        ({"silent_s": {"feed": 16.0}}, "actors"),
        ({"silent_s": {"persistence": 16.0}}, "actors"),
        ({"commit_s": 31.0, "disk": "answers"}, "journal"),
        ({"unguarded_s": {"p1": 17.5}}, "guards"),
    ],
)
def test_what_a_restart_would_mend_starves_the_watchdog(trouble, what):
    checks = liveness(vitals(**trouble))
    assert [check.what for check in checks if not check.ok] == [what]
    assert failures(checks)[0].startswith(f"{what}: ")
    assert not passed(readiness(vitals(**trouble)))


@pytest.mark.parametrize(
    "known",
    [
        {"trouble": "the journal is unavailable (full): no space", "commit_s": 0.0},
        {"trouble": "the journal is unavailable (io): error", "unguarded_s": {"p1": 600.0}},
        {"trouble": "another writer took the journal over", "commit_s": 600.0, "disk": "answers"},
        {"commit_s": 600.0, "disk": "silent"},  # it hangs for everybody
        {"commit_s": 600.0, "disk": "untried"},  # nobody knows: better on guard than restarted
        {"commit_s": 29.0, "disk": "answers"},
        {"down_s": {"feed": 5.0}},  # its supervisor waits
        {"unguarded_s": {"p1": 16.0}},  # it closes itself meanwhile
        {"alarmed": 2},  # somebody knows
        {"causes": (ModeCause("FEED_DOWN", Mode.NO_ENTRY, "no network", "wait"),)},
        {"account_open": False},
    ],
)
def test_what_outlives_a_restart_does_not(known):
    assert failures(liveness(vitals(**known))) == []


def test_the_reasons_name_whom_it_is_about():
    unguarded = {f"p{number}": 20.0 for number in range(5)}
    (why,) = failures(liveness(vitals(unguarded_s=unguarded)))
    assert why == "guards: nobody guards p0 for 20 s, p1 for 20 s, p2 for 20 s and 2 more"


@pytest.mark.parametrize("code", ["FEED_DOWN", "RECONCILING", "JOURNAL_DOWN", "DRAINING"])
def test_it_is_not_ready_while_a_cause_of_this_run_stands(code):
    cause = ModeCause(code, Mode.NO_ENTRY, "because", "wait")
    checks = readiness(vitals(causes=(cause,)))
    assert failures(checks) == [f"{code}: because"]
    assert passed(liveness(vitals(causes=(cause,))))


def test_it_is_not_ready_before_its_account_is_open():
    assert failures(readiness(vitals(account_open=False))) == ["account: not open"]
