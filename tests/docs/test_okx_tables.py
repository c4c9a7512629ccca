"""The tables of the page about OKX are what the code says."""

from actors.venue_causes import NAMES
from docs import okx_tables
from exchanges.okx_errors import CODES


def test_the_tables_are_current():
    assert okx_tables.main(["--check"]) == 0, "run: make docs"


def test_every_cause_and_every_code_has_a_row():
    text = okx_tables.PAGE.read_text(encoding="utf-8")

    assert all(f"| `{name}` |" in text for name in NAMES)
    assert all(f"\n| {code} |" in text for code in CODES)


def test_a_stale_page_is_told_and_mended(tmp_path, capsys):
    page = tmp_path / "okx.md"
    text = okx_tables.PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("| `WRONG_KEY` |", "| `NO_KEY` |"), encoding="utf-8")

    assert okx_tables.main(["--check"], page) == 1
    assert "make docs" in capsys.readouterr().err
    assert okx_tables.main([], page) == 0
    assert page.read_text(encoding="utf-8") == text
