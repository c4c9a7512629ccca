"""The journal's story of a position in words: when, what happened, the figures that matter.

One line an event. What says nothing new is left out: that an order left, a fill that the position
repeats, the end of what was told to end. `holdfast why ID --json` leaves out nothing.
"""

from collections.abc import Callable, Iterable, Mapping

from daemon.cli.cells import short_time
from daemon.cli.console import Row, clean, print_heading, say
from daemon.words import done, plural, short_number, signed_number, spoken, times_100, who
from domain.ids import ClientOrderId, identity_of

_CLOCK = slice(11, 23)  # of an ISO time: 11:02:20.256
_DAY = 10  # characters of its date
_INDENT = " " * 14


def print_story(events: list[dict[str, object]]) -> None:
    """Show journaled events, oldest first."""
    if not events:
        say("nothing is known about it")
        return
    booked = {_trade(_of(event)) for event in events if event.get("event") == "PositionFilled"}
    say(str(events[0].get("stream")).replace("/", " ", 1))
    day = ""
    for event in events:
        words = _words(event, booked)
        if not words:
            continue
        time = str(event.get("time"))
        if time[:_DAY] != day:
            day = time[:_DAY]
            print_heading(f"{short_time(time)[:_DAY]} (UTC)")
        say(f"{clean(time[_CLOCK])}  {clean(words)}", indent=_INDENT)


def _words(event: Row, booked: set[str]) -> str:
    name, fields = str(event.get("event")), _of(event)
    if name in _SILENT or (name == "OrderFilled" and _trade(fields) in booked):
        return ""
    told = _TOLD.get(name)
    if told is not None:
        return told(fields)
    reason = next((str(fields[key]) for key in _REASONS if fields.get(key)), "")
    return spoken("".join(f"_{one}" if one.isupper() else one for one in name)).strip() + (
        f": {reason}" if reason else ""
    )


def _intended(fields: Row) -> str:
    entry, instrument = _part(fields, "entry"), _part(fields, "instrument")
    limit = entry.get("limit_price")
    because = f": {fields['rationale']}" if fields.get("rationale") else ""
    return (
        f"{fields.get('trader')} opens {fields.get('direction')} "
        f"{short_number(entry.get('quantity'))} {instrument.get('symbol')} "
        + (f"at {short_number(limit)} or better" if limit else "at market")
        + f", leverage {short_number(fields.get('leverage'))}{because}"
    )


def _added(fields: Row) -> str:
    entry = _part(fields, "entry")
    limit = entry.get("limit_price")
    because = f": {fields['rationale']}" if fields.get("rationale") else ""
    return (
        f"{who(fields.get('requested_by'))} adds {short_number(entry.get('quantity'))} "
        + (f"at {short_number(limit)} or better" if limit else "at market")
        + because
    )


def _limits_changed(fields: Row) -> str:
    previous, new = _part(fields, "previous"), _part(fields, "new")
    changes = [
        f"{name.removesuffix('_ratio').replace('_', ' ')} {_limit(name, previous.get(name))} → "
        f"{_limit(name, value)}"
        for name, value in new.items()
        if value != previous.get(name)
    ]
    overrides = {name for name, value in _part(fields, "overrides").items() if value is not None}
    if not overrides:
        changes.append("all as configured")
    return f"{fields.get('by')} sets limits: {', '.join(changes) or 'as they were'}"


def _limit(name: str, value: object) -> str:
    if value is None:
        return "none"
    return _percent(value) if name.endswith("_ratio") else short_number(value)


def _stopped(fields: Row) -> str:
    cause = _part(fields, "cause")
    return f"entries stop ({cause.get('code')}): {cause.get('message')}"


def _tripped(fields: Row) -> str:
    return (
        f"kill switch: equity {short_number(fields.get('equity'))}, "
        f"{_percent(fields.get('drawdown'))} below its peak, the limit is "
        f"{_percent(fields.get('limit'))}; everything is closed"
    )


def _order(fields: Row) -> str:
    terms = _part(fields, "terms")
    limit = terms.get("price")
    return (
        f"order {terms.get('client_order_id')}: {terms.get('side')} "
        f"{short_number(terms.get('quantity'))} {terms.get('symbol')} "
        + (f"at {short_number(limit)} or better" if limit else "at market")
        + (", reduce only" if terms.get("reduce_only") else "")
    )


def _rests(fields: Row, name: str) -> str:
    stop = _part(fields, name)
    ratio = stop.get("trail_ratio")
    level = f"at {short_number(stop.get('trigger_price'))}"
    if ratio is not None:
        level = f"trailing by {_percent(ratio)}"
    return f"{short_number(stop.get('quantity'))} {level}"


def _filled(fields: Row) -> str:
    fill = _part(fields, "fill")
    fee = _part(fill, "fee")
    exit_id = fields.get("exit_id")
    return (
        f"{done(fill.get('side'))} {short_number(fill.get('quantity'))} "
        f"at {short_number(fill.get('price'))}"
        + (f" for {exit_id}" if exit_id else "")
        + f", fee {short_number(fee.get('amount'))} {fee.get('asset')}"
    )


def _entry_ended(fields: Row) -> str:
    why = f": {fields['why']}" if fields.get("why") else ""
    order = identity_of(ClientOrderId(str(fields.get("client_order_id"))))
    number = "0" if order is None else order.leg.partition("-")[2]
    which = "the entry" if number == "0" else f"addition {number}"
    return f"{which} is {spoken(fields.get('status'))}{why}"


def _protected(fields: Row) -> str:
    return f"protection {_version(_part(fields, 'protection'))}"


def _version(protection: Row) -> str:
    return f"{protection.get('version')}: {_rules(protection)}"


def _rules(protection: Row) -> str:
    stop, trail = _part(protection, "stop"), _part(protection, "trail")
    even = _part(protection, "breakeven")
    rules = []
    if stop:
        rules.append(f"stop {short_number(stop.get('price'))}{_watched(stop)}")
    if trail:
        ratio, distance = trail.get("ratio"), trail.get("distance")
        by = _percent(ratio) if ratio is not None else short_number(distance)
        rules.append(f"trail by {by} from {short_number(trail.get('anchor'))}{_watched(trail)}")
    rules += [
        f"{target.get('exit_id')} {short_number(target.get('price'))} {_share(target)}"
        for target in _each(protection, "targets")
        if not target.get("fired")
    ]
    if even and not even.get("done"):
        rules.append(f"breakeven at {short_number(even.get('trigger_price'))}")
    if protection.get("time_exit"):
        rules.append(f"time exit {short_time(protection['time_exit'])}")
    return ", ".join(rules) or "none"


def _watched(level: Row) -> str:
    watches = level.get("watches")
    return "" if watches in {None, "last"} else f" on {watches}"


def _share(target: Row) -> str:
    return f"for {_percent(target.get('part'))}{_watched(target)}"


def _percent(ratio: object) -> str:
    return f"{short_number(times_100(ratio))} %"


def _changed(fields: Row) -> str:
    change = _part(fields, "modification")
    verb, what = _change(change)
    because = f": {change['reason']}" if change.get("reason") else ""
    return f"{who(change.get('requested_by'))} {verb}s {what}{because}"


def _not_changed(fields: Row) -> str:
    change = _part(fields, "modification")
    checks = _each(_part(change, "validation"), "constraints")
    why = "; ".join(f"{one.get('current')}, needed: {one.get('required')}" for one in checks)
    verb, what = _change(change)
    return (
        f"{who(change.get('requested_by'))} may not {verb} {what}: {spoken(change.get('error'))}"
        + (f" ({why})" if why else "")
    )


def _suggested(fields: Row) -> str:
    conflict = _part(fields, "conflict")
    change = _part(conflict, "modification")
    verb, what = _change(change)
    because = f": {change['reason']}" if change.get("reason") else ""
    return (
        f"{who(change.get('requested_by'))} wants to {verb} {what}; "
        f"it waits for a person as {conflict.get('conflict_id')}{because}"
    )


def _decided(fields: Row) -> str:
    verb = "accepts" if fields.get("accepted") else "refuses"
    return f"a person {verb} suggestion {fields.get('conflict_id')}"


def _change(change: Row) -> tuple[str, str]:
    return _CHANGES.get(str(change.get("type")), ("change", "the protection"))


def _fired(fields: Row) -> str:
    order = _part(fields, "exit")
    trigger = _part(order, "trigger")
    size = "everything" if order.get("whole") else short_number(order.get("quantity"))
    exits = f"{order.get('exit_id')} fires ({spoken(order.get('reason'))}): exit of {size}"
    if not trigger:
        return exits + (f" at about {short_number(order['price'])}" if order.get("price") else "")
    if trigger.get("while_down"):
        return (
            f"while down, the {trigger.get('tick_id')} ({trigger.get('source')}) reached "
            f"{short_number(trigger.get('price'))}, beyond {short_number(trigger.get('level'))}; "
            f"{exits}"
        )
    return (
        f"{trigger.get('source')} price {short_number(trigger.get('price'))} has reached "
        f"{short_number(trigger.get('level'))}; {exits}"
    )


def _exit_ended(fields: Row) -> str:
    why = f": {fields['why']}" if fields.get("why") else ""
    return f"exit order {fields.get('client_order_id')} is {spoken(fields.get('status'))}{why}"


def _closed(fields: Row) -> str:
    dust = fields.get("dust")
    return (
        f"{spoken(fields.get('status'))}, {spoken(fields.get('reason'))}: realized "
        f"{signed_number(fields.get('realized_pnl'))}, fees {short_number(fields.get('fees'))}"
        + (f", dust {short_number(dust)}" if dust not in {None, "0"} else "")
    )


def _reduced_outside(fields: Row) -> str:
    fill = _part(fields, "fill")
    guess = ", a guess: no fill was told" if fields.get("estimated") else ""
    return (
        f"{short_number(fill.get('quantity'))} closed at {short_number(fill.get('price'))} at the "
        f"venue, not by us ({spoken(fields.get('cause'))}){guess}"
    )


def _judged(fields: Row) -> str:
    found = fields.get("crossed")
    crossed = ", ".join(map(str, found)) if isinstance(found, list) else ""
    best = fields.get("best")
    return (
        f"down from {short_time(fields.get('began'))} to {short_time(fields.get('until'))}: "
        f"by {plural(fields.get('candles'), 'candle')}, {crossed or 'nothing'} crossed"
        + (f", best price {short_number(best)}" if best is not None else "")
    )


def _identified(fields: Row) -> str:
    told = _part(fields, "venue_account")
    kind = "demo" if told.get("is_demo") else "live"
    return f"at the venue it is the {kind} account {clean(told.get('account_id'))}"


_SILENT = {
    "OrderSent",
    "OrderAccepted",
    "PositionSettled",
    "VenueStopOutdated",
    "VenueStopTried",
    "FlowsRead",
}
_REASONS = ("why", "message", "text", "evidence")


def _hung(fields: Row) -> str:
    how = "the process ended over it" if fields.get("killed") else "it was interrupted"
    return f"its strategy did not come back, {how}: paused until it is resumed"


def _at_market(fields: Row) -> str:
    most = fields.get("max_market")
    return "" if most is None else f", at market at most {short_number(most)}"


_TOLD: dict[str, Callable[[Row], str]] = {
    "PositionIntended": _intended,
    "PositionAdopted": lambda fields: (
        f"found at the venue: {short_number(_part(fields, 'fill').get('quantity'))} at "
        f"{short_number(_part(fields, 'fill').get('price'))}"
    ),
    "PositionReducedOutside": _reduced_outside,
    "PositionFunded": lambda fields: f"funding so far {signed_number(fields.get('total'))}",
    "GridChanged": lambda fields: (
        f"ordered in lots of {short_number(fields.get('lot_size'))} now, at least "
        f"{short_number(fields.get('min_quantity'))}" + _at_market(fields)
    ),
    "CashMoved": lambda fields: (
        f"{fields.get('kind')} {signed_number(fields.get('amount'))} {clean(fields.get('asset'))}"
        + (f" ({clean(fields['text'])})" if fields.get("text") else "")
    ),
    "DustGone": lambda fields: (
        f"{short_number(fields.get('quantity'))} {clean(fields.get('symbol'))}, left over here, "
        "are at the venue no more: written off"
    ),
    "BalanceCorrected": lambda fields: (
        f"balance corrected by {signed_number(fields.get('amount'))}: {clean(fields.get('why'))}"
    ),
    "AdditionIntended": _added,
    "TraderPaused": lambda fields: f"paused by {fields.get('by')}",
    "StrategyHung": _hung,
    "TraderResumed": lambda fields: f"resumed by {fields.get('by')}",
    "TraderLimitsChanged": _limits_changed,
    "AccountLimitsChanged": _limits_changed,
    "DecisionRefused": lambda fields: f"refused: {fields.get('message')} ({fields.get('rule')})",
    "AccountMoved": lambda fields: f"moved to {clean(fields.get('venue'))}",
    "AccountIdentified": _identified,
    "PortfolioOpened": lambda fields: f"opened with {short_number(fields.get('balance'))}",
    "EntriesStopped": _stopped,
    "EntriesResumed": lambda fields: f"{fields.get('by')} takes {fields.get('code')} back",
    "DayRolled": lambda fields: f"a new day, with {short_number(fields.get('equity'))}",
    "KillSwitchTripped": _tripped,
    "KillSwitchReset": lambda fields: (
        f"{fields.get('by')} resets the kill switch; drawdown counts from "
        f"{short_number(fields.get('equity'))}"
    ),
    "OrderIntended": _order,
    "OrderAdopted": lambda fields: f"found at the venue: {_order(fields)}",
    "OrderFilled": _filled,
    "PositionFilled": _filled,
    "EntryEnded": _entry_ended,
    "ProtectionSet": _protected,
    "ProtectionAcknowledged": lambda fields: f"guarded by version {fields.get('version')}",
    "ProtectionModified": _changed,
    "ModificationRefused": _not_changed,
    "DowntimeJudged": _judged,
    "SuggestionHeld": _suggested,
    "ConflictResolved": _decided,
    "ExitFired": _fired,
    "ExitHeldBack": lambda _fields: "others hold the symbol: the stop at the venue goes first",
    "ExitReleased": lambda fields: f"the exit leaves: {short_number(fields.get('quantity'))}",
    "VenueStopOrdered": lambda fields: f"a stop is asked of the venue: {_rests(fields, 'asked')}",
    "VenueStopChangeOrdered": lambda fields: f"changed at the venue: {_rests(fields, 'asked')}",
    "VenueStopConfirmed": lambda fields: f"the venue holds the stop: {_rests(fields, 'held')}",
    "VenueStopCancelOrdered": lambda _fields: "the venue is asked to let the stop go",
    "VenueStopTriggered": lambda _fields: "the stop fired at the venue",
    "VenueStopEnded": lambda fields: f"the stop at the venue is {spoken(fields.get('status'))}",
    "OrderAmendRequested": lambda fields: f"to be changed: {_order(fields)}",
    "OrderAmended": lambda fields: f"changed: {_order(fields)}",
    "ExitEnded": _exit_ended,
    "PositionClosed": _closed,
}
_CHANGES = {
    "MOVE_SL": ("move", "the stop"),
    "TRAIL_SL": ("set", "the trailing stop"),
    "ADD_TP": ("add", "a target"),
    "MODIFY_TP": ("change", "a target"),
    "CANCEL_TP": ("cancel", "a target"),
}


def _of(event: Row) -> Row:
    return _part(event, "fields")


def _part(row: Row, name: str) -> Row:
    found = row.get(name)
    return found if isinstance(found, Mapping) else {}


def _each(row: Row, name: str) -> Iterable[Row]:
    found = row.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _trade(fields: Row) -> str:
    return str(_part(fields, "fill").get("trade_id"))
