"""Run the tests of the core and print which of its lines and branches they do not take.

    python -m tests.covered

The exit code is 0 if there are none. What the core is and where its tests are:
`tests/mutating/core.py`.
"""

import sys

import coverage
import pytest

from tests.mutating.core import CORE, path_of


def main() -> int:
    """Run from the command line."""
    watch = coverage.Coverage(data_file=None)
    watch.start()
    tests = sorted({path for paths in CORE.values() for path in paths})
    rewritten = "ignore::pytest.PytestAssertRewriteWarning"  # hypothesis is imported already
    failed = pytest.main(["-q", "-W", rewritten, *tests])
    watch.stop()
    taken = watch.report(include=[path_of(module) for module in CORE], show_missing=True)
    return int(failed) or int(taken < 100)


if __name__ == "__main__":
    sys.exit(main())
