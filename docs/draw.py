"""Draws the state diagrams in `docs/architecture.md` from the transition tables.

The tables in `domain` are the truth; what stands between a diagram's two markers is written by
this file and by nobody else:

    python -m docs.draw           writes the diagrams anew
    python -m docs.draw --check   says whether they are current; exit 1 when they are not
"""  # noqa: INP001 - a folder of documents, run from the top of the repository

import sys
from collections.abc import Collection, Mapping
from enum import Enum
from pathlib import Path
from typing import TypeVar

from domain import order, position

S = TypeVar("S", bound=Enum)
PAGE = Path(__file__).with_name("architecture.md")
_BEGIN, _END = "<!-- {name}:begin -->", "<!-- {name}:end -->"


class MarkerError(ValueError):
    """A page lacks the markers of a part, or has them in the wrong order."""


def diagrams() -> dict[str, str]:
    """Return every diagram by the name in its markers."""
    return {
        # An order is intended; one that the venue knows and the journal lacks is adopted.
        "order-states": diagram(
            order.TRANSITIONS,
            begins=(order.OrderStatus.INTENT, order.OrderStatus.UNKNOWN),
            ends=order.TERMINAL,
        ),
        "position-states": diagram(
            position.TRANSITIONS,
            begins=(position.PositionStatus.ENTRY_PENDING,),
            ends=position.CLOSED_STATUSES,
        ),
    }


def diagram(table: Mapping[S, Collection[S]], *, begins: Collection[S], ends: Collection[S]) -> str:
    """Return a transition table as a Mermaid state diagram, in the order of the states."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state.name}" for state in begins]
    for state, following in table.items():
        lines += [f"    {state.name} --> {after.name}" for after in table if after in following]
    lines += [f"    {state.name} --> [*]" for state in table if state in ends]
    return "\n".join(["```mermaid", *lines, "```"])


def drawn(page: str) -> str:
    """Return a page's text with all diagrams as the tables say. Raises `MarkerError`."""
    return replaced(page, diagrams())


def replaced(page: str, parts: Mapping[str, str]) -> str:
    """Return a page's text with what stands between each part's markers as given.

    Raises `MarkerError`.
    """
    for name, text in parts.items():
        begin, end = _BEGIN.format(name=name), _END.format(name=name)
        before, found_begin, rest = page.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found_begin and found_end):
            message = f"the page has no {begin} … {end}"
            raise MarkerError(message)
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def main(arguments: list[str], page: Path = PAGE) -> int:
    """Write the diagrams, or with `--check` compare them; return the exit code."""
    text = page.read_text(encoding="utf-8")
    current = drawn(text)
    if "--check" in arguments:
        if text != current:
            sys.stderr.write(f"{page.name} shows old transitions: run python -m docs.draw\n")
            return 1
        return 0
    page.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
