"""What the live view writes: columns, head lines, the trail of equity. Pure; no Textual in it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

from rich.text import Text

from daemon.cli.cells import (
    gain_style,
    held_quantity,
    is_waiting,
    money,
    percent,
    price,
    short_span,
    signed,
    span,
    stop_price,
    text,
    word_style,
)
from daemon.cli.console import Column, Row, clean
from daemon.cli.reads import SIDE_STYLES, STATUS_STYLES, short_ids, short_status
from daemon.words import number_of, plural, short_number, signed_number

ALWAYS = 9
ALARM = "bold white on red"
MODE_STYLES = {
    "NORMAL": "bold green",
    "NO_ENTRY": "bold yellow",
    "PROTECT_ONLY": "bold red",
    "FENCED": ALARM,
}
_LIVES = {"client guard": "guard", "venue": "venue", "both": "both", "nowhere": "NONE"}
_BARS = " ▁▂▃▄▅▆▇█"
_CHART_NARROWEST, _CHART_WIDEST = 8, 70
_CHART_GAP = {1: 3, 3: 16}  # columns beside it, for its labels
_TRACK = 13  # characters between stop and target
_NEAR_PCT = Decimal("0.25")


def columns(rows: list[dict[str, object]]) -> list[Column]:
    """Return the columns of open positions; the first ones to go have the lowest `keep`."""
    return [
        Column("", _alarm_mark),
        Column("ID", short_ids(rows)),
        Column("TRADER", text("trader"), keep=5),
        Column("SYMBOL", text("symbol")),
        Column("SIDE", text("side"), style=word_style("side", SIDE_STYLES)),
        Column("STATUS", short_status, keep=4, style=word_style("status", STATUS_STYLES)),
        Column("QTY", held_quantity, right=True, keep=3),
        Column("ENTRY", price("entry_price"), right=True, keep=6),
        Column("PRICE", _price, right=True, keep=8, style=_price_style),
        Column("P&L", signed("unrealized_pnl"), right=True, style=gain_style("unrealized_pnl")),
        Column(
            "P&L %",
            signed("unrealized_pnl_pct"),
            right=True,
            keep=7,
            style=gain_style("unrealized_pnl"),
        ),
        Column("STOP", lambda row: stop_price(row, "NONE"), right=True),
        Column("LIVES", _lives, keep=7),
        Column("TRAIL", price("trail_level"), right=True, keep=2),
        Column("TO STOP", _away("stop_distance_pct"), right=True, keep=8, style=_near_stop),
        Column("TRACK", track, keep=0),
        Column("TO TGT", _away("target_distance_pct"), right=True, keep=6),
        Column("TARGET", price("next_target"), right=True, keep=4),
        Column("AGE", span("holding_s"), right=True, keep=1),
    ]


def fitting(
    listed: Sequence[Column], rows: Sequence[Row], room: int, gap: int
) -> tuple[list[Column], list[int]]:
    """Return the columns that fit into `room`, the least important ones going first; and widths."""
    widths = {
        id(column): max([len(column.title), *(len(clean(column.text(row))) for row in rows)])
        for column in listed
    }
    kept = list(listed)
    while sum(widths[id(each)] + gap for each in kept) - gap > room:
        droppable = [column for column in kept if column.keep < ALWAYS]
        if not droppable:
            break
        kept.remove(min(droppable, key=lambda column: column.keep))
    return kept, [widths[id(each)] for each in kept]


def headline(seen: Row, room: int, *, is_lost: bool = False) -> Text:
    """Return mode, account, uptime and feed on one line; no promises for a daemon that is lost."""
    mode = clean(seen.get("mode"))
    if is_lost:
        return Text(f" ○ NOT HEARD OF, was {mode}", style="bold red")
    line = Text(" ")
    line.append(f"● {mode}", style=MODE_STYLES.get(mode, "bold"))
    line.append(f"  {clean(seen.get('venue'))}/{clean(seen.get('account'))}")
    if seen.get("environment") == "live":
        line.append("  LIVE", style="bold red")
    line.append(f"  up {short_span(seen.get('uptime_s'))}", style="dim")
    return _spread(line, feed(seen), room)


def feed(seen: Row) -> Text:
    """Say whether prices come in, and how old they are."""
    ages = [
        age
        for each in _rows(seen.get("prices"))
        if isinstance(age := each.get("age_s"), int | float)
    ]
    stale = [
        clean(each.get("symbol")) for each in _rows(seen.get("prices")) if not each.get("is_fresh")
    ]
    if not seen.get("feed_connected"):
        return Text("feed NOT CONNECTED ", style="bold red")
    said = Text("feed ")
    said.append("connected", style="green")
    said.append(f", {min(ages):.1f}s" if ages else ", no price yet")
    if stale:
        said.append(f", {len(stale)} STALE", style="bold yellow")
    said.append(" ")
    return said


def moneylines(seen: Row, room: int, height: int) -> Text:
    """Return equity, the day's gain, drawdown, and how equity went, on `height` lines: 1 or 3."""
    equity = Text.assemble(
        " equity ", (f"{money(seen.get('equity'))} {clean(seen.get('quote'))}", "bold")
    )
    style = gain_style("day_pnl")(seen)
    today = Text.assemble(" today ", (signed_number(seen.get("day_pnl")), style))
    if seen.get("day_pnl_pct") is not None:
        today.append(f" ({percent(seen.get('day_pnl_pct'))})", style=style)
    drawdown = Text(f" drawdown {money(seen.get('drawdown_pct'))} %")
    parts = [equity, today, drawdown]
    left = [Text(" ").join(parts)] if height == 1 else parts
    width = min(room - max(each.cell_len for each in left) - _CHART_GAP[height], _CHART_WIDEST)
    if width < _CHART_NARROWEST:
        return Text("\n").join(left)
    chart = _chart(seen, width, height)
    return Text("\n").join(
        _spread(one, other, room) for one, other in zip(left, chart, strict=True)
    )


def _chart(seen: Row, width: int, height: int) -> list[Text]:
    trail = seen.get("equity_trail")
    given = trail.get("points") if isinstance(trail, Mapping) else None
    points = (
        [each for one in given if (each := number_of(one)) is not None]
        if isinstance(given, list)
        else []
    )
    if not points:
        return [Text()] * height
    drawn = bars(points, width, height)
    labels = [""] * height
    if height > 1:
        labels[0], labels[-1] = money(max(points)), money(min(points))
    size = max(map(len, labels))
    return [
        Text.assemble((f"{label:>{size}} ", "dim"), (line, "cyan"), " ")
        for label, line in zip(labels, drawn, strict=True)
    ]


def causes(seen: Row) -> list[Text]:
    """Say why the mode is not NORMAL and how it ends, a line each."""
    return [
        Text.assemble(
            (f" {clean(each.get('mode'))} ", MODE_STYLES.get(clean(each.get("mode")), "bold")),
            clean(each.get("message")),
            (f" → {clean(each.get('way_out'))}", "bold"),
        )
        for each in _rows(seen.get("causes"))
    ]


def bars(points: Sequence[Decimal], width: int, height: int = 1) -> list[str]:
    """Draw points as bars, the newest to the right; return lines from the top."""
    shown = _resampled(points, width)
    low, high = min(shown), max(shown)
    steps = height * (len(_BARS) - 1) - 1  # above the lowest bar
    levels = [
        1 + (round((each - low) / (high - low) * steps) if high > low else steps // 2)
        for each in shown
    ]
    lines = []
    for line in reversed(range(height)):
        floor = line * (len(_BARS) - 1)
        lines.append("".join(_BARS[min(max(level - floor, 0), len(_BARS) - 1)] for level in levels))
    return lines


def _resampled(points: Sequence[Decimal], width: int) -> list[Decimal]:
    if len(points) <= width:
        return list(points)
    last = len(points) - 1
    return [points[round(index * last / (width - 1))] for index in range(width)]


def track(row: Row) -> str:
    """Draw where the price is between stop and target: ├───●─────┤."""
    stop, goal = number_of(row.get("stop_distance_pct")), number_of(row.get("target_distance_pct"))
    if stop is None or goal is None:
        return ""
    reach = abs(stop) + abs(goal)
    at = round(abs(stop) / reach * (_TRACK - 3)) if reach else 0
    inside = ["─"] * (_TRACK - 2)
    inside[at] = "●"
    return f"├{''.join(inside)}┤"


def nothing_open(seen: Row) -> str:
    """Say in a friendly way that there is nothing to show."""
    count = len(_rows(seen.get("prices")))
    others = [each for each in _rows(seen.get("traders")) if each.get("name") != "manual"]
    if not others:
        return f"no open positions; {plural(count, 'symbol')} watched, no traders configured"
    paused = sum(1 for each in others if each.get("paused"))
    if paused == len(others):
        return "no open positions; every trader is paused (p resumes one)"
    watching = plural(len(others) - paused, "trader")
    verb = "watches" if len(others) - paused == 1 else "watch"
    return f"no open positions; {watching} {verb} {plural(count, 'symbol')}"


def event_line(event: Row) -> Text:
    """Return an event of the log: when, and what happened."""
    said = clean(event.get("text"))
    line = Text.assemble((f" {clean(event.get('time'))[11:19]}  ", "dim"))
    line.append(_LEVELS.get(str(event.get("level")), "") + said, style=_event_style(event))
    return line


def summary(row: Row) -> str:
    """Name a position: LONG 0.004 BTC/USDT of trend."""
    return (
        f"{clean(row.get('side'))} {held_quantity(row)} "
        f"{clean(row.get('symbol'))} of {clean(row.get('trader'))}"
    )


_LEVELS = {"warning": "! ", "error": "ERROR ", "critical": "CRITICAL "}
_EVENT_STYLES = {
    "position_filled": "bold",
    "mode": "bold yellow",
    "stop_moved": "cyan",
    "protection_changed": "cyan",
    "order_sent": "dim",
    "entry_refused": "dim",
}


def _event_style(event: Row) -> str:
    match event.get("level"):
        case "warning":
            return "bold yellow"
        case "error" | "critical":
            return "bold red"
    name = str(event.get("event"))
    if name == "position_closed":
        fields = event.get("fields")
        gain = fields.get("realized_pnl") if isinstance(fields, Mapping) else None
        return "bold red" if str(gain).startswith("-") else "bold green"
    if name == "mode" and _is_normal(event):
        return "bold green"
    return _EVENT_STYLES.get(name, "")


def _is_normal(event: Row) -> bool:
    fields = event.get("fields")
    return isinstance(fields, Mapping) and fields.get("mode") == "NORMAL"


def _alarm_mark(row: Row) -> str:
    return " !" if row.get("is_unprotected") else "  "


def _price(row: Row) -> str:
    shown = short_number(row.get("current_price"))
    return shown if row.get("price_is_fresh") or shown == "-" else f"{shown}?"


def _price_style(row: Row) -> str:
    return "" if row.get("price_is_fresh") else "yellow"


def _lives(row: Row) -> str:
    if is_waiting(row):
        return "-"  # there is nothing yet that a stop could guard
    lives = str(row.get("stop_lives"))
    return _LIVES.get(lives, lives)


def _away(name: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        number = number_of(row.get(name))
        return "-" if number is None else f"{number:+.2f}%"

    return cell


def _near_stop(row: Row) -> str:
    number = number_of(row.get("stop_distance_pct"))
    return "yellow" if number is not None and abs(number) < _NEAR_PCT else ""


def _spread(left: Text, right: Text, room: int) -> Text:
    """Put one text to the left end of a line and another to the right, if there is room."""
    space = room - left.cell_len - right.cell_len
    return left if space < 1 else Text.assemble(left, " " * space, right)


def _rows(value: object) -> list[Row]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, Iterable) else []
