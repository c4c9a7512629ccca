"""Commands that decide about changes a strategy suggested after a person's."""

from typing import Annotated

import typer

from daemon.admin_requests import AcceptConflict, ListConflicts, RefuseConflict
from daemon.cli.cells import text
from daemon.cli.changes import conflict_columns
from daemon.cli.console import Column, print_json, print_table
from daemon.cli.link import ConfigOption, IdArgument, JsonOption, SocketOption, ask, do, rows_of
from daemon.words import short_id

ConflictArgument = Annotated[
    str, typer.Argument(metavar="CONFLICT", help="Such as c1, see holdfast conflicts.")
]


def conflicts(
    *, config: ConfigOption = None, socket: SocketOption = None, as_json: JsonOption = False
) -> None:
    """List suggestions of strategies that met a change by a person and wait for a decision."""
    answer = ask(ListConflicts(), config, socket)
    if as_json:
        print_json(answer)
        return
    conflict, *others = conflict_columns()
    columns = [
        Column("POSITION", lambda row: short_id(row.get("position"))),
        conflict,
        Column("TRADER", text("trader"), keep=7),
        Column("SYMBOL", text("symbol"), keep=8),
        *others,
    ]
    print_table(columns, rows_of(answer, "conflicts"), empty="nothing waits for a decision")


def accept(
    position: IdArgument,
    conflict: ConflictArgument,
    *,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do what a held suggestion wants, if it still can be done.

    \b
    holdfast accept 3f2a c1
    """  # noqa: D301
    do(AcceptConflict(position=position, conflict=conflict), config, socket, as_json=as_json)


def refuse(
    position: IdArgument,
    conflict: ConflictArgument,
    *,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Drop a held suggestion; nothing is changed.

    \b
    holdfast refuse 3f2a c1
    """  # noqa: D301
    do(RefuseConflict(position=position, conflict=conflict), config, socket, as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("conflicts")(conflicts)
    app.command("accept")(accept)
    app.command("refuse")(refuse)
