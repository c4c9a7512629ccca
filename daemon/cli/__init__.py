"""The command line: `holdfast`. One file a concern; `program.py` knows which command is where."""

import gc
import os
import sys
from pathlib import Path

from daemon.terminals import on_terminals

_CONFIG = "HOLDFAST_CONFIG"
_PLAIN = "--no-watch"


def main() -> None:
    """Run the command line; a plain `run` that nobody watches goes straight to the daemon."""
    arguments = [one for one in sys.argv[1:] if one != _PLAIN]
    is_plain = _PLAIN in sys.argv or not on_terminals()
    match arguments:
        case ["run"] if is_plain:
            config = Path(os.environ[_CONFIG]) if os.environ.get(_CONFIG) else None
        case ["run", "--config", path] if is_plain and not path.startswith("-"):
            config = Path(path)
        case _:
            from daemon.cli.program import main as program  # noqa: PLC0415 - typer takes its time

            program()
            return
    gc.disable()  # until every level is armed: see `daemon.lifecycle`
    from daemon.foreground import run  # noqa: PLC0415

    sys.exit(run(config))
