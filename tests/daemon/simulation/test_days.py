"""Days of bad luck, some in every run of the tests; `make simulate SEEDS=1000` runs more."""

from pathlib import Path

import pytest

from daemon.simulation.day import run
from daemon.simulation.plan import decode
from tests.daemon.simulation.whole_day import lives_through

# A crash drops what was about to begin: coroutines that nobody will await.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.json"))


@pytest.mark.parametrize("seed", [*range(25), 67])  # 67: a check that restarted in bad weather
def test_whatever_happens_in_a_day_what_must_hold_holds(seed):
    lives_through(seed)


@pytest.mark.parametrize("file", REGRESSIONS, ids=lambda file: file.stem)
def test_a_day_that_failed_once_does_not_fail_again(file):
    assert not run(decode(file.read_bytes())).violations
