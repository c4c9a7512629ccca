"""`holdfast record`: the frames of the configured stream into a file."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from daemon.cli.console import fail, print_json, say
from daemon.cli.link import ConfigOption, JsonOption, fail_config
from daemon.config import load
from daemon.config_file import ConfigError, find
from daemon.config_models import Config
from daemon.errors import StartError
from daemon.logs import Logs
from daemon.record import Progress, Recorded, watching
from daemon.record import record as run
from domain.errors import Refusal
from exchanges.recording import begins_as_recording


def record(
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL", help="Such as BTC/USDT.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Compressed if it ends in .gz.")],
    *,
    seconds: Annotated[
        float | None, typer.Option(metavar="N", min=0.001, help="Stop after so long.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Stop after so many frames.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record the market's frames until a limit or Ctrl-C.

    From the stream that the configuration names; no daemon is needed, and none is disturbed.

    \b
    holdfast record BTC/USDT ETH/USDT today.gz --seconds 3600 --config real.yaml
    holdfast replay today.gz
    """  # noqa: D301
    try:
        wanted = watching(load(find(config)).config, symbols)
    except ConfigError as error:
        fail_config(error)
    except StartError as error:
        fail(error.refusal)
    _check_is_free(file, force=force)
    recorded = _recorded(wanted, file, frames, seconds)
    if recorded.frames == 0:
        file.unlink(missing_ok=True)
        why = f"Nothing was received in {recorded.seconds:.0f} s, so there is no {file}."
        fail(Refusal("NO_FRAMES", why, "Check the network, market.url and the symbols."))
    if as_json:
        print_json(msgspec.to_builtins(recorded))
    else:
        took = f"{recorded.seconds:.1f} s, {recorded.bytes:,} bytes"
        say(f"{recorded.file}: {recorded.frames:,} frames in {took}")


def _check_is_free(file: Path, *, force: bool) -> None:
    """Refuse what is there already; even by force nothing but a recording is replaced."""
    if not os.path.lexists(file):
        return
    if not force:
        fail(Refusal("FILE_EXISTS", f"{file} is there already.", "Name another, or add --force."))
    if file.is_file() and not begins_as_recording(file):
        why = f"{file} is there already, and it is no recording: --force replaces nothing else."
        fail(Refusal("NOT_A_RECORDING", why, "Name another file."))


def _recorded(config: Config, file: Path, frames: int | None, seconds: float | None) -> Recorded:
    logs = Logs(level="warning", format="console")
    logs.start()
    watched = sys.stderr.isatty()

    async def until_told() -> Recorded:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        return await run(
            config,
            file,
            stop=stop,
            frames=frames,
            seconds=seconds,
            on_progress=_show if watched else lambda _: None,
        )

    try:
        return asyncio.run(until_told())
    except ValueError as error:
        fail(Refusal("NOT_STREAMABLE", f"{error}.", "Name fewer symbols."))
    except OSError as error:
        why = f"{file} cannot be written: {error.strerror or error}."
        fail(Refusal("FILE_UNUSABLE", why, "Make room, or choose another place."))
    finally:
        if watched:
            typer.echo("", err=True)
        logs.close()


def _show(progress: Progress) -> None:
    state = "" if progress.connected else ", not connected"
    text = f"{progress.frames:,} frames, {progress.seconds:.0f} s{state}; Ctrl-C ends it"
    typer.echo(f"\r\x1b[K{text}", nl=False, err=True)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("record")(record)
