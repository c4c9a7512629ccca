"""Modes are the worst of what stands."""

import pytest

from domain.modes import OPERATOR_STOP, Mode, ModeCause, operator_stop, worst


def cause(mode, code="X"):
    return ModeCause(code=code, mode=mode, message="Something.", way_out="Fix it.")


def test_without_a_cause_the_mode_is_normal():
    assert worst(()) is Mode.NORMAL


def test_the_worst_cause_decides_in_any_order():
    causes = [cause(Mode.NO_ENTRY), cause(Mode.PROTECT_ONLY), cause(Mode.NO_ENTRY)]

    assert worst(causes) is worst(reversed(causes)) is Mode.PROTECT_ONLY


def test_modes_are_ordered_by_how_little_they_allow():
    assert Mode.NORMAL < Mode.NO_ENTRY < Mode.PROTECT_ONLY < Mode.FENCED


@pytest.mark.parametrize("mode", Mode)
def test_only_the_normal_mode_allows_entries(mode):
    assert mode.allows_entries == (mode is Mode.NORMAL)


def test_an_operators_stop_names_the_person_and_the_way_out():
    stop = operator_stop("ada", "news at noon")

    assert (stop.code, stop.mode) == (OPERATOR_STOP, Mode.NO_ENTRY)
    assert stop.message == "Entries stopped by ada: news at noon."
    assert stop.way_out == "Take it back: holdfast resume-entries."
