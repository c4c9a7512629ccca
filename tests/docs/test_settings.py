"""The configuration reference is what the models say."""

import pytest

from daemon import config_models as models
from daemon import config_venues
from docs import settings


def test_the_tables_of_the_configuration_are_current():
    assert settings.main(["--check"]) == 0, "run: make docs"


def test_every_section_has_a_table():
    known = {
        each
        for each in (vars(models) | vars(config_venues)).values()
        if isinstance(each, type) and issubclass(each, models.Section)
    }

    assert known - {models.Section} == set(settings.SECTIONS.values())


@pytest.mark.parametrize("name", settings.SECTIONS)
def test_every_key_says_what_it_means(name):
    section = settings.SECTIONS[name]
    told = {key: said for key, _, said in settings.fields(section)}

    assert list(told) == list(section.model_fields)
    plain = {"enabled", "host", "level"}  # their names say it
    assert {key for key, said in told.items() if not said} <= plain


def test_a_table_has_type_default_and_meaning_of_each_key():
    rows = settings.table(models.Market).splitlines()

    assert (
        "| `seed` | whole number | `7` | only `simulated`: another number is another market |"
        in (rows)
    )
    assert any(row.startswith("| `symbols` | list of 1 to 1000 | required | ") for row in rows)
    assert any(row.startswith("| `url` | `ws://…`, `wss://…` | not set | ") for row in rows)


def test_a_stale_page_is_told_and_mended(tmp_path, capsys):
    page = tmp_path / "configuration.md"
    text = settings.PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("`9464`", "`1234`"), encoding="utf-8")

    assert settings.main(["--check"], page) == 1
    assert "make docs" in capsys.readouterr().err
    assert settings.main([], page) == 0
    assert page.read_text(encoding="utf-8") == text
