"""Lives of a daemon, each in virtual time of its own, on the files the one before left."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from runtime.virtual import run_virtual
from tests.actors.box import Box, later

Play = Callable[[Box], Coroutine[Any, Any, Any]]


@pytest.fixture
def perform(tmp_path: Path) -> Callable[..., Any]:
    """Run plays one after another, each with the daemon of a new process on the same directory.

    A play ends in good order, or as SIGKILL would where it calls `box.kill()`. Options are those of
    `Box`; `pause_s` passes between two lives.
    """

    def run(*plays: Play, pause_s: float = 1.0, **options: Any) -> Any:
        result = None
        for play in plays:

            async def main(play: Play = play) -> Any:
                box = Box(tmp_path, **options)
                try:
                    done = await play(box)
                    options["start"] = later(box, pause_s)
                    await box.stop()
                finally:
                    box.kill()
                return done

            result = run_virtual(main)
        return result

    return run
