"""The command line: `holdfast`. One file a concern; `program.py` knows which command is where."""

import gc
import os
import sys
from pathlib import Path

_CONFIG = "HOLDFAST_CONFIG"


def main() -> None:
    """Run the command line; a plain `run` goes straight to the daemon."""
    match sys.argv[1:]:
        case ["run"]:
            config = Path(os.environ[_CONFIG]) if os.environ.get(_CONFIG) else None
        case ["run", "--config", path] if not path.startswith("-"):
            config = Path(path)
        case _:
            from daemon.cli.program import main as program  # noqa: PLC0415 - typer takes its time

            program()
            return
    gc.disable()  # until every level is armed: see `daemon.lifecycle`
    from daemon.foreground import run  # noqa: PLC0415

    sys.exit(run(config))
