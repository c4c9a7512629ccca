"""The status page: the whole on one page."""

from collections.abc import Callable, Mapping, Sequence

from daemon.cli.answers import causes_of, list_of
from daemon.cli.cells import (
    failure_said,
    money,
    short_age,
    short_span,
    short_time,
    text,
    trader_state,
)
from daemon.cli.console import (
    ALWAYS,
    Column,
    Row,
    clean,
    print_heading,
    print_pairs,
    print_table,
)
from daemon.words import alike, signed_number
from daemon.words import downtime as said_downtime

_QUOTES = ("last", "bid", "ask", "mark")
_KEEP = {"bid": 3, "ask": 3, "mark": 2}  # a price that is cut short would be another


def print_status(status: Row) -> None:
    """Show the whole on one page."""
    connected = "connected" if status.get("feed_connected") else "NOT CONNECTED"
    unguarded = status.get("positions_unprotected")
    unknown = status.get("orders_unknown")
    print_pairs(
        [
            ("mode", clean(status.get("mode"))),
            *causes_of(status),
            ("market", f"{clean(status.get('market_source'))}, {connected}"),
            ("venue", _venue(status)),
            *_link(status.get("link")),
            *_quarantined(status.get("quarantined")),
            (
                "equity",
                (
                    f"{money(status.get('equity'))} {clean(status.get('quote'))}"
                    f"  ({signed_number(status.get('unrealized_pnl'))} unrealized, "
                    f"{money(status.get('drawdown_pct'))} % below its peak)"
                ),
            ),
            (
                "positions",
                f"{clean(status.get('positions_open'))} open"
                + (f", {unguarded} WITHOUT PROTECTION" if unguarded else ""),
            ),
            (
                "orders",
                f"{clean(status.get('orders_working'))} under way"
                + (f", {unknown} UNKNOWN" if unknown else ""),
            ),
            (
                "daemon",
                (
                    f"holdfast {clean(status.get('version'))}, process {clean(status.get('pid'))}, "
                    f"up {short_span(status.get('uptime_s'))}"
                ),
            ),
            *_last_downtime(status),
            ("last failure", failure_said(status.get("latest_execution_error"))),
        ]
    )
    _print_prices(list_of(status.get("prices")))
    _print_traders(list_of(status.get("traders")))


def _venue(status: Row) -> str:
    """Say where orders go and whose money moves; live money cannot be overlooked."""
    name, environment = clean(status.get("venue")), clean(status.get("environment"))
    if environment == "paper":
        return f"{name}: orders are filled here, with no real money"
    money_of = "REAL MONEY" if environment == "live" else "practice money"
    return f"{name}, {environment.upper()}: {money_of}, account {clean(status.get('account'))}"


def _link(link: object) -> list[tuple[str, str]]:
    if not isinstance(link, Mapping):
        return []
    since = link.get("stream_s")
    age = "" if since is None else f" {short_span(since)}"
    if link.get("stream_up"):
        stream = f"stream up{age}"
    elif link.get("stream_up") is None:
        stream = "stream not up yet"
    else:
        stream = f"stream DOWN{age}: {clean(link.get('stream_why'))}"
    compared = link.get("reconciled_s")
    told = "never" if compared is None else f"{short_span(compared)} ago"
    return [("account", f"{stream}; compared with the venue {told}")]


def _quarantined(found: object) -> list[tuple[str, str]]:
    if not isinstance(found, Mapping):
        return []
    return [("quarantine", f"{clean(why)} See holdfast reconcile.") for why in found.values()]


def _print_prices(prices: Sequence[Row]) -> None:
    print_heading("Prices")
    columns = [
        Column("SYMBOL", text("symbol")),
        *(
            Column(name.upper(), _quote(name), right=True, keep=_KEEP.get(name, ALWAYS))
            for name in _QUOTES
        ),
        Column("AGE", _age, right=True),
        Column("", _reliance, style=lambda row: "" if row.get("is_fresh") else "red"),
    ]
    print_table(columns, prices, empty="none yet")


def _print_traders(traders: Sequence[Row]) -> None:
    print_heading("Traders")
    columns = [
        Column("TRADER", text("name")),
        Column("STATE", trader_state),
        Column("OPEN", text("open_positions"), right=True),
    ]
    print_table(columns, traders, empty="none")


def _last_downtime(status: Row) -> list[tuple[str, str]]:
    downtime = status.get("downtime")
    if not isinstance(downtime, Mapping):
        return []
    return [("downtime", f"until {short_time(downtime.get('until'))}: {said_downtime(downtime)}")]


def _quote(name: str) -> Callable[[Row], str]:
    """Return a cell with a price, with as many decimals as the others of its symbol."""
    return lambda row: alike(*(row.get(each) for each in _QUOTES))(row.get(name))


def _reliance(price: Row) -> str:
    """Say how far a price can be relied on; nothing when it is as it should be."""
    source = clean(price.get("source"))
    if source == "fallback":
        return "FALLBACK: stream stale, asked for"
    if not price.get("is_fresh"):
        return "STALE"
    return "quiet" if source == "quiet" else ""


def print_mode(mode: Row) -> None:
    """Show a mode and its causes."""
    print_pairs([("mode", clean(mode.get("mode"))), *causes_of(mode)])


def _age(row: Row) -> str:
    return "never" if row.get("age_s") is None else short_age(row["age_s"])
