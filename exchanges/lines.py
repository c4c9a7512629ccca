"""Several lines that make one stream: up when all of them are, down when one is."""

import asyncio
from collections.abc import Sequence

from exchanges.dialect import SinkT
from exchanges.line import Health, Line, Route
from exchanges.market import MarketSink
from exchanges.recording import Tap
from exchanges.session import Pace
from runtime.ports import Chance, Clock, Net


async def run_lines(
    ports: tuple[Net, Clock, Chance],
    routes: Sequence[Route[SinkT]],
    sink: SinkT,
    health: Health,
    tap: Tap | None = None,
) -> None:
    """Feed `sink` from all routes until canceled. Raises only what sink and health raise.

    `tap` sees every frame that is no answer, after the sink.
    """
    pace = Pace(ports[1], max(route.settings.connect_interval_s for route in routes))
    lines = [Line(ports, route, sink=sink, health=health, pace=pace, tap=tap) for route in routes]
    if len(lines) == 1:
        await lines[0].run()
    try:
        async with asyncio.TaskGroup() as group:
            for line in lines:
                group.create_task(line.run())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors


class MarketHealth:
    """Tells the sink of the first line lost and of the last one restored, each once."""

    def __init__(self, sink: MarketSink, lines: int) -> None:
        self._sink = sink
        self._lines = lines
        self._up: set[str] = set()
        self._told_down = False

    def on_up(self, url: str) -> None:
        """Tell it when this was the last one."""
        self._up.add(url)
        if len(self._up) == self._lines:
            self._told_down = False
            self._sink.on_connected()

    def on_down(self, url: str, why: str) -> None:
        """Tell it when this was the first one."""
        self._up.discard(url)
        if not self._told_down:
            self._told_down = True
            self._sink.on_disconnected(why)
