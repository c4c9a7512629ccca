"""`holdfast run`: the daemon in the foreground."""

import gc
import sys

import typer

from daemon.cli.console import fail
from daemon.cli.link import ConfigOption, fail_config
from daemon.config import load
from daemon.config_file import ConfigError, find
from daemon.errors import StartError
from domain.errors import Refusal


def run(*, config: ConfigOption = None) -> None:
    """Run the daemon until it is drained or told to stop.

    \b
    holdfast run
    holdfast run --config mine.yaml

    SIGTERM or Ctrl-C drains it; a second signal forces. Positions stay, and are guarded again at
    the next start.
    """  # noqa: D301 - \b keeps the lines of the examples
    gc.disable()  # until every level is armed: see `daemon.lifecycle`
    try:
        loaded = load(find(config))
        if loaded.config.market.source == "recorded":
            message = f"The market of {loaded.file.path} is a recording."
            remedy = "Play it with holdfast replay FILE, or set market.source."
            fail(Refusal("MARKET_IS_RECORDED", message, remedy))
        _import_structlog_without_rich()
        from daemon.lifecycle import run_daemon  # noqa: PLC0415 - everything there is

        code = run_daemon(loaded)
    except ConfigError as error:
        fail_config(error)
    except StartError as error:
        fail(error.refusal)
    raise typer.Exit(code)


def _import_structlog_without_rich() -> None:
    """Save a tenth of the time to armed levels.

    Structlog wants rich for tracebacks ours never draws.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401, PLC0415
    finally:
        del sys.modules["rich"]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("run")(run)
