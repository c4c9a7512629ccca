"""Commands about attempts to place orders."""

from typing import Annotated

import typer

from daemon.admin_requests import ListExecutions
from daemon.cli.cells import moment, price, text, word_style
from daemon.cli.console import Column, Row, clean, print_json, print_table
from daemon.cli.link import ConfigOption, JsonOption, SocketOption, ask, rows_of
from daemon.words import short_number
from domain.commands import Source
from domain.executions import ExecutionStatus

STATUS_STYLES = {
    "PLACED": "green",
    "SKIPPED": "yellow",
    "FAILED": "bold red",
    "UNKNOWN": "bold yellow",
    "PENDING": "dim",
}
_MS = 1000
_SIZES = {"notional": "quote", "risk_ratio": "of equity at risk", "equity_ratio": "of equity"}


def executions(  # noqa: PLR0913 - one option each
    *,
    source: Annotated[
        Source | None,
        typer.Option(metavar="SOURCE", help="STRATEGY, LLM, DCA, GRID, COPY, TERMINAL or SYSTEM."),
    ] = None,
    trader: Annotated[
        str | None, typer.Option(metavar="TRADER", help="Only those of one trader.")
    ] = None,
    symbol: Annotated[
        str | None, typer.Option(metavar="SYMBOL", help="Only those in one symbol.")
    ] = None,
    status: Annotated[
        ExecutionStatus | None,
        typer.Option(metavar="STATUS", help="PENDING, PLACED, SKIPPED, FAILED or UNKNOWN."),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only those that came to nothing.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="ROWS", help="At most so many.")] = 100,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """List attempts to place orders, newest first, also those refused before there was an order.

    \b
    holdfast executions --failed
    holdfast executions --source STRATEGY --symbol BTC/USDT --limit 20
    """  # noqa: D301
    request = ListExecutions(
        source=source,
        trader=trader,
        symbol=None if symbol is None else symbol.upper(),
        status=status,
        failed=failed,
        limit=limit,
    )
    answer = ask(request, config, socket)
    if as_json:
        print_json(answer)
        return
    print_executions(rows_of(answer, "executions"))


def print_executions(rows: list[dict[str, object]]) -> None:
    """Print attempts as a table."""
    columns = [
        Column("TIME", moment("at"), keep=8),
        Column("SOURCE", text("source"), keep=6),
        Column("TRADER", text("trader"), keep=5),
        Column("SYMBOL", text("symbol")),
        Column("SIDE", text("side")),
        Column("TYPE", text("type"), keep=4),
        Column("SIZE", _size, right=True),
        Column("STATUS", _status, style=word_style("status", STATUS_STYLES)),
        Column("MS", _response_ms, right=True, keep=3),
        Column("WHY", _why),
        Column("ID", text("execution_id"), keep=7),
        Column("VENUE", text("venue"), keep=2),
        Column("AVAILABLE", price("available"), right=True, keep=1),
        Column("NEEDED", price("required"), right=True, keep=1),
    ]
    print_table(columns, rows, empty="no attempts")


def _size(row: Row) -> str:
    """Return base units, or what was asked for where it never came to them."""
    if row.get("quantity") is not None:
        return short_number(row["quantity"])
    by = str(row.get("size_by") or "")
    return f"{short_number(row.get('size'))} {_SIZES.get(by, by)}".rstrip()


def _status(row: Row) -> str:
    times, doubts = row.get("times"), row.get("doubts")
    said = clean(row.get("status"))
    if isinstance(times, int) and times > 1:
        return f"{said} {times}x"
    return f"{said} (was unknown)" if doubts and said in {"PLACED", "FAILED"} else said


def _response_ms(row: Row) -> str:
    seconds = row.get("response_s")
    return f"{seconds * _MS:.1f}" if isinstance(seconds, int | float) else "-"


def _why(row: Row) -> str:
    if row.get("code") is None:
        return "-"
    return f"{clean(row['code'])}: {clean(row.get('message'))}"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("executions")(executions)
