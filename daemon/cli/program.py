"""The program: its commands, and which file each is in.

Only the file of the command asked for is imported; all of them for help. The order here is the
order in the help.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from daemon.cli.console import begin
from daemon.version import installed_version

_HELP = """Open, guard and close trading positions, and lose none of them.

\b
holdfast run                     the daemon, in the foreground
holdfast status                  what it does, from a second terminal
holdfast watch                   the same, live
holdfast positions
holdfast open BTC/USDT long --notional 500 --stop 60000 --target 62000:50%
holdfast close ID

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon there, 4 the answer was lost.
"""  # \b keeps the lines of the examples

FILES: dict[str, tuple[str, ...]] = {
    "start": ("run",),
    "watch": ("watch",),
    "reads": (
        "status",
        "health",
        "mode",
        "positions",
        "position",
        "orders",
        "why",
    ),
    "executions": ("executions", "retry", "test-order", "latency"),
    "quotes": ("market",),
    "reconcile": ("reconcile",),
    "limits": ("portfolio", "traders"),
    "trading": (
        "open",
        "add",
        "close",
        "move-stop",
        "trail-stop",
        "add-target",
        "modify-target",
        "cancel-target",
    ),
    "conflicts": ("conflicts", "accept", "refuse"),
    "operations": (
        "pause",
        "resume",
        "stop-entries",
        "resume-entries",
        "reset-kill-switch",
        "snapshot",
        "reload",
        "drain",
        "admin",
    ),
    "files": ("config", "strategies"),
    "checkup": ("doctor",),
    "journal": ("journal",),
    "backup": ("backup", "restore"),
    "recorder": ("record",),
    "market": ("serve-recorded", "replay"),
    "sandbox": ("sandbox",),
    "drill": ("drill",),
    "simulate": ("simulate",),
}


class InOrder(TyperGroup):
    """Lists commands in the order of `FILES`; typer would put groups last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names."""
        known = super().list_commands(ctx)
        order = [command for commands in FILES.values() for command in commands]
        return sorted(known, key=order.index)


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the program with the command that `arguments` begin with, or with all."""
    app = typer.Typer(
        cls=InOrder,
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,  # plain help: the same on a terminal and in a pipe
        pretty_exceptions_enable=False,
    )
    app.callback()(_program)
    wanted = arguments[0] if arguments else ""
    files = [name for name, commands in FILES.items() if wanted in commands] or list(FILES)
    for name in files:
        import_module(f"daemon.cli.{name}").register(app)
    return app


def main() -> None:
    """Run the command line."""
    build(sys.argv[1:])(prog_name="holdfast")


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        typer.echo(f"holdfast {installed_version()}")
        raise typer.Exit


def _program(
    *,
    version: Annotated[  # noqa: ARG001 - its callback prints it
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit."),
    ] = False,
) -> None:
    begin()
