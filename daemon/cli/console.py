"""How commands speak: tables, JSON, one clear line for an error, and its exit code.

On a terminal tables have colors and fit its width, the least important columns going first; into a
pipe they are plain text with every column. rich is imported only to draw on a terminal. Text that
came from elsewhere is printed without its control characters.
"""

import contextlib
import io
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn, TextIO

import msgspec
import typer

from domain.errors import Refusal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

Row = Mapping[str, object]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_GAP = "  "
_NARROWEST = 20  # columns to fold text into
_FOLDED = 36  # columns that a sentence in a table has at least, before others leave for it
ALWAYS = 9


class Exit(IntEnum):
    """What a shell sees."""

    OK = 0
    REFUSED = 1  # refused or failed; nothing changed
    USAGE = 2
    UNREACHABLE = 3  # no daemon; nothing was sent
    UNKNOWN = 4  # the answer was lost; look before asking again


class Column(msgspec.Struct, frozen=True):
    """One column of a table."""

    title: str
    text: Callable[[Row], str]
    right: bool = False
    keep: int = ALWAYS  # columns with a lower number leave a narrow terminal first
    style: Callable[[Row], str] | None = None
    folds: bool = False  # a sentence: on a terminal it takes several lines where it must


def clean(value: object) -> str:
    """Return text that cannot move the cursor; "-" for what is not known."""
    return "-" if value is None else _CONTROL.sub("?", str(value))


class _Deeds:
    """Whether this command has changed something by now."""

    done = False


def begin() -> None:
    """Nothing has been changed yet."""
    _Deeds.done = False


def changed() -> None:
    """Something has been: who cannot be told so must not take it for a failure."""
    _Deeds.done = True


def is_asked() -> bool:
    """Whether somebody sits there who can answer."""
    return sys.stdin is not None and sys.stdin.isatty()


def put(text: str, *, nl: bool = True) -> None:
    """Print to stdout. Ends the command where that is full or gone."""
    try:
        typer.echo(text, nl=nl)
    except OSError as error:
        _leave_untold(error)


def _leave_untold(error: OSError) -> NoReturn:
    with contextlib.suppress(OSError, ValueError):  # what is left in its buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    why = f"The answer could not be printed: {error.strerror or error}."
    if _Deeds.done:
        remedy = "It was taken; look before you ask again: holdfast status."
        fail(Refusal("OUTPUT_FAILED", why, remedy), Exit.UNKNOWN)
    if isinstance(error, BrokenPipeError):  # whoever reads has read enough
        raise typer.Exit(Exit.REFUSED)
    fail(Refusal("OUTPUT_FAILED", why, "Make room, or print it elsewhere."))


def say(text: str, *, indent: str = "  ") -> None:
    """Print a line; a terminal gets it folded at spaces, its further lines indented."""
    for line in _folded(_CONTROL.sub("?", text), indent, sys.stdout):
        put(line)


def _folded(text: str, indent: str, stream: TextIO | None) -> list[str]:
    width = shutil.get_terminal_size().columns if stream is not None and stream.isatty() else 0
    if width <= len(indent) + _NARROWEST:
        return [text]
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [text]


def printed(show: Callable[[], None]) -> str:
    """Return what `show` prints into a pipe."""
    page = io.StringIO()
    with contextlib.redirect_stdout(page):
        show()
    return page.getvalue()


def print_json(value: object) -> None:
    """Print an object, exactly; what is not ASCII as an escape, so that a terminal obeys none."""
    put(json.dumps(value, indent=2))


def fail(refusal: Refusal, code: Exit = Exit.REFUSED) -> NoReturn:
    """Print an error and end the command."""
    complain(f"error {refusal.rule}: {refusal.message}")
    if refusal.remedy:
        complain(f"→ {refusal.remedy}")
    raise typer.Exit(code)


def complain(text: str) -> None:
    """Print a line of an error; a terminal gets it folded."""
    for line in _folded(_CONTROL.sub(" ", text), "  ", sys.stderr):
        with contextlib.suppress(OSError):  # the exit code must tell it, then
            typer.echo(line, err=True)


def on_terminal() -> bool:
    """Whether somebody looks at stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def print_table(columns: Sequence[Column], rows: Iterable[Row], *, empty: str) -> None:
    """Print rows; `empty` when there are none."""
    listed = list(rows)
    if not listed:
        say(empty)
    elif on_terminal():
        console = _console()
        console.print(_fitting(console, columns, listed))
    else:
        _print_plain(columns, listed)


@contextlib.contextmanager
def live_table(
    columns: Sequence[Column], rows: Callable[[], list[Row]]
) -> Iterator[Callable[[], None]]:
    """Draw a table on a terminal that changes in place: call what is yielded when it has."""
    from rich.live import Live  # noqa: PLC0415

    console = _console()
    with Live(_fitting(console, columns, rows()), console=console, auto_refresh=False) as live:
        yield lambda: live.update(_fitting(console, columns, rows()), refresh=True)


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print what is known of one thing: a label and a value a line."""
    listed = [(label, text) for label, text in pairs if text]
    width = max((len(label) for label, _ in listed), default=0)
    for label, text in listed:
        say(f"{label:<{width}}{_GAP}{text}", indent=" " * (width + len(_GAP)))


def print_heading(text: str) -> None:
    """Print the title of a section."""
    if on_terminal() and not os.environ.get("NO_COLOR"):
        put("\n" + typer.style(text, bold=True))
    else:
        put("\n" + text)


def _print_plain(columns: Sequence[Column], rows: list[Row]) -> None:
    cells = [[column.title for column in columns]]
    cells += [[clean(column.text(row)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        padded = (
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        )
        put(_GAP.join(padded).rstrip())


def _console() -> "Console":
    from rich.console import Console  # noqa: PLC0415 - 60 ms, only to draw

    return Console(highlight=False)


def _fitting(console: "Console", columns: Sequence[Column], rows: list[Row]) -> "RichTable":
    """Return a table that fits, without the columns that do not."""
    from rich.measure import Measurement  # noqa: PLC0415

    kept = list(columns)
    while True:
        table = _rich_table(kept, rows, _FOLDED)
        needed = Measurement.get(console, console.options.update(width=10_000), table).maximum
        droppable = [column for column in kept if column.keep < ALWAYS]
        if needed <= console.width or not droppable:
            return _rich_table(kept, rows)
        kept.remove(min(droppable, key=lambda column: column.keep))


def _rich_table(
    columns: Sequence[Column], rows: list[Row], folded: int | None = None
) -> "RichTable":
    """Return a table; sentences at most `folded` wide."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
        header_style="bold",
    )
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
            max_width=folded if column.folds else None,
        )
    for row in rows:
        table.add_row(
            *(
                Text(clean(column.text(row)), style=column.style(row) if column.style else "")
                for column in columns
            )
        )
    return table
