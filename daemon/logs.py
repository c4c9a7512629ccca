"""Structured logs: one event, its fields, one line; JSON in service, colors on a terminal.

Everybody says `structlog.get_logger("trade.execution").info("order_filled", client_order_id=…)`;
the name is the category. `Logs` decides what becomes of it: where it goes and how it looks.

What strangers wrote (venue texts, admin lines) cannot forge a line: control characters are escaped
in every value, whatever the format. Secrets are masked by the name of their field and wherever
their text turns up. A log that cannot be written loses lines, and says how many; it stops nobody.
"""

import contextlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TextIO

import msgspec
import structlog

from daemon.log_formats import ConsoleLines, JsonLines, Line
from daemon.recent import Recent
from domain.money import plain

Format = Literal["auto", "json", "console"]

_MAX_TEXT = 4_000  # characters of one value
_MAX_DEPTH = 5
_MAX_INT = 2**53  # the largest that every reader of JSON gets right
_MASK = "****"
# C0 and C1 controls, line separators, bidirectional overrides, lone surrogates.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SECRET_NAME = re.compile(
    r"api_?key|secret|passw|passphrase|token|authorization|private_?key", re.IGNORECASE
)

_JSON = JsonLines()
_LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}


class Logs:
    """The log of one process, from `start` to `close`."""

    def __init__(
        self,
        *,
        level: str = "info",
        format: Format = "auto",  # noqa: A002 - the configuration's word
        file: Path | None = None,
        stream: TextIO | None = None,
    ) -> None:
        """Write to `stream` (stderr) as `format` says, and to `file` as JSON.

        `recent` keeps the last events from INFO on, whatever the level.

        Raises `OSError` when the file cannot be opened.
        """
        stream = stream or sys.stderr
        on_terminal = stream.isatty()
        console = format == "console" or (format == "auto" and on_terminal)
        colors = on_terminal and not os.environ.get("NO_COLOR")
        first = ConsoleLines(colors=colors, width=lambda: _columns(stream)) if console else _JSON
        self.recent = Recent()
        least = logging.getLevelNamesMapping()[level.upper()]
        self._level = min(least, logging.INFO)
        self._outputs: list[_Output | Recent] = [_Output(stream, first, least), self.recent]
        self._safe = _Safe()
        self._handler = _FromLibraries()
        self._path, self._file = file, None if file is None else _opened(file)
        self._kept = None if self._file is None else _Output(self._file, _JSON, least)
        if self._kept is not None:
            self._outputs.append(self._kept)

    def set_level(self, level: str) -> None:
        """Say from this level on, from the next line on."""
        self._level = logging.getLevelNamesMapping()[level.upper()]
        self._configure()

    def start(self) -> None:
        """Take in what is said through structlog, and by libraries through `logging` (WARNING)."""
        self._configure()
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(logging.WARNING)

    def _configure(self) -> None:
        structlog.configure(
            processors=[self._line],
            wrapper_class=structlog.make_filtering_bound_logger(self._level),
            logger_factory=self._logger,
            cache_logger_on_first_use=False,  # loggers outlive this log in tests and drills
        )

    def mask(self, *secrets: str) -> None:
        """Never print these texts, wherever they turn up."""
        self._safe.secrets += tuple(secret for secret in secrets if secret)

    def reopen(self) -> None:
        """Open the file by its name anew, for who rotates logs has renamed it.

        Raises `OSError` when it cannot be opened; what is open stays then.
        """
        if self._path is None or self._file is None or self._kept is None:
            return
        old, self._file = self._file, _opened(self._path)
        self._kept.move_to(self._file)
        with contextlib.suppress(OSError):
            old.close()

    def close(self) -> None:
        """Let go of structlog, of the libraries and of the file."""
        logging.getLogger().removeHandler(self._handler)
        structlog.reset_defaults()
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk: that lines are missing was said
                self._file.close()
            self._file = None

    def _logger(self, *names: object) -> "_Category":
        return _Category(str(names[0]) if names else "system", self._outputs)

    def _line(
        self, logger: "_Category", level: str, event: MutableMapping[str, Any]
    ) -> tuple[tuple[Line], dict[str, object]]:
        said = self._safe.text(str(event.pop("event", "")))
        exception = self._safe.traceback(event.pop("exc_info", None))
        failed = logger.name == "system" and level in {"error", "critical"}
        line = Line(
            level=level,
            category="system.error" if failed else logger.name,
            event=said,
            fields={name: self._safe.field(name, value) for name, value in event.items()},
            at=datetime.now(UTC),
            exception=exception,
        )
        return (line,), {}


def _columns(stream: TextIO) -> int:
    """Return the width of a terminal as it is now; 0 for what is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


class _Safe:
    """Makes any value printable: plain types, no control characters, no secrets."""

    def __init__(self) -> None:
        self.secrets: tuple[str, ...] = ()

    def traceback(self, exc_info: object) -> str:
        if isinstance(exc_info, tuple):
            exc_info = exc_info[1]
        error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
        if not exc_info or error is None:
            return ""
        text = "".join(traceback.format_exception(error)).rstrip("\n")
        return "\n".join(self.text(part) for part in text.split("\n"))

    def field(self, name: str, value: object, depth: int = 0) -> object:
        if _SECRET_NAME.search(name):
            return _MASK
        return self.value(value, depth)

    def value(self, value: object, depth: int = 0) -> object:
        if isinstance(value, int) and abs(value) >= _MAX_INT:
            return str(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Decimal):
            return plain(value) if value.is_finite() else str(value)
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, Enum):
            return self.value(value.value, depth)
        if isinstance(value, msgspec.Struct):
            return self.value(msgspec.to_builtins(value, enc_hook=str), depth)
        if depth < _MAX_DEPTH and isinstance(value, Mapping):
            return {
                self.text(str(name)): self.field(str(name), item, depth + 1)
                for name, item in value.items()
            }
        if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth + 1) for item in value]
        if isinstance(value, BaseException):
            return self.text(f"{type(value).__name__}: {value}")
        return self.text(str(value))

    def text(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, _MASK)
        if len(text) > _MAX_TEXT:
            text = text[:_MAX_TEXT] + "…"
        return _UNSAFE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"  # noqa: PLR2004 - one byte or two


class _Category:
    """What structlog hands finished lines to; its name is the category."""

    def __init__(self, name: str, outputs: "list[_Output | Recent]") -> None:
        self.name = name
        self._outputs = outputs

    def info(self, line: Line) -> None:
        for output in self._outputs:
            output.write(line)

    debug = warning = error = critical = exception = msg = info


class _Output:
    """A stream that may fail, and how lines look on it."""

    def __init__(self, stream: TextIO, lines: JsonLines | ConsoleLines, least: int) -> None:
        self._stream = stream
        self._lines = lines
        self._least = least  # level
        self._lost = 0  # since the last line that was written

    def move_to(self, stream: TextIO) -> None:
        """Write there from now on."""
        self._stream = stream

    def write(self, line: Line) -> None:
        if _LEVELS[line.level] < self._least:
            return
        text = self._lines.render(line) + "\n"
        if self._lost:
            text = self._lines.render(_lines_lost(self._lost, line.at)) + "\n" + text
        try:
            self._stream.write(text)
            self._stream.flush()
            self._lost = 0
        except (OSError, ValueError):  # full disk, closed pipe, closed stream
            self._lost += 1


def _opened(file: Path) -> TextIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    # A pipe that nobody reads is an error so, instead of a wait in which nothing is guarded.
    descriptor = os.open(file, flags | os.O_NONBLOCK, 0o600)
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "a", encoding="utf-8")


def _lines_lost(count: int, at: datetime) -> Line:
    return Line("warning", "system", "log_lines_lost", {"lines": count}, at)


class _FromLibraries(logging.Handler):
    """Turns a library's record into an event of ours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._log = structlog.get_logger("system")

    def emit(self, record: logging.LogRecord) -> None:
        say = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        exc_info = record.exc_info[1] if record.exc_info else None
        say(_message(record), exc_info=exc_info, library=record.name)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # the library's arguments do not fit its own text
        return str(record.msg)
