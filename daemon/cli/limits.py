"""Who trades and with which account, and the limits that a person sets while the daemon runs.

`holdfast traders` and `holdfast portfolio` show; each has `set-limits` below it.
"""

from typing import Annotated

import typer

from daemon.admin_requests import ListTraders, SetAccountLimits, SetTraderLimits, ShowPortfolio
from daemon.cli import limit_words, numbers
from daemon.cli.cells import gain_style, listed_words, price, signed, text, trader_state
from daemon.cli.console import Column, Row, clean, print_json, print_table, say
from daemon.cli.link import ConfigOption, JsonOption, SocketOption, ask, rows_of
from daemon.cli.portfolio_page import print_portfolio

_STATUS = "Look before you ask again: holdfast traders, holdfast portfolio."
_NUMBERS = {"ignore_unknown_options": True}  # "-5" is a number that is refused, not an option
ResetOption = Annotated[
    bool, typer.Option("--reset", help="Go back to the configuration; what is given is set anew.")
]
CountOption = Annotated[
    str | None, typer.Option("--max-positions", metavar="COUNT", help="Open at a time.")
]

traders = typer.Typer(invoke_without_command=True)
portfolio = typer.Typer(invoke_without_command=True)


@traders.callback()
def list_traders(
    context: typer.Context,
    *,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """List traders and what they earned; set their limits.

    \b
    holdfast traders
    holdfast traders set-limits trend --max-positions 1
    """  # noqa: D301
    if context.invoked_subcommand is not None:
        return
    answer = ask(ListTraders(), config, socket)
    if as_json:
        print_json(answer)
        return
    columns = [
        Column("TRADER", text("name")),
        Column("STRATEGY", text("strategy"), keep=7),
        Column("SYMBOLS", listed_words("symbols"), keep=5),
        Column("BARS", text("timeframe"), keep=4),
        Column("STATE", trader_state, style=_state_style),
        Column("OPEN", text("open_positions"), right=True),
        Column("MOST", _most, right=True, keep=9),
        Column("CLOSED", text("closed_positions"), right=True, keep=6),
        Column("WON %", price("win_rate_pct"), right=True, keep=3),
        Column(
            "UNREALIZED",
            signed("unrealized_pnl"),
            right=True,
            keep=8,
            style=gain_style("unrealized_pnl"),
        ),
        Column("REALIZED", signed("realized_pnl"), right=True, style=gain_style("realized_pnl")),
        Column("DECISIONS", text("decisions"), right=True, keep=2),
    ]
    rows = rows_of(answer, "traders")
    print_table(columns, rows, empty="no traders are configured")
    for row in rows:
        changed = limit_words.limits_set(row)
        if changed:
            say(f"{clean(row.get('name'))}: {changed}")
        if row.get("hung"):
            name = clean(row.get("name"))
            say(f"{name}: its strategy hung and is not asked any more; holdfast resume {name}")


@traders.command("set-limits", context_settings=_NUMBERS)
def set_trader_limits(  # noqa: PLR0913 - one option each
    trader: Annotated[str, typer.Argument(metavar="TRADER", help="See holdfast traders.")],
    *,
    max_positions: CountOption = None,
    max_risk: Annotated[
        str | None, typer.Option(metavar="PART", help="Of equity, lost at a stop: 2%, from 0 to 1.")
    ] = None,
    min_confidence: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Of a decision, from 0 to 1: 0.7.")
    ] = None,
    max_position: Annotated[
        str | None, typer.Option(metavar="PART", help="One position's notional of equity: 20%.")
    ] = None,
    reset: ResetOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Override a trader's configured limits; survives a restart.

    Nothing that is open is closed by it.

    \b
    holdfast traders set-limits trend --max-positions 1 --max-risk 0.5%
    holdfast traders set-limits trend --reset
    """  # noqa: D301
    request = SetTraderLimits(
        trader=trader,
        max_positions=numbers.count("max_positions", max_positions),
        max_risk_ratio=numbers.limit("max_risk_ratio", max_risk),
        min_confidence=numbers.limit("min_confidence", min_confidence),
        max_position_ratio=numbers.limit("max_position_ratio", max_position),
        reset=reset,
    )
    _set(request, config, socket, as_json=as_json)


@portfolio.callback()
def show_portfolio(
    context: typer.Context,
    *,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the account and its limits; set them.

    \b
    holdfast portfolio
    holdfast portfolio set-limits --max-positions 5
    """  # noqa: D301
    if context.invoked_subcommand is not None:
        return
    answer = ask(ShowPortfolio(), config, socket)
    if as_json:
        print_json(answer)
        return
    print_portfolio(answer)


@portfolio.command("set-limits", context_settings=_NUMBERS)
def set_account_limits(  # noqa: PLR0913 - one option each
    *,
    max_positions: CountOption = None,
    max_leverage: Annotated[
        str | None, typer.Option(metavar="TIMES", help="Of an entry, and exposure by equity: 3.")
    ] = None,
    daily_loss_cap: Annotated[
        str | None, typer.Option(metavar="QUOTE", help="Loss of a day that stops entries: 500.")
    ] = None,
    daily_drawdown: Annotated[
        str | None, typer.Option(metavar="PART", help="Of a day's start, stops entries: 5%.")
    ] = None,
    total_drawdown: Annotated[
        str | None, typer.Option(metavar="PART", help="Of the peak, closes everything: 20%.")
    ] = None,
    balance_buffer: Annotated[
        str | None, typer.Option(metavar="PART", help="Of the balance, never reserved: 10%.")
    ] = None,
    reset: ResetOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Override the account's configured limits; survives a restart.

    Nothing that is open is closed by it.

    \b
    holdfast portfolio set-limits --max-positions 5 --daily-drawdown 3%
    holdfast portfolio set-limits --reset
    """  # noqa: D301
    request = SetAccountLimits(
        max_positions=numbers.count("max_positions", max_positions),
        max_leverage=numbers.plain_limit("max_leverage", max_leverage),
        daily_loss_cap=numbers.plain_limit("daily_loss_cap", daily_loss_cap),
        daily_drawdown_ratio=numbers.limit("daily_drawdown_ratio", daily_drawdown),
        total_drawdown_ratio=numbers.limit("total_drawdown_ratio", total_drawdown),
        balance_buffer_ratio=numbers.limit("balance_buffer_ratio", balance_buffer),
        reset=reset,
    )
    _set(request, config, socket, as_json=as_json)


def _set(
    request: SetTraderLimits | SetAccountLimits,
    config: ConfigOption,
    socket: SocketOption,
    *,
    as_json: bool,
) -> None:
    answer = ask(request, config, socket, afterwards=_STATUS)
    if as_json:
        print_json(answer)
        return
    whose = answer.get("trader") or answer.get("account")
    say(f"{clean(whose)}: {limit_words.limits_in_force(answer)}")
    if answer.get("note"):
        say(clean(answer["note"]))


def _state_style(row: Row) -> str:
    return "red" if row.get("hung") else "yellow" if row.get("paused") else "green"


def _most(row: Row) -> str:
    """Return how many a trader may hold; a person's own trader has no such limit."""
    limits, overridden = row.get("limits"), row.get("configured_limits")
    is_set = isinstance(overridden, dict) and "max_positions" in overridden
    if row.get("strategy") is None and not is_set:
        return "-"
    return clean(limits.get("max_positions")) if isinstance(limits, dict) else ""


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(portfolio, name="portfolio")
    app.add_typer(traders, name="traders")
