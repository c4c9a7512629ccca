"""More days of bad luck, in a file of their own so that two processes share the work."""

import pytest

from daemon.simulation.day import run
from daemon.simulation.plan import planned

# A crash drops what was about to begin: coroutines that nobody will await.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("seed", range(12, 24))
def test_whatever_happens_in_a_day_what_must_hold_holds(seed):
    assert not run(planned(seed)).violations
