"""The command that compares the account with its venue."""

from collections.abc import Callable
from typing import Annotated

import msgspec
import typer

from daemon.admin_client import Answer
from daemon.admin_requests import Reconcile
from daemon.cli.cells import price, text, word_style
from daemon.cli.console import (
    Column,
    Exit,
    Row,
    clean,
    print_heading,
    print_json,
    print_pairs,
    print_table,
    say,
)
from daemon.cli.link import ConfigOption, JsonOption, SocketOption, ask, rows_of
from daemon.words import short_number

STATE_STYLES = {
    "equal": "green",
    "not ours": "dim",
    "in flight": "yellow",
    "not read": "yellow",
    "differs": "bold red",
    "quarantine": "bold red",
}


def reconcile(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")
    ] = False,
    adopt: Annotated[
        str | None,
        typer.Option(
            metavar="SYMBOL",
            help="Take over what the venue holds and nobody here opened, with an emergency stop.",
        ),
    ] = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the venue with the daemon now.

    Exit code 1 if they differ.

    \b
    holdfast reconcile --dry-run
    holdfast reconcile --adopt BTC/USDT
    """  # noqa: D301
    request = Reconcile(dry_run=dry_run, adopt=None if adopt is None else adopt.upper())
    answer = ask(request, config, socket, afterwards="Ask again: holdfast reconcile --dry-run.")
    if as_json:
        print_json(answer)
    else:
        print_reconciled(answer)
    if not answer.get("agrees"):
        raise typer.Exit(Exit.REFUSED)


def print_reconciled(answer: Answer) -> None:
    """Print both sides, then what is done about what differs."""
    columns = [
        Column("SYMBOL", text("symbol")),
        Column("SIDE", text("side")),
        Column("OURS", price("ours"), right=True),
        Column("VENUE", price("venue"), right=True),
        Column("ORDERS", _both("orders"), right=True),
        Column("STOPS", _both("stops"), right=True),
        Column("STATE", text("state"), style=word_style("state", STATE_STYLES)),
    ]
    rows = rows_of(answer, "symbols")
    print_table(columns, rows, empty="nothing is held, here or at the venue")
    balance = msgspec.convert(answer.get("balance", {}), dict[str, object])
    asset = clean(balance.get("asset"))
    ours, venue = balance.get("ours"), balance.get("venue")
    print_pairs(
        [
            ("cash, ours", "not known yet" if ours is None else f"{short_number(ours)} {asset}"),
            ("cash, venue", "not told yet" if venue is None else f"{short_number(venue)} {asset}"),
        ]
    )
    _print_actions(answer, rows)
    _print_strange(rows_of(answer, "strange_orders"))
    for failed in _texts(answer, "failed"):
        say(f"not read: {failed}")
    if answer.get("agrees"):
        say("both sides agree")


def _print_actions(answer: Answer, rows: list[dict[str, object]]) -> None:
    if done := _texts(answer, "done"):
        print_heading("done")
        for each in done:
            say(each)
    if left := [row for row in rows if row.get("action")]:
        print_heading("would do" if answer.get("dry_run") else "to do")
        for row in left:
            say(f"{clean(row.get('symbol'))} {clean(row.get('side'))}: {clean(row.get('action'))}")


def _print_strange(rows: list[dict[str, object]]) -> None:
    if not rows:
        return
    print_heading("orders at the venue that no position here has")
    columns = [
        Column("SYMBOL", text("symbol")),
        Column("SIDE", text("side")),
        Column("QUANTITY", price("quantity"), right=True),
        Column("ID", text("client_order_id"), keep=8),
        Column("WHOSE", text("whose")),
    ]
    print_table(columns, rows, empty="")


def _both(name: str) -> Callable[[Row], str]:
    """Show how many there are here and there; one number where they are the same."""

    def cell(row: Row) -> str:
        ours, venue = row.get(f"{name}_ours"), row.get(f"{name}_venue")
        if venue is None:
            return f"{clean(ours)} here"
        return clean(ours) if ours == venue else f"{clean(ours)} here, {clean(venue)} there"

    return cell


def _texts(answer: Answer, name: str) -> list[str]:
    return [clean(each) for each in msgspec.convert(answer.get(name, []), list[str])]


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("reconcile")(reconcile)
