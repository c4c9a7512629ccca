"""What must be true of every simulated day."""

from daemon.simulation.day import run
from daemon.simulation.plan import TRADERS, planned


def lives_through(seed):
    """Run the day of a seed; fail unless everything held, and enough happened to be worth it."""
    result = run(planned(seed))
    assert not result.violations
    assert result.faults >= 200
    assert result.least >= 5  # positions of each of three traders
    assert result.positions >= 5 * len(TRADERS)
