"""What closed positions leave over, too little to sell: it is worth something and stops nothing."""

import pytest

from actors import names
from actors.reconcile_rules import ReconcileSettings
from domain.inputs import GridTold
from domain.portfolio_events import BalanceCorrected, DustGone
from domain.portfolio_state import equity
from domain.position import PositionStatus
from tests.actors.box import BTC, CONFIG, ETH, Box, D, pid, stop_at
from tests.actors.shared_account import SharedAccount

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


def test_dust_that_a_person_sold_is_written_off_before_the_balance_is_compared(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        await leave_dust(box)
        worth = box.portfolio.balance
        box.venue.trades("-0.005", "3000", symbol=ETH)
        await box.soon(60)
        assert (box.portfolio.dust, box.portfolio.balance, box.portfolio.margin) == ((), worth, 0)
        assert [each.quantity for each in box.journal() if isinstance(each, DustGone)] == [
            D("0.005")
        ]
        assert not any(isinstance(each, BalanceCorrected) for each in box.journal())
        assert "BALANCE_CORRECTED" not in box.ears.codes()
        box.say("2500", symbol=ETH)
        await box.soon(30)
        assert equity(box.portfolio, box.parts.world.prices.marks()) == worth

    perform(play, venue=SharedAccount, reconcile=ReconcileSettings())


def test_dust_that_is_there_stays_whatever_happens_around_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        await leave_dust(box)
        await box.open("0.02", stop_at("2500"), number=2, symbol=ETH)
        await box.soon(30)
        box.venue.failing.add("positions")
        await box.soon(20)
        box.venue.failing.clear()
        await box.close(2)
        await box.soon(30)
        assert [each.quantity for each in box.portfolio.dust] == [D("0.005")]
        assert "BALANCE_CORRECTED" not in box.ears.codes()

    perform(play, venue=SharedAccount, reconcile=ReconcileSettings())


def test_dust_missing_in_a_busy_symbol_holds_the_balance_back_for_a_while_only(perform):
    async def trade(box: Box, first: int, last: int) -> None:
        for number in range(first, last):
            await box.open("0.02", stop_at("2500"), number=number, symbol=ETH)
            await box.soon(2)
            await box.close(number)
            await box.soon(2)

    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        await leave_dust(box)
        box.venue.trades("-0.005", "3000", symbol=ETH)
        box.venue.cash -= 50
        await trade(box, 2, 10)
        assert "BALANCE_CORRECTED" not in box.ears.codes()
        await trade(box, 10, 50)
        assert box.portfolio.dust, "no read confirms that it is gone"
        assert box.ears.codes().count("BALANCE_CORRECTED") == 1
        await box.soon(60)
        assert box.portfolio.dust == ()

    perform(play, venue=SharedAccount, reconcile=ReconcileSettings())
