"""How the whole is shown: the status page, the mode, the health, the account."""

from collections.abc import Callable, Mapping, Sequence

from daemon.cli.cells import mapping, money, rows, short_age, short_span, short_time, text
from daemon.cli.console import Column, Row, clean, print_heading, print_pairs, print_table
from daemon.cli.limit_words import limits_set
from daemon.words import alike, plural, signed_number
from daemon.words import downtime as said_downtime

_SHOWN_STALE = 5
_QUOTES = ("last", "bid", "ask", "mark")


def print_status(status: Row) -> None:
    """Show the whole on one page."""
    connected = "connected" if status.get("feed_connected") else "NOT CONNECTED"
    unguarded = status.get("positions_unprotected")
    unknown = status.get("orders_unknown")
    print_pairs(
        [
            ("mode", clean(status.get("mode"))),
            *_causes(status),
            ("market", f"{clean(status.get('market_source'))}, {connected}"),
            ("venue", clean(status.get("venue"))),
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
        ]
    )
    print_heading("Prices")
    columns = [
        Column("SYMBOL", text("symbol")),
        *(Column(name.upper(), _quote(name), right=True) for name in _QUOTES),
        Column("AGE", _age, right=True),
        Column("", _reliance, style=lambda row: "" if row.get("is_fresh") else "red"),
    ]
    print_table(columns, rows(status.get("prices")), empty="none yet")
    print_heading("Traders")
    columns = [
        Column("TRADER", text("name")),
        Column("STATE", lambda row: "paused" if row.get("paused") else "active"),
        Column("OPEN", text("open_positions"), right=True),
    ]
    print_table(columns, rows(status.get("traders")), empty="none")


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
    print_pairs([("mode", clean(mode.get("mode"))), *_causes(mode)])


def print_health(health: Row) -> None:
    """Show how every part is."""
    feed, journal = mapping(health.get("feed")), mapping(health.get("journal"))
    waiting = {name: depth for name, depth in mapping(health.get("mailboxes")).items() if depth}
    trouble = journal.get("trouble")
    print_pairs(
        [
            ("mode", clean(health.get("mode"))),
            *_causes(health),
            ("live", _verdict(health, "live")),
            ("ready", _verdict(health, "ready")),
            *_checks(health),
            (
                "feed",
                ("connected" if feed.get("connected") else "NOT CONNECTED")
                + f", {clean(feed.get('frames'))} frames, {clean(feed.get('bad_frames'))} bad, "
                f"{plural(feed.get('armed_positions'), 'position')} armed",
            ),
            *_stale_prices(rows(feed.get("stale"))),
            (
                "journal",
                (f"TROUBLE: {clean(trouble)}" if trouble else "well")
                + f", at {clean(journal.get('last_seq'))}, "
                f"{clean(journal.get('waiting'))} waiting",
            ),
            ("actors", f"{clean(health.get('actors'))} running"),
            ("restarts", _counts(health.get("restarts"))),
            ("dead letters", clean(health.get("dead_letters"))),
            ("mailboxes", _counts(waiting)),
        ]
    )
    print_heading("Parts")
    columns = [
        Column("PART", text("name")),
        Column("STATE", lambda row: "well" if row.get("ok") else "NOT WELL", style=_part_style),
        Column("WHY", text("why")),
    ]
    print_table(columns, rows(health.get("parts")), empty="none")


def _stale_prices(stale: Sequence[Row]) -> list[tuple[str, str]]:
    shown = [
        ("stale", f"{clean(one.get('symbol'))}: {clean(one.get('why'))}")
        for one in stale[:_SHOWN_STALE]
    ]
    left = len(stale) - len(shown)
    return [*shown, ("", f"and {left} more")] if left else shown


def is_well(health: Row) -> bool:
    """Whether it is alive, all of the market heard, the journal written, every part well."""
    feed, journal = mapping(health.get("feed")), mapping(health.get("journal"))
    heard = bool(feed.get("connected")) and not feed.get("stale") and not journal.get("trouble")
    parts = all(part.get("ok") for part in rows(health.get("parts")))
    return heard and parts and health.get("live") is not False


def _part_style(part: Row) -> str:
    return "green" if part.get("ok") else "bold red"


def _verdict(health: Row, name: str) -> str:
    return "yes" if health.get(name) else "NO"


def _checks(health: Row) -> list[tuple[str, str]]:
    """Return what was looked at and is not told elsewhere: causes are."""
    causes = {cause.get("code") for cause in rows(health.get("causes"))}
    return [
        (
            f"  {clean(check.get('what'))}",
            ("" if check.get("ok") else "NOT WELL: ") + clean(check.get("why")),
        )
        for check in rows(health.get("checks"))
        if check.get("what") not in causes
    ]


def _counts(value: object) -> str:
    counts = mapping(value)
    return ", ".join(f"{clean(name)} {clean(count)}" for name, count in counts.items()) or "none"


def print_portfolio(account: Row) -> None:
    """Show an account."""
    quote = clean(account.get("quote"))
    limits = mapping(account.get("limits"))
    cap = limits.get("daily_loss_cap")
    print_pairs(
        [
            ("account", clean(account.get("account"))),
            ("mode", clean(account.get("mode"))),
            *_causes(account),
            ("balance", f"{money(account.get('balance'))} {quote}"),
            ("unrealized", f"{signed_number(account.get('unrealized_pnl'))} {quote}"),
            ("equity", f"{money(account.get('equity'))} {quote}"),
            ("available", f"{money(account.get('available'))} {quote}"),
            ("margin", f"{money(account.get('margin'))} {quote}"),
            ("reserved", f"{money(account.get('reserved'))} {quote}"),
            (
                "exposure",
                (
                    f"{money(account.get('exposure'))} {quote}, "
                    f"{money(account.get('leverage'))} times equity "
                    f"(limit {clean(limits.get('max_leverage'))})"
                ),
            ),
            (
                "drawdown",
                (
                    f"{money(account.get('drawdown_pct'))} % below "
                    f"{money(account.get('high_water_mark'))} "
                    f"(kill switch at {clean(limits.get('total_drawdown_pct'))} %)"
                ),
            ),
            (
                "today",
                f"{money(account.get('daily_drawdown_pct'))} % below "
                f"{money(account.get('day_start_equity'))} "
                f"(entries stop at {clean(limits.get('daily_drawdown_pct'))} %"
                + (f" or a loss of {money(cap)} {quote})" if cap else ")"),
            ),
            (
                "positions",
                f"{clean(account.get('positions'))} of {clean(limits.get('max_positions'))}",
            ),
            ("limits set", limits_set(account)),
        ]
    )


def _causes(account: Row) -> list[tuple[str, str]]:
    return [
        ("because", f"{clean(cause.get('message'))} {clean(cause.get('way_out'))}")
        for cause in rows(account.get("causes"))
    ]


def _age(row: Row) -> str:
    return "never" if row.get("age_s") is None else short_age(row["age_s"])
