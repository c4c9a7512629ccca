"""`holdfast simulate`: the whole daemon through days of bad luck, in virtual time."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.console import Exit, print_json, say
from daemon.cli.link import JsonOption

if TYPE_CHECKING:
    from daemon.simulation.day import Result
    from daemon.simulation.plan import Plan


def simulate(  # noqa: PLR0913 - options
    *,
    seed: Annotated[int | None, typer.Option(metavar="N", help="This day alone.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Tell its story, line by line.")] = False,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Make a day that fails smaller; print its plan.")
    ] = False,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A plan that --shrink printed.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000_000, help="So many days.")
    ] = 10,
    first: Annotated[int, typer.Option(metavar="N", min=0, help="The first of them.")] = 0,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="So many at a time.")] = 1,
    faults: Annotated[bool, typer.Option(help="Let things go wrong.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Live through simulated days of bad luck.

    Venue, network, disk and clock fail as a seed says. The daemon's own actors and journal run in
    virtual time; a venue with a ledger of its own is the judge. The same seed gives the same day.
    Your configuration and data are not touched. Exit 1 if anything that must hold does not.

    \b
    holdfast simulate --seeds 100
    holdfast simulate --seed 7 --trace
    holdfast simulate --seed 7 --shrink > seven.json
    holdfast simulate --plan seven.json --trace
    """  # noqa: D301
    if seed is None and plan is None:
        _many(range(first, first + seeds), jobs, faults=faults, as_json=as_json)
        return
    from daemon.simulation.day import run  # noqa: PLC0415 - most of the daemon: only if used
    from daemon.simulation.plan import encode, planned  # noqa: PLC0415
    from daemon.simulation.shrink import shrunk  # noqa: PLC0415

    day = _read(plan) if plan is not None else planned(seed or 0, with_faults=faults)
    if shrink:
        small = shrunk(day, note=lambda text: typer.echo(text, err=True))
        result = run(small)
        sys.stdout.buffer.write(encode(small, violations=result.violations) + b"\n")
    else:
        result = run(day, with_story=trace)
        _told(result, as_json=as_json)
    if result.violations:
        raise typer.Exit(Exit.REFUSED)


def _many(seeds: range, jobs: int, *, faults: bool, as_json: bool) -> None:
    from daemon.simulation.campaign import campaign  # noqa: PLC0415 - as above

    def note(result: "Result") -> None:
        if result.violations:
            more = f" and {len(result.violations) - 1} more" if len(result.violations) > 1 else ""
            typer.echo(f"seed {result.seed}: {result.violations[0]}{more}", err=True)

    figures = campaign(seeds, jobs=jobs, with_faults=faults, note=note)
    if as_json:
        print_json(figures)
    else:
        for name, value in figures.items():
            say(f"{name.replace('_', ' '):<20}{value}")
    if figures["violations"] or figures["not_repeated"]:
        raise typer.Exit(Exit.REFUSED)


def _read(file: Path) -> "Plan":
    import msgspec  # noqa: PLC0415

    from daemon.cli.console import fail  # noqa: PLC0415
    from daemon.simulation.plan import decode  # noqa: PLC0415
    from domain.errors import Refusal  # noqa: PLC0415

    try:
        return decode(file.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        remedy = "Make one: holdfast simulate --seed N --shrink."
        raise fail(Refusal("PLAN_UNUSABLE", f"{file}: {error}.", remedy)) from error


def _told(result: "Result", *, as_json: bool) -> None:
    import msgspec  # noqa: PLC0415

    if as_json:
        print_json(msgspec.to_builtins(result))
        return
    for line in result.story:
        typer.echo(line)
    for text in result.violations:
        say(f"violated: {text}")
    say(
        f"seed {result.seed}: {result.lives} lives, {result.positions} positions, {result.orders}"
        f" orders, {result.faults} faults, {result.checks} checks,"
        f" {len(result.violations)} violations; digest {result.digest[:16]}"
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)
