"""More days of bad luck, in a file of their own so that two processes share the work."""

import pytest

from tests.daemon.simulation.whole_day import lives_through

# A crash drops what was about to begin: coroutines that nobody will await.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("seed", range(25, 50))
def test_whatever_happens_in_a_day_what_must_hold_holds(seed):
    lives_through(seed)
