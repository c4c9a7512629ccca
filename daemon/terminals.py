"""Whether a person sits at this process; imports nothing, because every start asks."""

import sys


def on_terminals() -> bool:
    """Whether stdin, stdout and stderr are terminals: a view reads one and draws on the others."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(stream is not None and stream.isatty() for stream in streams)
