"""A venue that takes orders after a start and does not tell of orders or fills: exits still go."""

import pytest

from actors import names
from actors.reconcile_rules import ReconcileSettings
from actors.taking_stock import SHOWN_WITHIN_S
from domain.commands import ClosePosition
from domain.position import PositionStatus
from tests.actors.box import BTC, Box, D, pid, stop_at
from tests.actors.shared_account import SharedAccount
from tests.actors.test_elsewhere import SPOT
from tests.actors.test_exits_over_a_crash import (
    settled,
    trail_fires_and_the_journal_never_learns,
)


@pytest.fixture
def share(perform):
    def run(*plays, **options):
        return perform(*plays, venue=SharedAccount, reconcile=ReconcileSettings(), **options)

    return run


async def hold(box: Box) -> None:
    await box.start("60000")
    await box.open(plan=stop_at("59000"))
    await box.soon(30)
    box.kill()


@pytest.mark.parametrize("read", ["orders", "fills"])
def test_an_exit_leaves_once_the_venue_shows_that_what_it_sells_is_still_held(share, read):
    async def again(box: Box) -> None:
        box.venue.failing = {read}
        await box.start("60000")
        box.tell(names.position(pid(1)), ClosePosition(pid(1)))
        await box.soon(SHOWN_WITHIN_S - 1)
        assert not box.venue.sent
        assert box.position().status is PositionStatus.CLOSING
        await box.soon(20)
        assert len(box.venue.sent) == 1
        assert not await box.paper.positions()
        assert box.latest(f"position/{pid(1)}") is None or box.position().is_closed
        box.venue.failing = set()
        await box.soon(30)
        assert len(box.venue.sent) == 1
        assert not box.letters("poison")

    share(hold, again)


@pytest.mark.parametrize("reads", [{"orders", "positions"}, {"fills", "positions"}])
def test_nothing_leaves_while_the_venue_does_not_show_what_it_holds_either(share, reads):
    async def again(box: Box) -> None:
        box.venue.failing = set(reads)
        await box.start("60000")
        box.tell(names.position(pid(1)), ClosePosition(pid(1)))
        await box.soon(60)
        assert not box.venue.sent
        box.venue.failing = set()
        await box.soon(30)
        assert len(box.venue.sent) == 1
        assert not await box.paper.positions()

    share(hold, again)


@pytest.mark.parametrize("read", ["orders", "fills"])
def test_an_exit_waits_where_another_has_sold_before_the_crash(share, read):
    async def again(box: Box) -> None:
        box.venue.failing = {read}
        await box.start("60700")
        box.tell(names.position(pid(1)), ClosePosition(pid(1)))
        await box.soon(60)
        assert not box.venue.sent
        box.venue.failing = set()
        await settled(box)
        assert (await box.paper.positions())[0].quantity == D("0.01")

    share(trail_fires_and_the_journal_never_learns, again)


def test_coins_of_somebody_else_do_not_show_that_ours_are_still_held(share):
    async def again(box: Box) -> None:
        box.venue.shifts[BTC] = D(1)
        box.venue.failing = {"orders"}
        await box.start("60000")
        box.tell(names.position(pid(1)), ClosePosition(pid(1)))
        await box.soon(60)
        assert not box.venue.sent
        box.venue.shifts[BTC] = D(0)
        await box.soon(30)
        assert len(box.venue.sent) == 1

    share(hold, again, config=SPOT)
