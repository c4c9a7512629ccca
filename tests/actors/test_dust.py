"""What closed positions leave over, too little to sell: it is worth something and stops nothing."""

import pytest

from actors import names
from domain.inputs import GridTold
from domain.position import PositionStatus
from tests.actors.box import BTC, CONFIG, ETH, Box, D, pid, stop_at

LIMITED = CONFIG.replace("total_drawdown_ratio: 1}", "total_drawdown_ratio: 0.03}")


async def leave_dust(box: Box, quantity: str = "1.005", number: int = 1) -> None:
    """Open a position of ether, and close it when the venue takes no less than 0.01 any more."""
    box.say("3000", symbol=ETH)
    await box.open(quantity, stop_at("2500"), number=number, symbol=ETH)
    box.tell(names.position(pid(number)), GridTold(pid(number), D("0.01"), D("0.01")))
    await box.close(number)
    await box.soon(1)
    assert box.position(number).status is PositionStatus.CLOSED_WITH_DUST


@pytest.mark.parametrize("gone", ["", ", ETH/USDT"], ids=["still configured", "taken out"])
def test_the_kill_switch_acts_whether_or_not_dust_has_a_price(perform, gone):
    async def first(box: Box) -> None:
        await box.start("60000")
        await leave_dust(box)

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.open("1", stop_at("40000"), number=2)
        for price in range(60_000, 55_000, -1000):
            box.say(str(price))
            await box.soon(1)
        assert box.position(2).is_closed
        assert "KILL_SWITCH" in box.ears.codes()
        assert BTC not in box.portfolio.books
        assert [each.quantity for each in box.portfolio.dust] == [D("0.005")]

    perform(first, config=LIMITED)
    perform(second, config=LIMITED.replace(gone, ""))
