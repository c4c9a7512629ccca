"""Exits that watch a price which nobody tells."""

import pytest
from msgspec.structs import replace

from actors import names
from domain.instrument import PriceSource
from tests.actors.box import CONFIG, Box, stop_at

SPOT = CONFIG.replace("source: recorded", "source: recorded, kind: spot")
MARK = PriceSource.MARK


@pytest.mark.parametrize(
    "plan",
    [
        stop_at("59000", watches=MARK),
        stop_at("59000", stop_watches=MARK),
        stop_at("59000", ("62000", "1"), target_watches=MARK),
        stop_at(None, watches=MARK),  # a stop that is set later would watch it
    ],
)
def test_spot_has_no_mark_to_watch(perform, plan):
    async def play(box: Box) -> None:
        await box.start("60000")
        request = box.request(plan=plan)
        answered = await box.ask(
            names.trader("manual"), lambda request_id: replace(request, request_id=request_id)
        )
        assert answered.refusal is not None
        assert answered.refusal.rule == "NO_MARK"
        watched = replace(plan, watches=PriceSource.BID, stop_watches=None, target_watches=None)
        assert await box.open(plan=watched)

    perform(play, config=SPOT)
