"""`holdfast run`: the daemon in the foreground."""

import typer

from daemon.cli.link import ConfigOption
from daemon.foreground import run as run_in_foreground


def run(*, config: ConfigOption = None) -> None:
    """Run the daemon until it is drained or told to stop.

    \b
    holdfast run
    holdfast run --config mine.yaml

    SIGTERM or Ctrl-C drains it; a second signal forces. Positions stay, and are guarded again at
    the next start.
    """  # noqa: D301 - \b keeps the lines of the examples
    raise typer.Exit(run_in_foreground(config))


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("run")(run)
