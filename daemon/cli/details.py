"""How one thing is shown in full: the status page, an account, a position, a story."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from daemon.cli.cells import (
    listed,
    moment,
    money,
    percent,
    price,
    said,
    short_span,
    short_time,
    text,
)
from daemon.cli.console import Column, Row, clean, print_heading, print_pairs, print_table
from daemon.cli.limit_words import limits_set
from daemon.words import downtime as said_downtime
from daemon.words import plural, short_number, signed_number, spoken, times_100, who

_SHOWN_STALE = 5
_CHANGES = {
    "MOVE_SL": "move stop",
    "TRAIL_SL": "trail stop",
    "ADD_TP": "add target",
    "MODIFY_TP": "modify target",
    "CANCEL_TP": "cancel target",
}


def print_status(status: Row) -> None:
    """Show the whole on one page."""
    connected = "connected" if status.get("feed_connected") else "NOT CONNECTED"
    unguarded = status.get("positions_unprotected")
    unknown = status.get("orders_unknown")
    print_pairs(
        [
            ("mode", clean(status.get("mode"))),
            *_causes(status),
            ("market", f"{clean(status.get('venue'))}, {connected}"),
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
        Column("LAST", price("last"), right=True),
        Column("BID", price("bid"), right=True),
        Column("ASK", price("ask"), right=True),
        Column("MARK", price("mark"), right=True),
        Column("AGE", _age, right=True),
        Column("", _reliance, style=lambda row: "" if row.get("is_fresh") else "red"),
    ]
    print_table(columns, _rows(status.get("prices")), empty="none yet")
    print_heading("Traders")
    columns = [
        Column("TRADER", text("name")),
        Column("STATE", lambda row: "paused" if row.get("paused") else "active"),
        Column("OPEN", text("open_positions"), right=True),
    ]
    print_table(columns, _rows(status.get("traders")), empty="none")


def _last_downtime(status: Row) -> list[tuple[str, str]]:
    downtime = status.get("downtime")
    if not isinstance(downtime, Mapping):
        return []
    return [("downtime", f"until {short_time(downtime.get('until'))}: {said_downtime(downtime)}")]


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


def _last_bad_frame(feed: Row) -> list[tuple[str, str]]:
    why = feed.get("last_bad_frame")
    return [("last bad frame", clean(why))] if why else []


def print_health(health: Row) -> None:
    """Show how every part is."""
    feed, journal = _mapping(health.get("feed")), _mapping(health.get("journal"))
    waiting = {name: depth for name, depth in _mapping(health.get("mailboxes")).items() if depth}
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
            *_last_bad_frame(feed),
            *_stale_prices(_rows(feed.get("stale"))),
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
        Column("", lambda row: "well" if row.get("ok") else "NOT WELL", style=_part_style),
        Column("", text("why")),
    ]
    print_table(columns, _rows(health.get("parts")), empty="none")


def _stale_prices(stale: Sequence[Row]) -> list[tuple[str, str]]:
    shown = [
        ("stale", f"{clean(one.get('symbol'))}: {clean(one.get('why'))}")
        for one in stale[:_SHOWN_STALE]
    ]
    left = len(stale) - len(shown)
    return [*shown, ("", f"and {left} more")] if left else shown


def is_well(health: Row) -> bool:
    """Whether it is alive, all of the market heard, the journal written, every part well."""
    feed, journal = _mapping(health.get("feed")), _mapping(health.get("journal"))
    heard = bool(feed.get("connected")) and not feed.get("stale") and not journal.get("trouble")
    parts = all(part.get("ok") for part in _rows(health.get("parts")))
    return heard and parts and health.get("live") is not False


def _part_style(part: Row) -> str:
    return "green" if part.get("ok") else "bold red"


def _verdict(health: Row, name: str) -> str:
    return "yes" if health.get(name) else "NO"


def _checks(health: Row) -> list[tuple[str, str]]:
    """Return what was looked at and is not told elsewhere: causes are."""
    causes = {cause.get("code") for cause in _rows(health.get("causes"))}
    return [
        (
            f"  {clean(check.get('what'))}",
            ("" if check.get("ok") else "NOT WELL: ") + clean(check.get("why")),
        )
        for check in _rows(health.get("checks"))
        if check.get("what") not in causes
    ]


def _counts(value: object) -> str:
    counts = _mapping(value)
    return ", ".join(f"{clean(name)} {clean(count)}" for name, count in counts.items()) or "none"


def print_portfolio(account: Row) -> None:
    """Show an account."""
    quote = clean(account.get("quote"))
    limits = _mapping(account.get("limits"))
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


def print_position(position: Row) -> None:
    """Show everything about a position."""
    protection = _mapping(position.get("protection"))
    print_pairs(
        [
            ("position", clean(position.get("id"))),
            (
                "what",
                f"{clean(position.get('side'))} {clean(position.get('symbol'))} "
                f"{clean(position.get('kind'))} at {clean(position.get('venue'))}, "
                f"leverage {clean(position.get('leverage'))}"
                + (", paper money" if position.get("paper") else ""),
            ),
            ("trader", clean(position.get("trader"))),
            ("status", _status(position)),
            (
                "quantity",
                (
                    f"{short_number(position.get('remaining_quantity'))} left of "
                    f"{short_number(position.get('entry_quantity'))}{_added(position)}"
                ),
            ),
            ("entry", f"{short_number(position.get('entry_price'))}"),
            ("price", _current(position)),
            ("unrealized", _unrealized(position)),
            (
                "realized",
                (
                    f"{signed_number(position.get('realized_pnl'))}, "
                    f"fees {money(position.get('fees'))}"
                ),
            ),
            ("range", _range(position)),
            ("stop", _stop(position, protection)),
            ("trail", _trail(_mapping(protection.get("trail")))),
            ("breakeven", _breakeven(_mapping(protection.get("breakeven")))),
            ("time exit", _maybe_time(protection.get("time_exit"))),
            ("opened", _maybe_time(position.get("opened_at"))),
            ("closed", _maybe_time(position.get("closed_at"))),
            ("held", _maybe(short_span, position.get("holding_s"))),
            ("rationale", _maybe(clean, position.get("rationale"))),
            ("decision", _maybe(clean, position.get("decision_id"))),
        ]
    )
    _print_lists(position, protection)


def _print_lists(position: Row, protection: Row) -> None:
    targets = _rows(protection.get("targets"))
    if targets:
        print_heading("Targets")
        columns = [
            Column("TARGET", text("id")),
            Column("PRICE", price("price"), right=True),
            Column("PART %", price("part_pct"), right=True),
            Column("AWAY", lambda row: percent(row.get("distance_pct")), right=True),
            Column("FIRED", lambda row: "yes" if row.get("fired") else "no"),
            Column("FILLED", price("filled"), right=True),
            Column("AT", moment("filled_at"), keep=5),
        ]
        print_table(columns, targets, empty="")
    exits = _rows(position.get("exits"))
    if exits:
        print_heading("Exits")
        columns = [
            Column("EXIT", text("exit_id")),
            Column("REASON", said("reason")),
            Column("QTY", price("quantity"), right=True),
            Column("FILLED", price("filled"), right=True),
            Column("TRIGGER", lambda row: short_number(_trigger(row).get("price")), right=True),
            Column("LEVEL", lambda row: short_number(_trigger(row).get("level")), right=True),
            Column("SEEN IN", _seen_in, keep=6),
            Column("ORDER", text("client_order_id"), keep=4),
        ]
        print_table(columns, exits, empty="")
    fills = _rows(position.get("fills"))
    if fills:
        print_heading("Fills")
        columns = [
            Column("TIME", moment("time")),
            Column("SIDE", text("side")),
            Column("QTY", price("quantity"), right=True),
            Column("PRICE", price("price"), right=True),
            Column("FEE", price("fee"), right=True),
            Column("ASSET", text("fee_asset"), keep=5),
            Column("FILL", text("id"), keep=3),
            Column("ORDER", text("order"), keep=2),
        ]
        print_table(columns, fills, empty="")
    changes = _rows(position.get("modifications"))
    if changes:
        total = position.get("modification_count")
        print_heading(f"Changes of protection ({clean(total)} done; the last {len(changes)} tries)")
        columns = [
            Column("TIME", moment("at")),
            Column("CHANGE", _change),
            Column("BY", lambda row: who(row.get("requested_by"))),
            Column(
                "RESULT", lambda row: "done" if row.get("success") else spoken(row.get("error"))
            ),
            Column("BEFORE", lambda row: _rules(row.get("previous")), keep=4),
            Column("AFTER", lambda row: _rules(row.get("new")), keep=5),
            Column("REASON", text("reason"), keep=3),
        ]
        print_table(columns, changes, empty="")
    conflicts = _rows(position.get("conflicts"))
    if conflicts:
        print_heading("Suggestions that wait for a decision (holdfast accept, holdfast refuse)")
        print_table(conflict_columns(), conflicts, empty="")


def conflict_columns() -> list[Column]:
    """Return the columns that show a suggestion held for a person."""
    return [
        Column("CONFLICT", text("id")),
        Column("WANTS TO", _change),
        Column("BEFORE", lambda row: _rules(row.get("previous")), keep=5),
        Column("AFTER", lambda row: _rules(row.get("new")), keep=6),
        Column("BY", lambda row: who(row.get("requested_by")), keep=3),
        Column("SUGGESTED", moment("at"), keep=4),
        Column(
            "STATE",
            lambda row: "outdated" if row.get("outdated") else "open",
            style=lambda row: "yellow" if row.get("outdated") else "green",
        ),
        Column("REASON", text("reason"), keep=2),
    ]


def _causes(account: Row) -> list[tuple[str, str]]:
    return [
        ("because", f"{clean(cause.get('message'))} {clean(cause.get('way_out'))}")
        for cause in _rows(account.get("causes"))
    ]


def _status(position: Row) -> str:
    reason = position.get("exit_reason")
    return spoken(position.get("status")) + (f", {spoken(reason)}" if reason else "")


def _added(position: Row) -> str:
    additions = _rows(position.get("additions"))
    if not additions:
        return ""
    status = spoken(additions[-1].get("status"))
    under_way = ", one under way" if status == "intent" else ""
    return f", in {plural(len(additions), 'addition')}{under_way}"


def _current(position: Row) -> str:
    if position.get("current_price") is None:
        return ""
    stale = "" if position.get("price_is_fresh") else "  STALE"
    return short_number(position.get("current_price")) + stale


def _unrealized(position: Row) -> str:
    if position.get("unrealized_pnl") is None:
        return ""
    gain = percent(position.get("unrealized_pnl_pct"))
    return f"{signed_number(position.get('unrealized_pnl'))}  ({gain})"


def _range(position: Row) -> str:
    if position.get("best_price") is None:
        return ""
    return (
        f"best {short_number(position.get('best_price'))} "
        f"({signed_number(position.get('max_unrealized_pnl'))}), "
        f"worst {short_number(position.get('worst_price'))} "
        f"({signed_number(position.get('min_unrealized_pnl'))})"
    )


def _stop(position: Row, protection: Row) -> str:
    stop = _mapping(protection.get("stop"))
    if not stop:
        return "none" if not protection.get("trail") else ""
    initial = position.get("initial_stop")
    moved = f", first {short_number(initial)}" if initial and initial != stop["price"] else ""
    return (
        f"{short_number(stop.get('price'))}  watches {clean(stop.get('watches'))}, "
        f"lives: {clean(stop.get('lives'))}{_away(stop.get('distance_pct'))}{moved}"
    )


def _trail(trail: Row) -> str:
    if not trail:
        return ""
    ratio, distance = trail.get("ratio"), trail.get("distance")
    by = short_number(distance) if ratio is None else f"{short_number(times_100(ratio))} %"
    return (
        f"{short_number(trail.get('level'))}  by {by} from {short_number(trail.get('best'))}"
        f"{_away(trail.get('level_distance_pct'))}"
    )


def _breakeven(even: Row) -> str:
    if not even:
        return ""
    done = "done" if even.get("done") else f"at {short_number(even.get('trigger_price'))}"
    return f"{done}, stop to {short_number(even.get('stop_price'))}"


def _away(value: object) -> str:
    return "" if value is None else f", {percent(value)} away"


def _change(row: Row) -> str:
    return _CHANGES.get(str(row.get("type")), spoken(row.get("type")))


def _rules(value: object) -> str:
    rules = _mapping(value)
    prices = [target.get("price") for target in _rows(rules.get("targets"))]
    return f"stop {short_number(rules.get('stop'))} targets {listed(prices)}"


def _seen_in(row: Row) -> str:
    """Say what showed the price that fired an exit."""
    trigger = _trigger(row)
    if trigger.get("while_down"):
        return f"{clean(trigger.get('tick_id'))}, while down"
    if not trigger:
        return ""
    asked = trigger.get("tick_id") == "asked"
    return f"{clean(trigger.get('source'))}, asked for" if asked else clean(trigger.get("source"))


def _trigger(row: Row) -> Row:
    return _mapping(row.get("trigger"))


def _age(row: Row) -> str:
    age = row.get("age_s")
    return "never" if age is None else f"{age:.1f}s" if isinstance(age, int | float) else clean(age)


def _maybe(show: Callable[[object], str], value: object) -> str:
    return "" if value is None or value == "" else show(value)


def _maybe_time(value: object) -> str:
    return _maybe(short_time, value)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _rows(value: object) -> list[dict[str, object]]:
    return msgspec.convert(value or [], list[dict[str, object]])
