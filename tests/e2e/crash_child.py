"""A daemon with a trap in it.

python -m tests.e2e.crash_child LABEL VENUE SKIP MARK run --config FILE
"""

import sys
from pathlib import Path

from daemon.cli import main as holdfast
from tests.e2e.crash_points import POINTS
from tests.e2e.crash_trap import Trap


def main() -> None:
    label, venue, skip, mark, *command = sys.argv[1:]
    POINTS[label].install(Trap(Path(mark), venue, int(skip)))
    sys.argv = ["holdfast", *command]
    holdfast()


if __name__ == "__main__":
    main()
