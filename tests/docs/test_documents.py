"""The documents name what there is: every command, key, code and link."""

import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from daemon.admin_requests import COMMANDS
from daemon.cli.program import build
from daemon.errors import named
from storage import errors as storage_errors

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
SOURCES = [
    path
    for package in ("domain", "actors", "daemon", "exchanges", "storage")
    for path in (ROOT / package).rglob("*.py")
]


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def relative(page):
    return str(page.relative_to(ROOT))


def test_the_readme_fits_on_a_screen():
    assert len(text_of("README.md").splitlines()) <= 80


def test_every_page_is_reached_from_the_readme():
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in links_of(page):
            waiting += sorted(target.glob("*.md")) if target.is_dir() else [target]
    assert set(PAGES) <= seen


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_relative_links_lead_somewhere(page):
    missing = [str(target) for target in links_of(page) if not target.exists()]
    assert not missing


def links_of(page):
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", prose)
    return [(page.parent / each).resolve() for each in targets if "://" not in each]


def test_decisions_are_numbered_without_gaps():
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    for number, file in enumerate(files, start=1):
        title = file.read_text(encoding="utf-8").splitlines()[0]
        assert title.startswith(f"# {number}. "), file.name


def commands_of(group, before=""):
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands_of(command, f"{before}{name} ")
        else:
            yield before + name


@pytest.mark.parametrize("command", list(commands_of(get_command(build()))))
def test_every_command_is_described(command):
    assert f"**`{command}`**" in text_of("docs/cli.md")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_admin_command_is_described(command):
    socket = text_of("docs/cli.md").partition("## The admin socket")[2]
    assert f"`{command}`" in socket


def codes_in_the_sources():
    sources = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    yield from re.findall(r'^([A-Z_]+) = "\1"$', sources, re.MULTILINE)  # causes of modes
    yield from re.findall(r'\bModeCause\(\s*(?:code=)?"([A-Z_]+)"', sources)
    yield from re.findall(r'\b(?:Alarm|alarm)\(\s*"([A-Z_]+)"', sources)
    yield from re.findall(r'log\.(?:error|critical)\(\s*"(\w+)"', sources)


@pytest.mark.parametrize("code", sorted(set(codes_in_the_sources())))
def test_every_cause_alarm_and_logged_error_is_in_the_runbook(code):
    assert f"`{code}`" in text_of("docs/runbook.md")


def codes_that_keep_it_from_starting():
    for path in ("daemon/lifecycle.py", "daemon/admin_socket.py", "daemon/metrics_server.py"):
        yield from re.findall(r'Refusal\(\s*(?:rule=)?"([A-Z_]+)"', text_of(path))
    for kind in (
        storage_errors.AlreadyRunningError,
        storage_errors.ArchiveNeededError,
        storage_errors.JournalDamagedError,
        storage_errors.JournalUnavailableError,
        storage_errors.NewerSchemaError,
        storage_errors.SnapshotNeededError,
        storage_errors.UnsafeFileError,
        storage_errors.UnsupportedSqliteError,
    ):
        yield named(kind.__new__(kind)).rule


@pytest.mark.parametrize("code", sorted(set(codes_that_keep_it_from_starting())))
def test_everything_that_keeps_it_from_starting_is_in_the_runbook(code):
    assert f"`{code}`" in text_of("docs/runbook.md").partition("## It does not start")[2]


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_pages_name_no_place_on_somebodys_machine(page):
    prose = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(?:home|root|tmp|work|opt|Users)/", prose)
