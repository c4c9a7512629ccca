"""What is nested in an answer, and what several pages show of it."""

from collections.abc import Mapping

import msgspec

from daemon.cli.console import Row, clean


def mapping_of(value: object) -> Mapping[str, object]:
    """Return a nested object; an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[dict[str, object]]:
    """Return a nested list of objects; an empty one where there is none."""
    return msgspec.convert(value or [], list[dict[str, object]])


def causes_of(answer: Row) -> list[tuple[str, str]]:
    """Return the lines that say why the mode is what it is."""
    return [
        ("because", f"{clean(cause.get('message'))} {clean(cause.get('way_out'))}")
        for cause in list_of(answer.get("causes"))
    ]
