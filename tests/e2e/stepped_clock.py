"""Runs a command with a wall clock that a file sets: `stepped_clock.py OFFSET_FILE COMMAND …`.

The file has the seconds by which the wall clock is off; durations do not notice. Only what the
program itself asks its clock is off, which is everything that it decides by.
"""

import runpy
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runtime.clocks import SystemClock


def main() -> None:
    offset = Path(sys.argv[1])

    def now(self: SystemClock) -> datetime:
        del self
        return datetime.now(UTC) + timedelta(seconds=float(offset.read_text()))

    SystemClock.now = now  # type: ignore[method-assign]
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
