"""The site builds without a warning, and what is generated in it is current."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs import reference
from tests.docs.test_documents import SOURCES

ROOT = Path(__file__).resolve().parents[2]


def built(top: Path, into: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "mkdocs", "build", "--strict"),
            *("--config-file", str(top / "mkdocs.yml"), "--site-dir", str(into)),
        ],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    return tmp_path


def test_the_site_builds_without_a_warning(copied: Path) -> None:
    done = built(copied, copied / "site")

    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert all((copied / "site" / page.with_suffix(".html")).exists() for page in pages)


@pytest.mark.parametrize("link", ["[x](nowhere.md)", "[x](cli.md#nowhere)", "![x](missing.png)"])
def test_a_link_that_leads_nowhere_fails_the_build(copied: Path, link: str) -> None:
    page = copied / "docs" / "concepts.md"
    page.write_text(page.read_text() + f"\n{link}\n")

    assert built(copied, copied / "site").returncode != 0


def test_the_command_reference_is_current() -> None:
    assert reference.main(["--check"]) == 0, "run: make docs"


def test_a_stale_reference_is_told_and_mended(tmp_path: Path, capsys) -> None:
    target = tmp_path / "reference.md"
    target.write_text("old")

    assert reference.main(["--check"], target) == 1
    assert "make docs" in capsys.readouterr().err
    assert reference.main([], target) == 0
    assert target.read_text() == reference.PAGE.read_text()


def test_codes_in_troubleshooting_exist() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    sources = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)

    codes = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", text)) - {"NO_COLOR"}

    assert len(codes) >= 6
    assert {code for code in codes if f'"{code}"' not in sources} == set()
