"""What log events say to a person at a terminal: a phrase an event, ids and numbers shortened.

JSON keeps every field; this is only for eyes. An event without a phrase is shown by its name and
its fields.
"""

from collections.abc import Mapping
from string import Formatter
from typing import Any

from daemon.words import (
    done,
    downtime,
    plural,
    short_id,
    short_number,
    signed_number,
    spoken,
    who,
)

PHRASES = {
    # the process
    "started": (
        "holdfast {version} started in {seconds} s: {positions:position}, {armed} guarded, journal"
        " at {last_seq} in {data_dir}; times are UTC"
    ),
    "metrics": "metrics at {url}",
    "ready": "ready: process {pid}, commands reach it through {socket}",
    "recovery_problem": "recovery: {problem}",
    "reloaded": (
        "configuration read again: {applied:changed}; {needs_restart:waiting}"
        "{overridden:overridden}"
    ),
    "reload_refused": "configuration not taken, what is in force stays: {problems:listed}",
    "files_gone": ("{files:listed} of {directory}: gone or replaced under this process. {remedy}"),
    "files_back": "the files of the data directory are back",
    "not_alive": "not well, and a restart would help: {failures:listed}",
    "alive_again": "all is well again",
    "manager_not_told": "the service manager cannot be told how it goes: {error}",
    "draining": "{signal}: draining; positions stay, and are guarded again at the next start",
    "entries_left": (
        "{orders:listed}: not canceled at the venue; what they fill has no stop until the daemon"
        " runs again: start it, or cancel them on the venue's site"
    ),
    "forced": "{signal} again: stopped at once",
    "threads_left": "a file or disk that somebody waits for does not answer: stopped without it",
    "stopped": "stopped; {positions:position} in the journal",
    "failed": "failed: {error}",
    "log_not_reopened": "log.file cannot be opened anew, the old one is written on: {error}",
    "log_lines_lost": "{lines:line} of this log could not be written",
    # commands
    "admin_request": "asked: {request:asked}",
    "admin_refused": "refused {command}: {message} ({rule})",
    "admin_peer_refused": "user {peer_uid}, process {peer_pid}, turned away from the admin socket",
    "admin_connections_full": "{limit:connection} to the admin socket: no more are let in",
    # the market
    "connected": "prices of {symbols:symbol} are coming in",
    "disconnected": "no prices: {why}; connecting again",
    "stream_connected": "connected to {url}, {streams:stream}",
    "price_stale": "{symbol}: stale, entries refused: {why}",
    "price_unheard": "{symbol}: nobody tells its {source} price, which an exit watches",
    "price_reliable": "{symbol}: its price can be relied on again ({trust})",
    "downtime_checked": "{said}",
    "stream_renewal": "the stream is connected anew: {why}",
    "stream_renewed": "connection to {url} renewed",
    "stream_not_renewed": "connection to {url} not renewed; again in {retry_in_s} s",
    "stream_unlisted": "{stream} is not at the venue, and is left out: {why}",
    "stream_ended": "the recording is over after {frames:frame}",
    "bad_frame": "frame not understood: {why}; the {count}. so far",
    "spike_held": "{symbol} at {price:n} looks like a spike: held back for a moment",
    # what is decided
    "mode": "mode {mode}, was {was}{causes:because}",
    "decision": "{trader} decides {action} {symbol}: {rationale}",
    "entry_reserved": "{position_id:id} {direction} {quantity:n} {symbol} for {trader}: approved",
    "addition_reserved": "{position_id:id} {quantity:n} {symbol} to be added: approved",
    "limits_changed": "limits of {whose} changed by {by}",
    "kill_switch_reset": "kill switch reset by {by}; drawdown counts from now on",
    "strategy_begins_anew": (
        "{trader} forgets what it remembered of {symbol}: candles of {missing_s} s are missing"
    ),
    "entry_refused": "{trader} may not open {symbol}: {reason} ({rule})",
    "close_expired": (
        "{position_id:id} {trader}'s close could not be made in time: dropped, its guards stand; "
        "by hand: holdfast close {position_id}"
    ),
    "kill_switch": "kill switch: drawdown {drawdown}; everything is closed",
    # what is done
    "order_sent": "{position_id:id} {side} {quantity:n} {symbol}: order sent",
    "position_filled": (
        "{position_id:id} {side:done} {quantity:n} {symbol} at {price:n}{exit_id:brackets}"
    ),
    "stop_moved": (
        "{position_id:id} {symbol} stop at {stop:n}, was {was:none}, by {requested_by:who}"
        "{reason:brackets}"
    ),
    "protection_changed": (
        "{position_id:id} {symbol} {type:change} by {requested_by:who}{reason:brackets}"
    ),
    "position_closed": "{position_id:id} {symbol} closed: {reason:said}, {realized_pnl:+}",
    "order_amended": "order {client_order_id}: {quantity} at {trigger_price} asked for",
    "amend_refused": "the change of order {client_order_id} was refused ({code})",
    "cancel_failing": "order {client_order_id} is not let go: {why}; tried on, ever more rarely",
    "order_rejected": "order {client_order_id} rejected: {text} ({code})",
    "order_unknown": "order {client_order_id}: {why}; unknown until the venue tells",
    "foreign_order": "order {client_order_id} at the venue is not ours",
    "reconciled": "compared with the venue: {orders:order}, {fills:fill}",
    "closed_outside": (
        "{position_id:id} {symbol}: {quantity:n} closed at {price:n} at the venue, not by us"
    ),
    "unknown_position": "{symbol}: the venue holds {quantity:n} that nobody here opened",
    "position_adopted": "{position_id:id} {symbol} was found at the venue and is taken over",
    "quarantine_over": "{symbol}: everything the venue holds is accounted for again",
    "orphan_canceled": "order {client_order_id} was left over at the venue: canceled",
    "orphan_order": "order {client_order_id} is left over at the venue",
    "account_opened": "the venue says that the account has {balance:n} {asset}",
    "cash_moved": "{kind}: {amount:+} {asset}{text:brackets}",
    "dust_gone": "{quantity:n} {symbol}, left over here, are at the venue no more: written off",
    "balance_corrected": "balance corrected by {amount:+} to the venue's: {why}",
    "list_cut": "the venue's {list} is too long: read are the latest {rows} rows",
    "venue_not_read": "the venue did not answer: {failed:listed}",
    "private_stream_down": "the venue's private stream is lost: {why}; connecting again",
    "exit_waits": "{client_order_id} waits: the stop at the venue may sell the same",
    "entry_waits": "{client_order_id} waits: of a position that closes a stop rests at the venue",
    "exit_unreconciled": "{client_order_id} leaves: the venue tells no more than that it is held",
    "late_stop_taken_out": "{client_order_id} came late, beside another stop: it is taken out",
    "was_stopped": "this process stood still for {seconds} s; the venue is asked before anything",
    "reconcile_failed": "the venue did not tell what it holds: {why}; asking again",
    "position_born_twice": "{position_id:id} was approved twice; the second did nothing",
    "actor_crashed": "{name} crashed, a bug; it is restored from the journal",
    "arming_failed": "the levels of {position_id:id} cannot be watched, a bug; the others are",
    "strategy_hung": (
        "the strategy of {trader} did not come back: {trader} is paused, its positions are "
        "guarded on; holdfast resume {trader}"
    ),
    "actor_killed": "{name} was killed, as a drill; it is restored from the journal",
    "actor_given_up": "{name} failed too often and is left alone: {error}",
    "position_quarantined": "{name} keeps failing, hands off: {error}",
    "position_revived": "{name} is given another life after its quarantine",
    "alarm": "{position_id:id} alarm {code}: {message}",
    "paper_ledger_failed": "the paper venue cannot write: {error}",
    "paper_ledger_damaged": "{problem}",
    # the venue
    "live": "LIVE: orders at {venue} move real money",
    "venue_cause": "{venue}: nothing is opened: {why} ({code})",
    "venue_cause_over": "{venue}: {code} is over",
    "venue_down": "{venue} does not answer {requests}: {why}; asking again",
    "venue_up": "{venue} answers {requests} again",
    "rules_changed": "{symbol}: rules of {venue} taken over",
    "symbol_listed": "{symbol} is listed by {venue} again",
    "symbol_not_listed": "{symbol} is not listed by {venue}: entries in it are refused",
    "account_identified": "the login is of {account}",
    "account_moved": "the account is at {venue} now, was at {was}",
    "instrument_unusable": "{symbol}: its rules at the venue cannot be read: {why}",
    "bad_private_frame": "frame of the account not understood: {why}; the {count}. so far",
    "private_row_passed_over": "{instrument} is not traded here; left aside",
    # the disk
    "journal_unavailable": "the journal cannot be written: {error}; armed exits go on",
    "journal_available": "the journal is written again, at {last_seq}",
    "disk_low": "{free_mb} MB of disk are free, {needed_mb} MB are needed: exits only",
    "disk_unknown": "the disk does not say how much is free: {error}; exits only",
    "disk_recovered": "{free_mb} MB of disk are free again",
    "snapshot": "snapshot {file}",
    "snapshot_failed": "no snapshot: {error}",
    "fenced": "fenced: {error}",
    "pruned": (
        "old rows left the tables: {positions:closed position}, {decisions:decision},"
        " {equity:equity point}"
    ),
    "pruning_stopped": "old rows stay for now: {error}",
    "archived": "{records:record} left the journal for {file}",
    "not_archived": "the journal keeps its records for now: {message}",
    "backup_failed": "no backup {file}: {error}",
}


_CHANGES = {
    "TRAIL_SL": "trailing stop set",
    "ADD_TP": "target added",
    "MODIFY_TP": "target changed",
    "CANCEL_TP": "target taken out",
}


def in_words(event: str, fields: Mapping[str, object]) -> str:
    """Return one event as a person reads it."""
    phrase = PHRASES.get(event)
    if phrase is None:
        return " ".join([event, *(f"{name}={value}" for name, value in fields.items())])
    if event == "downtime_checked":  # what is zero is not worth a word
        fields = {**fields, "said": downtime(fields)}
    return _WORDS.vformat(phrase, (), fields)


class _Words(Formatter):
    """Fills phrases in; a format that is no other's is a noun to be counted."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[object, str]:
        """Return a field; one that is not there is None."""
        del args
        return kwargs.get(field_name), field_name

    def format_field(self, value: object, format_spec: str) -> str:
        """Write a field as its format says."""
        match format_spec:
            case "":
                return "-" if value is None else str(value)
            case "n":
                return short_number(value)
            case "+":
                return signed_number(value)
            case "id":
                return short_id(value)
            case "said":
                return spoken(value)
            case "done":
                return done(value)
            case "none":
                return "none" if value is None else short_number(value)
            case "who":
                return who(value)
            case "change":
                return _CHANGES.get(str(value), spoken(value))
            case "brackets":
                return f" ({value})" if value else ""
            case "because":
                return (
                    f": {', '.join(map(str, value))}" if isinstance(value, list) and value else ""
                )
            case "listed":
                return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
            case "changed" | "waiting" | "overridden":
                return _taken(format_spec, value)
            case "asked":
                return _asked(value)
            case noun:
                return plural(value, noun)


def _taken(how: str, value: object) -> str:
    """Say which keys a reload took, left for a restart, or that a person has overridden."""
    if how == "changed":
        return f"{_keys(value)} in force" if value else "nothing to apply"
    if how == "waiting":
        return f"{_keys(value)} not before a restart" if value else "nothing waits"
    return f"; {_keys(value)} overridden by set-limits" if value else ""


def _keys(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _asked(request: object) -> str:
    if not isinstance(request, Mapping):
        return str(request)
    words = [str(request.get("command", ""))]
    for name, value in request.items():
        if name == "position_id":
            words.append(f"as {short_id(value)}")
        elif name != "command" and (name, value) != ("leverage", "1"):
            words.append(f"{name}={_value(value)}")
    return " ".join(words)


def _value(value: object) -> object:
    if isinstance(value, list):
        return ",".join(str(_value(one)) for one in value)
    return ":".join(map(str, value.values())) if isinstance(value, Mapping) else value


_WORDS = _Words()
