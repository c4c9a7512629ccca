"""The random histories of `test_recovery_properties`, with stops that rest at the venue.

An exit waits for the stop as long as it must, as on spot: with the limit that a swap has, one that
fires while its cancel is in doubt may close what another position holds.
"""

import pytest
from msgspec.structs import replace

from tests.actors.box import Box
from tests.actors.test_recovery_properties import LIVES, History

SEEDS = (*range(8), 10, 15, 18)


@pytest.mark.parametrize(
    ("seed", "amends", "attaches"),
    [
        pytest.param(seed, True, attaches, id=f"{seed}-amends-{name}")
        for seed in SEEDS
        for attaches, name in ((False, "sends"), (True, "attaches"))
    ]
    + [pytest.param(seed, False, False, id=f"{seed}-replaces") for seed in SEEDS],
)
def test_after_any_history_nothing_is_lost_doubled_or_left_unguarded(
    tmp_path, monkeypatch, seed, amends, attaches
):
    born = Box.__init__

    def with_stops(box, *args, **options):
        born(box, *args, **options)
        box.parts.world.rules = replace(
            box.parts.world.rules,
            stops_at_venue=True,
            amends_stops=amends,
            attaches_stops=attaches,
            exit_waits_s=600,
        )

    monkeypatch.setattr(Box, "__init__", with_stops)
    history = History(seed, tmp_path)
    for life in range(LIVES):
        history.live(is_last=life == LIVES - 1)
