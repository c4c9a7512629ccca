"""The diagrams in the documents are those of the transition tables."""

import pytest

from docs.draw import PAGE, MarkerError, diagrams, drawn, main
from domain import order, position

TABLES = {"order-states": order.TRANSITIONS, "position-states": position.TRANSITIONS}


def test_the_diagrams_in_the_architecture_are_current():
    assert main(["--check"]) == 0, "run: make docs"


@pytest.mark.parametrize("name", TABLES)
def test_a_diagram_has_an_arrow_for_each_transition_and_no_other(name):
    arrows = {
        tuple(line.split(" --> "))
        for line in map(str.strip, diagrams()[name].splitlines())
        if " --> " in line and "[*]" not in line
    }
    assert arrows == {
        (state.name, after.name) for state, following in TABLES[name].items() for after in following
    }


def test_a_stale_page_fails_the_check_and_is_mended_by_drawing(tmp_path, capsys):
    page = tmp_path / "page.md"
    text = PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("INTENT --> SENDING", "INTENT --> FILLED"), encoding="utf-8")
    assert main(["--check"], page) == 1
    assert "python -m docs.draw" in capsys.readouterr().err
    assert main([], page) == 0
    assert page.read_text(encoding="utf-8") == text


def test_what_stands_outside_the_markers_stays():
    text = PAGE.read_text(encoding="utf-8")
    assert drawn("before\n" + text + "after\n") == "before\n" + drawn(text) + "after\n"


def test_a_page_without_markers_is_refused():
    with pytest.raises(MarkerError, match="order-states"):
        drawn("nothing here")
