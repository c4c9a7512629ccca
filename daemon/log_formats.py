"""How a log line looks: as JSON, or for people."""

from datetime import datetime

import msgspec
import orjson
import structlog


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
    """Time, level, event, fields; colors where they are wanted."""

    def __init__(self, *, colors: bool) -> None:
        self._renderer = structlog.dev.ConsoleRenderer(
            colors=colors,
            force_colors=colors,
            sort_keys=False,
            timestamp_key="time",
            pad_event_to=28,
        )

    def render(self, line: Line) -> str:
        """Return the line, followed by an indented traceback where there is one."""
        record: dict[str, object] = {
            "time": _stamp(line.at),
            "level": line.level,
            "event": line.event,
            "logger": line.category,
        }
        record |= {name: value for name, value in line.fields.items() if name not in record}
        text = self._renderer(None, line.level, record)
        if line.exception:
            text += "\n" + "\n".join(f"    {part}" for part in line.exception.split("\n"))
        return text


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
