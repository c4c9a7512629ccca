"""Commands that look and change nothing."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated

import typer

from daemon.admin_requests import (
    AnyAdminRequest,
    Health,
    ListOrders,
    ListPositions,
    Mode,
    ShowPosition,
    Status,
    Why,
)
from daemon.cli.cells import (
    gain_style,
    held_quantity,
    is_waiting,
    listed,
    moment,
    price,
    said,
    signed,
    span,
    stop_price,
    text,
    word_style,
)
from daemon.cli.console import Column, Exit, Row, clean, print_json, print_table
from daemon.cli.health_page import is_well, print_health
from daemon.cli.link import ConfigOption, IdArgument, JsonOption, SocketOption, ask, rows_of
from daemon.cli.position_page import print_position
from daemon.cli.status_page import print_mode, print_status
from daemon.cli.story import print_story
from daemon.words import spoken

_SHORTEST_ID = 8
SIDE_STYLES = {"LONG": "green", "SHORT": "magenta"}
STATUS_STYLES = {
    "open_unprotected": "bold red",
    "quarantined": "bold red",
    "unknown": "bold yellow",
    "closing": "yellow",
    "modifying": "yellow",
}
LimitOption = Annotated[int, typer.Option("--limit", metavar="ROWS", help="At most so many.")]


def status(
    *, config: ConfigOption = None, socket: SocketOption = None, as_json: JsonOption = False
) -> None:
    """Show the whole on one page."""
    _one(Status(), print_status, config, socket, as_json=as_json)


def health(
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Exit 1 only if a restart would help.")
    ] = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how every part is; exit 1 if one is not well.

    \b
    holdfast health
    holdfast health --live || echo restart it
    """  # noqa: D301
    answer = ask(Health(), config, socket)
    if as_json:
        print_json(answer)
    else:
        print_health(answer)
    if not (answer.get("live") if live else is_well(answer)):
        raise typer.Exit(Exit.REFUSED)


def mode(
    *, config: ConfigOption = None, socket: SocketOption = None, as_json: JsonOption = False
) -> None:
    """Show how much the daemon may do now, and why."""
    _one(Mode(), print_mode, config, socket, as_json=as_json)


def positions(
    *,
    closed: Annotated[bool, typer.Option("--closed", help="Those that are over.")] = False,
    trader: Annotated[
        str | None, typer.Option(metavar="TRADER", help="Only those of one trader.")
    ] = None,
    limit: LimitOption = 500,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """List positions, newest first.

    \b
    holdfast positions --trader manual
    holdfast positions --closed --json
    """  # noqa: D301 - \b keeps the lines of the examples
    answer = ask(ListPositions(closed=closed, trader=trader, limit=limit), config, socket)
    if as_json:
        print_json(answer)
        return
    rows = rows_of(answer, "positions")
    columns = _closed_columns(rows) if closed else _open_columns(rows)
    print_table(columns, rows, empty="no closed positions" if closed else "no open positions")


def position(
    position: IdArgument,
    *,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all of one position.

    \b
    holdfast position 3f2a
    """  # noqa: D301
    answer = ask(ShowPosition(position=position), config, socket)
    if as_json:
        print_json(answer)
        return
    found = answer.get("position")
    print_position(found if isinstance(found, dict) else {})


def orders(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are at their end.")
    ] = False,
    limit: LimitOption = 500,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """List orders under way, newest first.

    \b
    holdfast orders
    holdfast orders --all --limit 20 --json
    """  # noqa: D301
    answer = ask(ListOrders(all=everything, limit=limit), config, socket)
    if as_json:
        print_json(answer)
        return
    columns = [
        Column("ORDER", text("client_order_id")),
        Column("SYMBOL", text("symbol")),
        Column("SIDE", text("side"), keep=8),
        Column("TYPE", text("type"), keep=7),
        Column("STATUS", text("status"), style=word_style("status", STATUS_STYLES)),
        Column("QTY", price("quantity"), right=True, keep=6),
        Column("FILLED", price("filled"), right=True, keep=5),
        Column("AVERAGE", price("average_price"), right=True, keep=4),
        Column("UPDATED", moment("updated_at"), keep=3),
        Column("REASON", text("reason"), keep=2),
    ]
    empty = "no orders" if everything else "no orders under way"
    print_table(columns, rows_of(answer, "orders"), empty=empty)


def why(
    subject: Annotated[str, typer.Argument(metavar="ID", help="A position, order or trader.")],
    *,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the journal's story of a position or order.

    Of a trader or the account, by its name, it tells what people and limits did to it.

    \b
    holdfast why 3f2a
    holdfast why trend
    """  # noqa: D301
    answer = ask(Why(subject=subject), config, socket)
    if as_json:
        print_json(answer)
    else:
        print_story(rows_of(answer, "events"))


def _one(
    request: AnyAdminRequest,
    show: Callable[[Mapping[str, object]], None],
    config: ConfigOption,
    socket: SocketOption,
    *,
    as_json: bool,
) -> None:
    answer = ask(request, config, socket)
    if as_json:
        print_json(answer)
        return
    show(answer)


def _open_columns(rows: list[dict[str, object]]) -> list[Column]:
    return [
        Column("ID", short_ids(rows)),
        Column("TRADER", text("trader"), keep=6),
        Column("SYMBOL", text("symbol")),
        Column("SIDE", text("side"), style=word_style("side", SIDE_STYLES)),
        Column("STATUS", short_status, keep=7, style=word_style("status", STATUS_STYLES)),
        Column("QTY", held_quantity, right=True, keep=3),
        Column("ENTRY", price("entry_price"), right=True, keep=8),
        Column("PRICE", price("current_price"), right=True),
        Column("P&L", signed("unrealized_pnl"), right=True, style=gain_style("unrealized_pnl")),
        Column("P&L %", signed("unrealized_pnl_pct"), right=True, keep=5),
        Column("STOP", lambda row: stop_price(row, "none"), right=True, style=_stop_style),
        Column("TRAIL", price("trail_level"), right=True, keep=4),
        Column("TARGETS", lambda row: listed(row.get("targets")), keep=2),
        Column("GUARD", _guard, keep=1),
        Column("AGE", span("holding_s"), right=True, keep=1),
    ]


def _closed_columns(rows: list[dict[str, object]]) -> list[Column]:
    return [
        Column("ID", short_ids(rows)),
        Column("TRADER", text("trader"), keep=6),
        Column("SYMBOL", text("symbol")),
        Column("SIDE", text("side"), style=word_style("side", SIDE_STYLES)),
        Column("QTY", price("entry_quantity"), right=True, keep=4),
        Column("ENTRY", price("entry_price"), right=True, keep=5),
        Column("REALIZED", signed("realized_pnl"), right=True, style=gain_style("realized_pnl")),
        Column("REASON", said("exit_reason")),
        Column("HELD", span("holding_s"), right=True, keep=3),
        Column("CLOSED", moment("closed_at"), keep=7),
    ]


def short_ids(rows: list[dict[str, object]]) -> Callable[[Row], str]:
    """Return a cell with the shortest beginning of an id that is unique in this list."""
    ids = sorted({str(row.get("id", "")) for row in rows})
    length = _SHORTEST_ID
    for one, other in pairwise(ids):
        same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
        length = max(length, same + 1)
    return lambda row: clean(row.get("id"))[:length]


def short_status(row: Row) -> str:
    """Return a position's status without what is clear from the list it stands in."""
    return spoken(row.get("status")).removeprefix("open ")


def _guard(row: Row) -> str:
    """Say who watches the stop: an order at the venue as well, the daemon alone, nobody."""
    return {"venue": "venue", "client guard": "daemon"}.get(str(row.get("stop_lives")), "none")


def _stop_style(row: Row) -> str:
    return "bold red" if row.get("stop_lives") == "nowhere" and not is_waiting(row) else ""


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("status")(status)
    app.command("health")(health)
    app.command("mode")(mode)
    app.command("positions")(positions)
    app.command("position")(position)
    app.command("orders")(orders)
    app.command("why")(why)
