"""Writes `docs/reference.md`: the help of every command, as the program prints it.

python -m docs.reference           writes the page anew
python -m docs.reference --check   says whether it is current; exit 1 when it is not
"""  # noqa: INP001 - a folder of documents, run from the top of the repository

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from daemon.cli.program import build

PAGE = Path(__file__).with_name("reference.md")
_WIDTH = 100
_HEAD = """# Command reference

The help of every command. What each is for, with the shape of its JSON: [commands](cli.md).

"""


def page() -> str:
    """Return the whole page."""
    program: Any = get_command(build())
    parts = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in helps(program, "holdfast")]
    return _HEAD + "\n".join(parts)


def helps(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    """Yield the name and the help of a command and of all below it."""
    context = command.make_context(
        name.rpartition(" ")[2],
        [],
        parent=parent,
        resilient_parsing=True,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
    )
    with context:
        yield name, command.get_help(context).strip()
    for word, below in getattr(command, "commands", {}).items():
        yield from helps(below, f"{name} {word}", context)


def main(arguments: list[str], target: Path = PAGE) -> int:
    """Write the page, or with `--check` compare it; return the exit code."""
    current = page()
    if "--check" in arguments:
        if not target.exists() or target.read_text(encoding="utf-8") != current:
            sys.stderr.write(f"{target.name} is not current: run make docs\n")
            return 1
        return 0
    target.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
