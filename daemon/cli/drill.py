"""`holdfast drill`: break a venue under a daemon of its own, and see what holds."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from daemon.cli.cells import text
from daemon.cli.console import Column, Exit, Row, fail, print_json, print_table, say
from daemon.cli.link import JsonOption
from domain.errors import Refusal

if TYPE_CHECKING:
    from daemon.drills.drill import Drill, Outcome

_JOBS = 2 * (os.cpu_count() or 1)


def drill(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Which; without: all.")
    ] = None,
    *,
    listed: Annotated[bool, typer.Option("--list", help="Say which there are.")] = False,
    jobs: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="So many at a time.")
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
        fail(
            Refusal("UNKNOWN_DRILL", f"There is no drill {error.args[0]}.", f"There are: {known}.")
        )
    outcomes = asyncio.run(_run(chosen, jobs=jobs, quick=quick, logs=logs, as_json=as_json))
    if as_json:
        print_json({"drills": [msgspec.to_builtins(each) for each in outcomes]})
    else:
        _show(outcomes)
    if not all(each.passed for each in outcomes):
        raise typer.Exit(Exit.REFUSED)


async def _run(
    drills: "tuple[Drill, ...]", *, jobs: int, quick: bool, logs: Path | None, as_json: bool
) -> "list[Outcome]":
    from daemon.drills.running import run_all  # noqa: PLC0415

    def began(drill: "Drill") -> None:
        typer.echo(f"      {drill.name}: {drill.injects}", err=True)

    def ended(outcome: "Outcome") -> None:
        word = "ok  " if outcome.passed else "FAIL"
        typer.echo(f"{word}  {outcome.name}, {outcome.seconds:.0f} s", err=True)

    return await run_all(
        drills,
        jobs=jobs,
        logs=logs,
        is_small=quick,
        on_begin=(lambda _: None) if as_json else began,
        on_end=(lambda _: None) if as_json else ended,
    )


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


def _show(outcomes: "list[Outcome]") -> None:
    columns = [
        Column("DRILL", text("name")),
        Column("RESULT", lambda row: "passed" if row["passed"] else "FAILED", style=_style),
        Column("UNPROTECTED", _unprotected, right=True),
        Column("GUARD", text("guard"), keep=3),
        Column("ORDERS", text("orders"), right=True),
        Column("DOUBLED", text("duplicates"), right=True),
        Column("TOOK", lambda row: f"{row['seconds']} s", right=True, keep=4),
        Column("WHAT WENT WRONG THERE", text("injects"), keep=2),
    ]
    rows: list[Row] = [msgspec.to_builtins(each) for each in outcomes]
    print_table(columns, rows, empty="no drill")
    for each in outcomes:
        if not (each.report or each.wrong):
            continue
        say(f"{each.name}:")
        for line in each.report:
            say(f"  {line}", indent="    ")
        for line in each.wrong:
            say(f"  wrong: {line}", indent="    ")
        if each.logs:
            say(f"  log and journal: {each.logs}", indent="    ")
    failed = [each.name for each in outcomes if not each.passed]
    say(f"{len(outcomes) - len(failed)} of {len(outcomes)} passed")


def _unprotected(row: Row) -> str:
    return f"{row['unprotected_s']} s"


def _style(row: Row) -> str:
    return "green" if row["passed"] else "bold red"


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("drill")(drill)
