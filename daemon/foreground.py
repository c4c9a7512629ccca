"""`holdfast run` without the command line's machinery: from configuration to exit code.

After kill -9 every millisecond counts until the levels are armed again. So what a start does not
need (the command line's parser, rich) is not imported.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from daemon.config import Loaded, load
from daemon.config_file import ConfigError, Use, find
from daemon.errors import StartError
from domain.errors import Refusal


def run(config: Path | None) -> int:
    """Run the daemon until it is told to stop; a start that fails says why and exits."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would search all packages
    try:
        loaded = loaded_for_run(config)
        _import_structlog_without_rich()
        from daemon.lifecycle import run_daemon  # noqa: PLC0415 - everything there is

        return run_daemon(loaded)
    except ConfigError as error:
        fail_start(error)
    except StartError as error:
        fail_start(error)


def loaded_for_run(config: Path | None) -> Loaded:
    """Return what the daemon is to run with. Raises `ConfigError` and `StartError`."""
    loaded = load(find(config), Use.RUN)
    if loaded.config.market.source == "recorded":
        message = f"The market of {loaded.file.path} is a recording."
        remedy = "Play it with holdfast replay FILE, or set market.source."
        raise StartError(Refusal("MARKET_IS_RECORDED", message, remedy))
    return loaded


def fail_start(error: ConfigError | StartError) -> NoReturn:
    """Say why nothing was started, and exit."""
    import typer  # noqa: PLC0415 - only when something is wrong

    from daemon.cli.console import fail  # noqa: PLC0415
    from daemon.cli.link import fail_config  # noqa: PLC0415

    try:
        if isinstance(error, ConfigError):
            fail_config(error)
        fail(error.refusal)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)


def _import_structlog_without_rich() -> None:
    """Keep structlog from importing rich for tracebacks that our log never draws."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401, PLC0415
    finally:
        del sys.modules["rich"]
