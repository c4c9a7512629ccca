"""How figures look in a table: short where JSON is exact."""

from collections.abc import Callable, Mapping

from daemon.cli.console import Row, clean
from daemon.words import number_of, plural, short_number, signed_number, spoken, spoken_span

_MINUTE = 60


def text(name: str) -> Callable[[Row], str]:
    """Return a cell that shows a value as it is."""
    return lambda row: clean(row.get(name))


def said(name: str) -> Callable[[Row], str]:
    """Return a cell that shows a code as words."""
    return lambda row: spoken(row.get(name))


def price(name: str) -> Callable[[Row], str]:
    """Return a cell that shows a price or quantity without digits nobody reads."""
    return lambda row: short_number(row.get(name))


def is_waiting(position: Row) -> bool:
    """Whether a position's entry is under way and nothing of it is filled."""
    is_filled = number_of(position.get("entry_quantity"))
    return position.get("status") == "entry_pending" and not is_filled


def stop_price(position: Row, without: str) -> str:
    """Return a position's stop; before its first fill the one that it will have.

    `without` is what to say where nothing limits the loss.
    """
    stop = position.get("initial_stop" if is_waiting(position) else "stop")
    if stop is not None:
        return short_number(stop)
    if is_waiting(position):
        return "-"
    return "trail" if position.get("trail_level") is not None else without


def held_quantity(position: Row) -> str:
    """Return what is left of a position; before its first fill, what was asked for."""
    held, asked = position.get("remaining_quantity"), position.get("entry_requested")
    return short_number(asked if is_waiting(position) and asked is not None else held)


def signed(name: str, places: int = 2) -> Callable[[Row], str]:
    """Return a cell that shows a gain or loss."""
    return lambda row: signed_number(row.get(name), places)


def span(name: str) -> Callable[[Row], str]:
    """Return a cell that shows seconds as 5s, 3m, 2h10m, 4d."""
    return lambda row: short_span(row.get(name))


def moment(name: str) -> Callable[[Row], str]:
    """Return a cell that shows a time to the second, UTC."""
    return lambda row: short_time(row.get(name))


def gain_style(name: str) -> Callable[[Row], str]:
    """Return a style: green for a gain, red for a loss."""

    def style(row: Row) -> str:
        value = number_of(row.get(name))
        return "" if value is None or not value else "green" if value > 0 else "red"

    return style


def trader_state(trader: Row) -> str:
    """Return whether a trader trades, in a word."""
    if trader.get("hung"):
        return "hung"
    return "paused" if trader.get("paused") else "active"


def word_style(name: str, styles: Mapping[str, str]) -> Callable[[Row], str]:
    """Return a style by the value's text."""
    return lambda row: styles.get(str(row.get(name)), "")


def money(value: object) -> str:
    """Print an amount of quote."""
    number = number_of(value)
    return clean(value) if number is None else f"{number:,.2f}"


def percent(value: object) -> str:
    """Print a percentage with its sign."""
    number = number_of(value)
    return clean(value) if number is None else f"{number:+.2f} %"


def short_span(value: object) -> str:
    """Print seconds as people say them."""
    if not isinstance(value, int | float):
        return clean(value)
    return spoken_span(value)


def short_age(value: object) -> str:
    """Print how old something is: 0.4s, 1m15s."""
    if isinstance(value, int | float) and value < _MINUTE:
        return f"{value:.1f}s"
    return short_span(value)


def short_time(value: object) -> str:
    """Print an ISO time to the second: 2024-08-08 23:54:01."""
    return clean(value)[:19].replace("T", " ")


def failure_said(failure: object) -> str:
    """Say what failed last, when, and what would help; empty when nothing did."""
    if not isinstance(failure, Mapping):
        return ""
    remedy = f" → {clean(failure.get('remedy'))}" if failure.get("remedy") else ""
    what = f"{clean(failure.get('side'))} {clean(failure.get('symbol'))}"
    return (
        f"{short_time(failure.get('at'))} {what}, {clean(failure.get('code'))}: "
        f"{clean(failure.get('message'))}{remedy} "
        f"(holdfast retry {clean(failure.get('execution_id'))})"
    )


def listed(value: object) -> str:
    """Print a list of numbers."""
    if not isinstance(value, list) or not value:
        return "-"
    return " ".join(short_number(item) for item in value)


def listed_words(name: str) -> Callable[[Row], str]:
    """Return a cell with the words of a list."""

    def cell(row: Row) -> str:
        value = row.get(name)
        return " ".join(clean(item) for item in value) if isinstance(value, list) else clean(value)

    return cell


def outcome(answer: Row) -> str:
    """Say in a sentence what became of a change."""
    position = answer.get("position")
    if isinstance(position, dict):
        line = _position_line(position)
        return f"{line}; {clean(answer['note'])}" if answer.get("note") else line
    closing = answer.get("closing")
    if isinstance(closing, list):
        refused = answer.get("refused")
        count = len(refused) if isinstance(refused, list) else 0
        if not closing and not count:
            return "nothing to close"
        said = f"closing {plural(len(closing), 'position')}"
        return f"{said}, NOT CLOSING {count}" if count else said
    if answer.get("draining"):
        kept, one = plural(answer.get("positions"), "position"), answer.get("positions") == 1
        stays = "stays and is" if one else "stay and are"
        return f"draining; {kept} {stays} guarded again at the next start"
    words = ["done"]
    if answer.get("trader"):
        words.append(f"trader {clean(answer['trader'])}")
    if answer.get("mode"):
        words.append(f"mode {clean(answer['mode'])}")
    if answer.get("file"):
        words.append(
            f"{clean(answer['file'])} has all up to record {clean(answer.get('last_seq'))}"
        )
    if answer.get("note"):
        words.append(clean(answer["note"]))
    return ", ".join(words)


def refusals_said(answer: Row) -> list[str]:
    """Say which positions a command for all of them did not reach, and why, a line each."""
    refused = answer.get("refused")
    return [
        f"{clean(each.get('position'))}  {clean(each.get('rule'))}: {clean(each.get('message'))}"
        + (f" → {clean(each['remedy'])}" if each.get("remedy") else "")
        for each in (refused if isinstance(refused, list) else [])
    ]


def _position_line(position: Row) -> str:
    words = [
        f"{clean(position.get('id'))}  {spoken(position.get('status'))}",
        (
            f"{clean(position.get('side'))} {held_quantity(position)} "
            f"{clean(position.get('symbol'))}"
        ),
    ]
    if is_waiting(position):
        limit = position.get("entry_limit")
        words.append("at market" if limit is None else f"at {short_number(limit)} or better")
        if position.get("initial_stop") is not None:
            words.append(f"stop {short_number(position['initial_stop'])} once it is filled")
    if position.get("entry_price") is not None:
        words.append(f"entered at {short_number(position['entry_price'])}")
    if position.get("exit_reason"):
        words.append(
            f"{spoken(position['exit_reason'])}, realized "
            f"{signed_number(position.get('realized_pnl'))}"
        )
        return ", ".join(words)
    if position.get("stop") is not None:
        lives = clean(position.get("stop_lives"))
        words.append(f"stop {short_number(position['stop'])} ({lives})")
    if position.get("trail_level") is not None:
        words.append(f"trail {short_number(position['trail_level'])}")
    if position.get("targets"):
        words.append(f"targets {listed(position['targets'])}")
    return ", ".join(words)
