"""A terminal that may vanish while it is drawn on.

When a window is closed, writing to it fails; Textual's writer would die of that, and its end would
wait for the writer for ever. Here what nobody can see is dropped, and the view ends as told.
"""

from typing import Any, TextIO, cast

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver


class _Vanishing:
    """A stream whose failures are nobody's concern any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            return

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()


class VanishingTerminal(LinuxDriver):
    """Textual's driver for a terminal, on such a stream."""

    def __init__(
        self,
        app: App[Any],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = cast("Any", _Vanishing(cast("TextIO", self._file)))
