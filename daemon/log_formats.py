"""How a log line looks: as JSON, or for people."""

from collections.abc import Callable
from datetime import datetime
from textwrap import wrap

import msgspec
import orjson

from daemon.log_words import in_words

_INDENT = " " * 10  # the time and its gap
_NARROWEST = 30  # columns for words; below, lines are left as they are
_LEVELS = {"debug": "debug: ", "warning": "warning: ", "error": "ERROR: ", "critical": "CRITICAL: "}
_RESET, _BOLD, _DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
_RED, _GREEN, _YELLOW, _CYAN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"
_LEVEL_STYLES = {
    "debug": _DIM,
    "warning": _BOLD + _YELLOW,
    "error": _BOLD + _RED,
    "critical": _BOLD + _RED,
}
_STYLES = {
    "decision": _CYAN,
    "position_filled": _BOLD,
    "ready": _BOLD,
    "entry_reserved": _DIM,
    "order_sent": _DIM,
    "admin_request": _DIM,
    "entry_refused": _DIM,
}


class Line(msgspec.Struct, frozen=True):
    """One event before it is rendered; every value is already safe to print."""

    level: str
    category: str  # trade.intent, trade.execution, market.data, system, system.error
    event: str
    fields: dict[str, object]
    at: datetime
    exception: str = ""


class JsonLines:
    """One JSON object a line."""

    def render(self, line: Line) -> str:
        """Return the line without its end."""
        record: dict[str, object] = {
            "time": _stamp(line.at),
            "level": line.level,
            "category": line.category,
            "event": line.event,
        }
        # A field never replaces one of the four.
        record |= {name: value for name, value in line.fields.items() if name not in record}
        if line.exception:
            record["exception"] = line.exception
        return orjson.dumps(record, default=str).decode()


class ConsoleLines:
    """Time (UTC) and what happened in words; colors where they are wanted, folded to the width."""

    def __init__(self, *, colors: bool, width: Callable[[], int] | None = None) -> None:
        """Remember how; `width` tells how many columns there are now, 0 for endless lines."""
        self._colors = colors
        self._width = width or (lambda: 0)

    def render(self, line: Line) -> str:
        """Return the line, followed by an indented traceback where there is one."""
        level = _LEVELS.get(line.level, "")
        said = level + in_words(line.event, line.fields)
        first, *rest = _folded(said, self._width() - len(_INDENT))
        if self._colors:
            first = self._colored(line, level, first)
        lines = [f"{self._dim(f'{line.at:%H:%M:%S}')}  {first}", *(_INDENT + one for one in rest)]
        if line.exception:
            lines += [f"    {part}" for part in line.exception.split("\n")]
        return "\n".join(lines)

    def _colored(self, line: Line, level: str, first: str) -> str:
        style = _STYLES.get(line.event, "")
        if line.event == "position_closed":
            style = _RED if str(line.fields.get("realized_pnl", "")).startswith("-") else _GREEN
        color = _LEVEL_STYLES.get(line.level)
        if color is not None:
            return f"{color}{level}{_RESET}{first.removeprefix(level)}"
        return f"{style}{first}{_RESET}" if style else first

    def _dim(self, text: str) -> str:
        return f"{_DIM}{text}{_RESET}" if self._colors else text


def _folded(text: str, width: int) -> list[str]:
    """Break at spaces; a word longer than a line stays whole, so that it can be copied."""
    if width < _NARROWEST:
        return [text]
    return wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
