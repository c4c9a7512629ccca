"""The page of a position: what it is, and lists of all that happened to it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daemon.cli.answers import list_of, mapping_of
from daemon.cli.cells import (
    failure_said,
    is_waiting,
    moment,
    money,
    percent,
    price,
    said,
    short_span,
    short_time,
    text,
)
from daemon.cli.changes import change_words, conflict_columns, rules_words, trail_words
from daemon.cli.console import Column, Row, clean, print_heading, print_pairs, print_table
from daemon.words import number_of, plural, short_number, signed_number, spoken, who


def print_position(position: Row) -> None:
    """Show everything about a position."""
    protection = mapping_of(position.get("protection"))
    print_pairs(
        [
            ("position", clean(position.get("id"))),
            (
                "what",
                f"{clean(position.get('side'))} {clean(position.get('symbol'))} "
                f"{clean(position.get('kind'))} at {clean(position.get('venue'))}, "
                f"leverage {clean(position.get('leverage'))}" + _money(position),
            ),
            ("trader", clean(position.get("trader"))),
            ("status", _status(position)),
            ("quantity", _quantity(position)),
            ("entry", _entry(position)),
            ("price", _current(position)),
            ("unrealized", _unrealized(position)),
            (
                "realized",
                (
                    f"{signed_number(position.get('realized_pnl'))}, "
                    f"fees {money(position.get('fees'))}{_funding(position)}"
                ),
            ),
            ("range", _range(position)),
            ("stop", _stop(position, protection)),
            ("at the venue", _at_venue(mapping_of(position.get("stop_at")))),
            ("trail", _trail(mapping_of(protection.get("trail")))),
            ("breakeven", _breakeven(mapping_of(protection.get("breakeven")))),
            ("time exit", _maybe_time(protection.get("time_exit"))),
            ("opened", _maybe_time(position.get("opened_at"))),
            ("closed", _maybe_time(position.get("closed_at"))),
            ("held", _maybe(short_span, position.get("holding_s"))),
            ("rationale", _maybe(clean, position.get("rationale"))),
            ("decision", _maybe(clean, position.get("decision_id"))),
            ("last failure", failure_said(position.get("latest_execution_error"))),
        ]
    )
    _print_lists(position, protection)


def _print_lists(position: Row, protection: Row) -> None:
    _print_targets(list_of(protection.get("targets")))
    _print_exits(list_of(position.get("exits")))
    _print_fills(list_of(position.get("fills")))
    _print_changes(list_of(position.get("modifications")), position.get("modification_count"))
    conflicts = list_of(position.get("conflicts"))
    if conflicts:
        print_heading("Suggestions that wait for a decision (holdfast accept, holdfast refuse)")
        print_table(conflict_columns(), conflicts, empty="")


def _print_targets(targets: Sequence[Row]) -> None:
    if not targets:
        return
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


def _print_exits(exits: Sequence[Row]) -> None:
    if not exits:
        return
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


def _print_fills(fills: Sequence[Row]) -> None:
    if not fills:
        return
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


def _print_changes(changes: Sequence[Row], total: object) -> None:
    if not changes:
        return
    tries = "the last try" if len(changes) == 1 else f"the last {len(changes)} tries"
    print_heading(f"Changes of protection ({clean(total)} done; {tries})")
    columns = [
        Column("TIME", moment("at")),
        Column("CHANGE", change_words),
        Column("BY", lambda row: who(row.get("requested_by"))),
        Column("RESULT", lambda row: "done" if row.get("success") else spoken(row.get("error"))),
        Column("BEFORE", lambda row: rules_words(row.get("previous")), keep=4),
        Column("AFTER", lambda row: rules_words(row.get("new")), keep=5),
        Column("REASON", text("reason"), keep=3),
    ]
    print_table(columns, changes, empty="")


def _money(position: Mapping[str, Any]) -> str:
    if not position.get("paper"):
        return ""
    return ", paper money" if position.get("venue") == "paper" else ", practice money"


def _status(position: Row) -> str:
    reason = position.get("exit_reason")
    return spoken(position.get("status")) + (f", {spoken(reason)}" if reason else "")


def _quantity(position: Row) -> str:
    if not number_of(position.get("entry_quantity")):
        return f"{short_number(position.get('entry_requested'))} asked for, nothing filled"
    return (
        f"{short_number(position.get('remaining_quantity'))} left of "
        f"{short_number(position.get('entry_quantity'))}{_added(position)}"
    )


def _entry(position: Row) -> str:
    limit = position.get("entry_limit")
    if not is_waiting(position) or limit is None:
        return short_number(position.get("entry_price"))
    return f"at {short_number(limit)} or better"


def _added(position: Row) -> str:
    additions = list_of(position.get("additions"))
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


def _funding(position: Row) -> str:
    paid = position.get("funding")
    return "" if paid in {None, "0"} else f", funding {signed_number(paid)}"


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
    stop = mapping_of(protection.get("stop"))
    if is_waiting(position) and position.get("initial_stop") is not None:
        return f"{short_number(position['initial_stop'])} once it is filled"
    if not stop:
        return "none" if not protection.get("trail") else ""
    initial = position.get("initial_stop")
    moved = f", first {short_number(initial)}" if initial and initial != stop["price"] else ""
    return (
        f"{short_number(stop.get('price'))}  watches {clean(stop.get('watches'))}, "
        f"lives: {clean(stop.get('lives'))}{_away(stop.get('distance_pct'))}{moved}"
    )


def _at_venue(stop: Row) -> str:
    if not stop.get("order"):
        return ""
    price = stop.get("price")
    level = f"trails by {short_number(stop.get('trail_pct'))} %"
    if price is not None:
        level = f"at {short_number(price)}"
    if stop.get("target") is not None:
        level += f" or {short_number(stop['target'])}, whichever comes first"
    change = "" if stop.get("as_it_should") else ", being changed"
    return f"{short_number(stop.get('quantity'))} {level}, order {clean(stop.get('order'))}{change}"


def _trail(trail: Row) -> str:
    if not trail:
        return ""
    return (
        f"{short_number(trail.get('level'))}  by {trail_words(trail)} "
        f"from {short_number(trail.get('best'))}{_away(trail.get('level_distance_pct'))}"
    )


def _breakeven(even: Row) -> str:
    if not even:
        return ""
    done = "done" if even.get("done") else f"at {short_number(even.get('trigger_price'))}"
    return f"{done}, stop to {short_number(even.get('stop_price'))}"


def _away(value: object) -> str:
    return "" if value is None else f", {percent(value)} away"


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
    return mapping_of(row.get("trigger"))


def _maybe(show: Callable[[object], str], value: object) -> str:
    return "" if value is None or value == "" else show(value)


def _maybe_time(value: object) -> str:
    return _maybe(short_time, value)
