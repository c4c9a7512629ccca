"""What every reader of a venue's frames checks: a stranger's text is believed in nothing.

Each check takes an object and a field of it, returns the value, and raises `BadFrameError` with
what is wrong. Who catches it says which frame it was.
"""

from typing import Any

MAX_STAMP_MS = 10**14  # the year 5138: beyond it a stamp is in other units or nonsense
_MAX_NUMBER_TEXT = 40  # longer than any price or size a venue prints
_MAX_EXCERPT = 60


class BadFrameError(Exception):
    """Says what is wrong with a frame; never leaves the reader."""


def positive(data: dict[str, Any], field: str) -> str:
    """Return a price or quantity as the venue wrote it.

    Plain digits only: `float` and `Decimal` would also take "1_0", " 1 ", "1e9" and digits of other
    scripts.
    """
    text = data.get(field)
    if (
        type(text) is str
        and len(text) <= _MAX_NUMBER_TEXT
        and text.isascii()
        and text.replace(".", "", 1).isdigit()
        and float(text) > 0
    ):
        return text
    raise BadFrameError(f"{field} is {excerpt(text)}, not a decimal above zero")


def excerpt(value: object) -> str:
    """Print a stranger's value, short enough for a log line."""
    if isinstance(value, dict | list):  # not by repr: nested deep, it would overflow the stack
        return "a list" if isinstance(value, list) else "a JSON object"
    if isinstance(value, bytes | str):
        value = value[: _MAX_EXCERPT + 1]
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= _MAX_EXCERPT else text[:_MAX_EXCERPT] + "…"
