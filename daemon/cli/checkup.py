"""`holdfast doctor`: what a person would look at before asking for help."""

from typing import Annotated

import msgspec
import typer

from actors.streams import registry
from daemon.cli.console import Exit, print_json, say
from daemon.cli.link import ConfigOption, JsonOption, SocketOption, config_file
from daemon.doctor import examine
from daemon.doctor_machine import Finding
from daemon.words import plural

_WIDTH = 14


def doctor(
    *,
    full: Annotated[
        bool, typer.Option("--full", help="Check every record of the journal.")
    ] = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for what is wrong; exit 1 if something is.

    At the machine, the files and the daemon; each finding says what to do. It mends nothing and
    shows no secret, so its output can be passed on.

    \b
    holdfast doctor
    holdfast doctor --full --json
    """  # noqa: D301
    findings = []
    for found in examine(config_file(config), registry(), socket_path=socket, full=full):
        findings.append(found)
        if not as_json:
            _print(found)
    failed = [each for each in findings if each.level == "fail"]
    if as_json:
        print_json({"checks": msgspec.to_builtins(findings), "failed": len(failed)})
    else:
        warned = sum(each.level == "warn" for each in findings)
        say(f"{plural(len(findings), 'check')}: {len(failed)} failed, {plural(warned, 'warning')}")
    if failed:
        raise typer.Exit(Exit.REFUSED)


def _print(found: Finding) -> None:
    say(f"{found.level:<4}  {found.what:<{_WIDTH}}  {found.found}", indent=" " * (_WIDTH + 8))
    if found.level != "ok":
        say(f"      {'':<{_WIDTH}}  → {found.remedy}", indent=" " * (_WIDTH + 10))


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("doctor")(doctor)
