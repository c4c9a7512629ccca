"""How much is done to a daemon that is killed, and how much time it has, by venue."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Scale:
    """Positions and people of one drill, and the times that are promised there."""

    workers: int
    calm: int  # positions of each worker that are far from their levels
    quick: int  # and that are about to be closed by one
    traders: tuple[str, ...]
    guarded_within_s: float  # of the first answer of a daemon that started
    settled_within_s: float  # longer than an order that was never sent takes to be proven absent
    fires_within_s: float  # of the price that is beyond a level, once the venue was asked
    pace_s: float = 0.0  # between two commands of a worker


PAPER_SCALE = Scale(
    workers=3,
    calm=10,
    quick=5,
    traders=("restless", "nervous", "cross"),
    guarded_within_s=2.0,
    settled_within_s=10.0,
    fires_within_s=0.7,
)
SANDBOX_SCALE = Scale(
    workers=2,
    calm=3,
    quick=3,
    traders=(),  # it is people who trade there: a trader would wait for candles
    guarded_within_s=5.0,  # a daemon that starts must ask the venue first
    settled_within_s=25.0,
    fires_within_s=5.0,  # at the venue at once, and it judges that; the daemon hears of it
    pace_s=0.03,
)
PROXY_SCALE = replace(
    SANDBOX_SCALE,
    guarded_within_s=8.0,
    settled_within_s=40.0,  # what is in doubt is asked about at longer and longer intervals
    fires_within_s=15.0,  # the venue's stop fires at once; to hear of it may take long
    pace_s=0.1,
)
