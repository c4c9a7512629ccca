"""A sample of `make diskfaults`: one byte of a file is changed, and nothing is silent."""

from pathlib import Path

import pytest

from tests.disk.flips import CRASH, HANG, SILENT, every_case, judged
from tests.disk.specimens import Specimen, specimens

CASES = 40  # of each kind of file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Specimen]:
    found = specimens(tmp_path_factory.mktemp("specimens") / "all")
    return {each.name: each for each in found}


@pytest.mark.parametrize(
    "name",
    [
        "database",
        "log",
        "snapshot",
        "archive",
        "database with archive",
        "paper ledger",
        "paper log",
    ],
)
def test_a_changed_byte_is_noticed_or_changes_nothing(
    made: dict[str, Specimen], name: str, tmp_path: Path
) -> None:
    cases = every_case(made[name], step=len(made[name].content) * 3 // CASES)

    found = judged(made[name], cases, tmp_path / "data")

    assert not [found.outcomes[bad] for bad in (SILENT, CRASH, HANG) if found.outcomes[bad]], (
        found.examples
    )
    assert found.outcomes["noticed"]
