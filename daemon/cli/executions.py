"""Commands about attempts to place orders."""

from typing import Annotated

import typer

from daemon.admin_requests import Latency, ListExecutions, Retry, Status, TestOrder
from daemon.cli import numbers
from daemon.cli.cells import moment, outcome, price, said, text, word_style
from daemon.cli.console import (
    Column,
    Exit,
    Row,
    clean,
    fail,
    is_asked,
    print_heading,
    print_json,
    print_table,
    say,
)
from daemon.cli.link import ConfigOption, JsonOption, SocketOption, ask, do, rows_of
from daemon.words import short_number
from domain.commands import Source
from domain.errors import Refusal
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
    """List all attempts to place orders, newest first.

    Also those refused before there was an order.

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
        Column("ID", text("execution_id"), keep=7),
        Column("VENUE", text("venue"), keep=2),
        Column("AVAILABLE", price("available"), right=True, keep=1),
        Column("NEEDED", price("required"), right=True, keep=1),
        Column("WHY", _why, folds=True),
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
    status = clean(row.get("status"))
    if isinstance(times, int) and times > 1:
        return f"{status} {times}x"
    return f"{status} (was unknown)" if doubts and status in {"PLACED", "FAILED"} else status


def _response_ms(row: Row) -> str:
    seconds = row.get("response_s")
    return f"{seconds * _MS:.1f}" if isinstance(seconds, int | float) else "-"


def _why(row: Row) -> str:
    if row.get("code") is None:
        return "-"
    return f"{clean(row['code'])}: {clean(row.get('message'))}"


def retry(
    execution: Annotated[
        str | None, typer.Argument(metavar="ID", help="As `holdfast executions` names it.")
    ] = None,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="Also what was retried, or opened, already.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide an entry that failed anew, once.

    Without an ID the last one; the same checks, fresh ids.

    \b
    holdfast retry
    holdfast retry manual.12 --yes
    """  # noqa: D301
    if execution is None and not yes and is_asked():
        last = ask(Status(), config, socket).get("latest_execution_error")
        if isinstance(last, dict):
            execution = str(last.get("execution_id"))
            say(f"{execution}: {clean(last.get('code'))}: {clean(last.get('message'))}")
    if not yes and is_asked() and not typer.confirm("Try it again?"):
        fail(Refusal("NOT_CONFIRMED", "Nothing was tried.", "Answer y, or give --yes."))
    do(Retry(execution=execution, again=again), config, socket, as_json=as_json)


def order_test(
    venue: Annotated[str, typer.Argument(metavar="VENUE", help="Where orders go: paper, …")],
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Such as BTC/USDT.")],
    *,
    quote: Annotated[
        str | None,
        typer.Option(metavar="QUOTE", help="For so much; else as little as the venue takes."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Buy a little at market and close it again.

    It goes through all that any order goes through, and asks first where real money would move.
    Exit code 1 if a step is missing.

    \b
    holdfast test-order paper BTC/USDT
    holdfast test-order okx-demo ETH/USDT --quote 20
    """  # noqa: D301
    request = TestOrder(
        venue=venue, symbol=symbol.upper(), notional=numbers.optional("notional", quote)
    )
    if not yes and _is_live(ask(Status(), config, socket)):
        if not is_asked():
            fail(Refusal("NOT_CONFIRMED", "Real money would move.", "Give --yes if it may."))
        if not typer.confirm(f"Buy {symbol} with real money at {venue}, and sell it again?"):
            fail(Refusal("NOT_CONFIRMED", "Nothing was bought.", "Answer y, or give --yes."))
    answer = ask(request, config, socket, afterwards="Look: holdfast positions, executions.")
    if as_json:
        print_json(answer)
    else:
        _print_test(answer)
    if not answer.get("passed"):
        raise typer.Exit(Exit.REFUSED)


def _is_live(status: Row) -> bool:
    return status.get("environment", status.get("venue")) not in {"paper", "demo"}


def _print_test(answer: Row) -> None:
    for step in rows_of(dict(answer), "steps"):
        say(f"{clean(step.get('step')):<10}{clean(step.get('after_ms')):>10} ms")
    refused = answer.get("close_refused")
    if isinstance(refused, dict):
        say(f"close refused: {clean(refused.get('rule'))}: {clean(refused.get('message'))}")
    print_heading("Attempts")
    print_executions(rows_of(dict(answer), "executions"))
    say("")
    say(outcome(answer) if answer.get("passed") else f"NOT DONE: {outcome(answer)}")


def latency(
    *, config: ConfigOption = None, socket: SocketOption = None, as_json: JsonOption = False
) -> None:
    """Show how long orders take on their way.

    By venue, type and step, since the start.

    \b
    holdfast latency
    """  # noqa: D301
    answer = ask(Latency(), config, socket)
    if as_json:
        print_json(answer)
        return
    columns = [
        Column("VENUE", text("venue"), keep=2),
        Column("TYPE", text("type")),
        Column("STEP", said("step")),
        Column("ORDERS", text("count"), right=True, keep=3),
        Column("P50 MS", text("p50_ms"), right=True),
        Column("P95 MS", text("p95_ms"), right=True, keep=4),
        Column("P99 MS", text("p99_ms"), right=True),
        Column("MAX MS", text("max_ms"), right=True, keep=5),
    ]
    print_table(columns, rows_of(answer, "latency"), empty="no orders yet")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("executions")(executions)
    app.command("retry")(retry)
    app.command("test-order")(order_test)
    app.command("latency")(latency)
