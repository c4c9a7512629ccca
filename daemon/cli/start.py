"""`holdfast run`: the daemon in the foreground, or a view of it where somebody looks."""

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.link import ConfigOption
from daemon.config import Loaded
from daemon.config_file import ConfigError
from daemon.errors import StartError
from daemon.foreground import fail_start, loaded_for_run
from daemon.foreground import run as run_in_foreground
from daemon.terminals import on_terminals


def run(
    *,
    config: ConfigOption = None,
    watch: Annotated[
        bool | None,
        typer.Option(
            "--watch/--no-watch",
            help="Show the live view; the daemon is a process of its own then.  "
            "[default: on a terminal, if log.format is auto]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the daemon until it is drained or told to stop.

    \b
    holdfast run
    holdfast run --no-watch
    holdfast run --config mine.yaml

    SIGTERM or Ctrl-C drains it; a second signal forces. Positions stay, and are guarded again at
    the next start. From the live view q stops it, too, or leaves it running.
    """  # noqa: D301 - \b keeps the lines of the examples
    if watch and not on_terminals():
        from daemon.cli.watch import fail_without_terminal  # noqa: PLC0415

        fail_without_terminal("Run it in one, or without --watch.")
    if watch is False or not on_terminals():
        raise typer.Exit(run_in_foreground(config))
    try:
        loaded = loaded_for_run(config)
        if watch or loaded.config.log.format == "auto":
            raise typer.Exit(_attended(config, loaded))
    except (ConfigError, StartError) as error:
        fail_start(error)
    raise typer.Exit(run_in_foreground(config))


def _attended(config: Path | None, loaded: Loaded) -> int:
    from daemon.cli.attended import run_attended  # noqa: PLC0415 - only where somebody looks

    return run_attended(config, loaded)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("run")(run)
