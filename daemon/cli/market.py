"""Commands that play recorded frames: over a websocket, or through the actors in virtual time."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.cells import said, text
from daemon.cli.console import Column, clean, fail, print_json, print_pairs, print_table, say
from daemon.cli.link import ConfigOption, JsonOption, fail_config
from daemon.config import load
from daemon.config_file import ConfigError, ConfigFile, Use, shipped
from daemon.words import short_number, signed_number
from domain.errors import Refusal
from exchanges.recording import RecordingError

FilesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Recorded frames, plain or .gz; merged by their times."),
]


def serve_recorded(
    files: FilesArgument,
    *,
    speed: Annotated[
        float, typer.Option(metavar="TIMES", help="10 is ten times as fast, 0 as fast as possible.")
    ] = 1.0,
    hold: Annotated[
        bool, typer.Option("--hold", help="Play the opening only; then wait for GET /release.")
    ] = False,
    host: Annotated[str, typer.Option(metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="0 takes a free one.")] = 9100,
) -> None:
    """Serve recorded frames as the venue would.

    On a websocket of this machine.

    \b
    holdfast serve-recorded usdm_btcusdt.gz --speed 5
    then, in a configuration:  market: {source: binance, url: "ws://127.0.0.1:9100", …}
    or, where the frames are OKX's:  source: okx
    """  # noqa: D301
    from exchanges.recorded_server import serve_recorded as serve  # noqa: PLC0415 - websockets

    def ready(url: str) -> None:
        say(f"serving {url}")
        if hold:
            say(f"held; release with: curl {url.replace('ws', 'http', 1)}/release")

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await serve(files, host=host, port=port, speed=speed, hold=hold, on_ready=ready, stop=stop)

    try:
        asyncio.run(run())
    except RecordingError as error:
        fail(_bad_recording(error))
    except ValueError as error:
        fail(Refusal("INVALID_SPEED", f"{error}.", "Give 0 or more."))
    except OSError as error:
        why = error.strerror or str(error)
        remedy = "Give another --port; 0 takes a free one."
        fail(Refusal("PORT_UNUSABLE", f"Nothing can listen at {host}:{port}: {why}.", remedy))


def replay(
    files: FilesArgument,
    *,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="For slippage and latency.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the very same actors on recorded frames.

    In virtual time, with a fresh temporary database.

    \b
    holdfast replay usdm_btcusdt.gz --json
    holdfast replay usdm_btcusdt.gz --config mine.yaml --seed 7
    """  # noqa: D301
    file = ConfigFile(config) if config else shipped("replay.yaml")
    try:
        loaded = load(file, Use.RUN)
        from daemon.replay import replay as run  # noqa: PLC0415 - all actors

        report = run(files, loaded, seed=seed)
    except ConfigError as error:
        fail_config(error)
    except RecordingError as error:
        fail(_bad_recording(error))
    if as_json:
        print_json(report)
    else:
        _print_report(report)


def _print_report(report: dict[str, object]) -> None:
    exits = report.get("exits")
    columns = [
        Column("POSITION", lambda row: clean(row.get("position"))[:8]),
        Column("REASON", said("reason")),
        Column("FRAME", text("frame"), right=True),
        Column("PRICE", lambda row: short_number(row.get("price")), right=True),
    ]
    print_table(columns, exits if isinstance(exits, list | tuple) else [], empty="no exits")
    names = ("frames", "ticks", "positions_opened", "positions_closed")
    print_pairs(
        [
            *((name.replace("_", " "), clean(report.get(name))) for name in names),
            ("pnl", signed_number(report.get("pnl"))),
            ("journal hash", clean(report.get("journal_hash"))),
        ]
    )


def _bad_recording(error: RecordingError) -> Refusal:
    remedy = "Give files with one frame a line: <receive time, ns> <raw JSON>."
    return Refusal("INVALID_RECORDING", f"{error}.", remedy)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("serve-recorded")(serve_recorded)
    app.command("replay")(replay)
