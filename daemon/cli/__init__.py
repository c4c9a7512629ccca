"""The command line: `holdfast`. One file a concern; `program.py` knows which command is where."""

from daemon.cli.program import main

__all__ = ["main"]
