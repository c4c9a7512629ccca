"""`holdfast drill`: break a venue under a daemon of its own, and see what holds."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from daemon.cli.cells import text, word_style
from daemon.cli.console import (
    Column,
    Exit,
    Row,
    complain,
    fail,
    live_table,
    on_terminal,
    print_heading,
    print_json,
    print_table,
    say,
)
from daemon.cli.link import JsonOption
from domain.errors import Refusal

if TYPE_CHECKING:
    from daemon.drills.drill import Drill, Outcome

_JOBS = 2 * (os.cpu_count() or 1)
_STYLES = {"passed": "green", "FAILED": "bold red", "running": "yellow", "waits": "dim"}
_STOPPED = 128 + signal.SIGTERM


def drill(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Which; without: all.")
    ] = None,
    *,
    listed: Annotated[bool, typer.Option("--list", help="Say which there are.")] = False,
    jobs: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="So many at a time.  [default: 2 a CPU]")
    ] = _JOBS,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer orders, shorter outages.")] = False,
    logs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep each drill's log and journal there."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Break a venue under a daemon, see what holds.

    Each drill starts a venue on this machine (see holdfast sandbox) and a daemon of its own, in a
    temporary folder; your configuration, data and keys are not touched. Exit 1 if one fails.

    \b
    holdfast drill --list
    holdfast drill outage kill-9-mid-order
    holdfast drill --json
    """  # noqa: D301
    from daemon.drills.catalog import DRILLS, named  # noqa: PLC0415 - aiohttp takes its time

    if listed:
        _list(DRILLS, as_json=as_json)
        return
    try:
        chosen = named(names or [])
    except KeyError as error:
        known = ", ".join(each.name for each in DRILLS)
        why = f"There is no drill {error.args[0]}."
        fail(Refusal("UNKNOWN_DRILL", why, f"There are: {known}."))
    table = _Table(chosen)
    with live_table(_columns(), table.rows) if on_terminal() and not as_json else _lines() as told:
        outcomes = _run(chosen, jobs=jobs, quick=quick, logs=logs, table=table, told=told)
    if as_json:
        print_json({"drills": [msgspec.to_builtins(each) for each in outcomes]})
    else:
        if not on_terminal():
            print_table(_columns(), table.rows(), empty="no drill")
        _explain(outcomes)
    if not all(each.passed for each in outcomes):
        raise typer.Exit(Exit.REFUSED)


class _Table:
    """What is known of each drill by now."""

    def __init__(self, drills: "tuple[Drill, ...]") -> None:
        self._rows: dict[str, Row] = {
            each.name: {"name": each.name, "injects": each.injects, "result": "waits"}
            for each in drills
        }

    def begin(self, drill: "Drill") -> None:
        self._rows[drill.name] = {**self._rows[drill.name], "result": "running"}

    def end(self, outcome: "Outcome") -> None:
        result = "passed" if outcome.passed else "FAILED"
        self._rows[outcome.name] = {**msgspec.to_builtins(outcome), "result": result}

    def rows(self) -> list[Row]:
        return list(self._rows.values())


@contextlib.contextmanager
def _lines() -> Iterator[Callable[[], None]]:
    """Show no table before the end: no terminal, or JSON."""
    yield lambda: None


def _run(
    drills: "tuple[Drill, ...]",
    *,
    jobs: int,
    quick: bool,
    logs: Path | None,
    table: _Table,
    told: Callable[[], None],
) -> "list[Outcome]":
    from daemon.drills.running import run_all  # noqa: PLC0415

    def began(drill: "Drill") -> None:
        table.begin(drill)
        told()

    ended_by_now = 0

    def ended(outcome: "Outcome") -> None:
        nonlocal ended_by_now
        ended_by_now += 1
        table.end(outcome)
        told()
        if not on_terminal():  # a minute is long
            result = "passed" if outcome.passed else "FAILED"
            complain(f"{ended_by_now}/{len(drills)} {outcome.name}: {result}")

    async def run() -> "list[Outcome]":
        this = asyncio.current_task()
        if this is not None:  # end the daemons before this process ends
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, this.cancel)
        return await run_all(
            drills, jobs=jobs, logs=logs, is_small=quick, on_begin=began, on_end=ended
        )

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise typer.Exit(_STOPPED) from None


def _list(drills: "tuple[Drill, ...]", *, as_json: bool) -> None:
    rows: list[dict[str, object]] = [
        {
            "name": each.name,
            "injects": each.injects,
            "unprotected_within_s": each.unprotected_within_s,
        }
        for each in drills
    ]
    if as_json:
        print_json({"drills": rows})
        return
    columns = [Column("DRILL", text("name")), Column("WHAT GOES WRONG", text("injects"))]
    print_table(columns, rows, empty="none")


def _columns() -> list[Column]:
    return [
        Column("DRILL", text("name")),
        Column("RESULT", text("result"), style=word_style("result", _STYLES)),
        Column("UNPROTECTED", _seconds("unprotected_s"), right=True),
        Column("GUARD", text("guard"), keep=3),
        Column("ORDERS", text("orders"), right=True),
        Column("DOUBLED", text("duplicates"), right=True),
        Column("TOOK", _seconds("seconds"), right=True, keep=4),
        Column("WHAT GOES WRONG", text("injects"), keep=2),
    ]


def _explain(outcomes: "list[Outcome]") -> None:
    for each in outcomes:
        if not (each.report or each.wrong or each.logs):
            continue
        print_heading(each.name)
        for line in each.report:
            say(line)
        for line in each.wrong:
            say(f"wrong: {line}")
        if each.logs:
            say(f"log and journal: {each.logs}")
    failed = [each.name for each in outcomes if not each.passed]
    print_heading(f"{len(outcomes) - len(failed)} of {len(outcomes)} passed")
    if failed:
        say(f"failed: {', '.join(failed)}")


def _seconds(name: str) -> Callable[[Row], str]:
    return lambda row: "-" if row.get(name) is None else f"{row[name]} s"


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("drill")(drill)
