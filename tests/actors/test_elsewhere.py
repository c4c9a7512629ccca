"""What else the venue holds, and what that means for an order that nobody finds."""

import pytest
from msgspec.structs import replace

from actors import names
from actors.absence import STOP_DENIED_FOR_S
from actors.reconcile_rules import ReconcileSettings
from domain.commands import ClosePosition
from domain.ids import MANUAL
from domain.order import OrderStatus
from exchanges.port import CashFlow, CashKind
from tests.actors.box import BTC, CONFIG, Box, D, pid
from tests.actors.faulty_venue import broken_line, passed, reset
from tests.actors.shared_account import SharedAccount

_S = OrderStatus
SPOT = CONFIG.replace("market: {", "market: {kind: spot, ")
LEARNED_S = 40.0  # two looks at everything that agree


@pytest.fixture
def share(perform):
    """Run plays on a spot account that others use too."""

    def run(*plays, **options):
        options.setdefault("config", SPOT)
        return perform(*plays, venue=SharedAccount, reconcile=ReconcileSettings(), **options)

    return run


def deposited(box: Box, quantity: str) -> None:
    """Coins come from elsewhere; the venue tells of it."""
    box.venue.shifts[BTC] += D(quantity)
    number = len(box.venue.flows)
    flow = CashFlow(f"coins{number}", CashKind.TRANSFER, "BTC", D(quantity), box.venue.now())
    box.venue.flows.append(flow)


def elsewhere(box: Box) -> object:
    return box.parts.world.elsewhere.get(BTC)


async def buy(
    box: Box, quantity: str = "0.01", *, arrives: bool, hidden: bool = False, number: int = 1
) -> None:
    """Send an entry whose answer is lost; `hidden`: what it did is not to be read yet."""
    before = len(box.venue.sent)
    box.venue.submits, box.venue.pushes = [reset if arrives else broken_line], lambda _update: ()
    box.say("60000")
    box.tell(names.trader(MANUAL), box.request(quantity, number=number))
    while len(box.venue.sent) == before:
        await box.soon(0.0001)
    if hidden:
        box.venue.forgotten.add(box.venue.sent[before].client_order_id)


def test_coins_that_were_there_before_are_learned_and_are_not_ours(share):
    async def play(box: Box) -> None:
        box.venue.shifts[BTC] += D("1.5")
        await box.start("60000")
        await box.soon(LEARNED_S)
        assert elsewhere(box) == D("1.5")
        await box.open("0.01")
        await box.soon(LEARNED_S)
        assert elsewhere(box) == D("1.5")

    share(play)


def test_a_lost_buy_that_filled_shows_as_more_coins_and_stays_unknown(share):
    async def play(box: Box) -> None:
        box.venue.shifts[BTC] += D("1.5")
        await box.start("60000")
        await box.soon(LEARNED_S)
        await buy(box, arrives=True, hidden=True)
        await box.soon(100)
        assert box.entry().status is _S.UNKNOWN
        assert elsewhere(box) == D("1.5")  # not learned from what is in doubt
        box.venue.forgotten.clear()
        await box.soon(10)
        assert box.entry().status is _S.FILLED
        assert box.position().remaining == D("0.01")

    share(play)


def test_a_lost_buy_that_filled_stays_unknown_without_other_coins_too(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(LEARNED_S)
        await buy(box, arrives=True, hidden=True)
        await box.soon(100)
        assert box.entry().status is _S.UNKNOWN

    share(play)


@pytest.mark.parametrize("coins", ["0", "1.5"])
def test_a_lost_buy_that_never_arrived_is_absent_as_soon_as_the_coins_prove_it(share, coins):
    async def play(box: Box) -> None:
        box.venue.shifts[BTC] += D(coins)
        await box.start("60000")
        await box.soon(LEARNED_S)
        await buy(box, arrives=False)
        await box.soon(8)
        assert box.entry().status is _S.ABSENT
        assert "position agree" in box.entry().reason
        assert not box.portfolio.reservations

    share(play)


def test_coins_deposited_while_an_order_is_in_doubt_do_not_keep_it_there(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(LEARNED_S)
        await buy(box, arrives=False)
        await box.soon(1)
        deposited(box, "0.01")  # as much as the order would have bought
        await box.soon(8)
        assert box.entry().status is _S.UNKNOWN
        await box.soon(25)  # the next look at everything tells of the deposit
        assert box.entry().status is _S.ABSENT
        await box.soon(LEARNED_S)
        assert elsewhere(box) == D("0.01")

    share(play)


def test_coins_that_a_person_buys_while_an_order_is_in_doubt_do_not_keep_it_there(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(LEARNED_S)
        await buy(box, arrives=False)
        await box.soon(1)
        box.venue.trades("0.01")
        await box.soon(33)
        assert box.entry().status is _S.ABSENT

    share(play)


def test_coins_that_a_person_sold_of_ours_are_not_counted_twice(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.02")
        await box.soon(LEARNED_S)
        box.venue.trades("-0.005", "60100")
        while not box.position().outside_fills:
            await box.soon(0.1)
        await box.soon(2)  # the difference is settled: something may be opened
        await buy(box, number=2, arrives=True, hidden=True)  # in doubt: nothing is learned
        await box.soon(40)
        assert elsewhere(box) == 0
        box.venue.forgotten.clear()
        await box.soon(10)
        assert box.entry(2).status is _S.FILLED

    share(play)


@pytest.mark.parametrize("coins", ["0", "1.5"])
def test_a_lost_stop_is_placed_again_though_coins_prove_nothing_yet(share, coins):
    async def play(box: Box) -> None:
        box.venue.shifts[BTC] += D(coins)
        box.parts.world.rules = replace(box.parts.world.rules, stops_at_venue=True)
        await box.start("60000")
        box.venue.submits = [passed, broken_line]
        await box.open("0.01")
        assert not box.venue.resting()
        await box.soon(STOP_DENIED_FOR_S + 3)
        assert [each.quantity for each in box.venue.resting()] == [D("0.01")]

    share(play)


def test_a_lost_stop_is_placed_again_though_what_is_held_does_not_agree(share):
    async def play(box: Box) -> None:
        box.parts.world.rules = replace(box.parts.world.rules, stops_at_venue=True)
        await box.start("60000")
        await box.soon(LEARNED_S)
        box.venue.submits = [passed, broken_line]
        await box.open("0.01")
        box.venue.shifts[BTC] += D("0.7")  # no flow tells of it
        await box.soon(STOP_DENIED_FOR_S + 3)
        assert [each.quantity for each in box.venue.resting()] == [D("0.01")]
        assert "DISPUTED_POSITION" in box.ears.codes()

    share(play)


def test_a_deposit_does_not_hide_a_lost_buy_that_filled(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(LEARNED_S)
        await buy(box, arrives=True, hidden=True)
        await box.soon(1)
        deposited(box, "0.01")
        await box.soon(100)
        assert box.entry().status is _S.UNKNOWN

    share(play)


def test_coins_that_come_and_go_unexplained_are_learned_anew_when_nothing_is_in_doubt(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(LEARNED_S)
        box.venue.shifts[BTC] += D("0.7")  # no flow tells of it
        await box.soon(LEARNED_S)
        assert elsewhere(box) == D("0.7")
        box.venue.shifts[BTC] -= D("0.3")
        await box.soon(LEARNED_S)
        assert elsewhere(box) == D("0.4")
        await buy(box, arrives=False)
        await box.soon(8)
        assert box.entry().status is _S.ABSENT

    share(play)


def test_a_read_of_before_an_order_left_teaches_nothing_of_after(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(LEARNED_S)
        box.venue.lag_s = 4.0
        await buy(box, arrives=True, hidden=True)
        await box.soon(60)
        assert elsewhere(box) == D("0")
        assert box.entry().status is _S.UNKNOWN

    share(play)


def test_after_a_restart_unknown_coins_make_it_wait_longer_and_not_for_ever(share):
    async def killed(box: Box) -> None:
        box.venue.shifts[BTC] += D("1.5")
        await box.start("60000")
        await box.soon(LEARNED_S)
        await buy(box, arrives=False)
        await box.soon(1)
        box.kill()

    async def back(box: Box) -> None:
        box.venue.shifts[BTC] += D("1.5")
        await box.start("60000")
        await box.soon(30)
        assert box.entry().status is _S.UNKNOWN
        await box.soon(40)
        assert box.entry().status is _S.ABSENT
        assert "position" not in box.entry().reason

    share(killed, back)


def test_of_a_swap_what_a_person_closed_meanwhile_does_not_keep_an_order_in_doubt(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01", number=1)
        await box.soon(LEARNED_S)
        box.venue.submits = [broken_line]
        box.say("60000")
        box.tell(names.trader(MANUAL), box.request("0.02", number=2))
        await box.soon(1)
        box.venue.trades("-0.01", "60100")
        await box.soon(40)
        assert box.entry(2).status is _S.ABSENT
        assert box.position(1).is_closed
        assert elsewhere(box) == 0

    share(play, config=CONFIG)


async def closes_unheard(box: Box, fault, *, hidden: bool = False) -> str:
    """A position just opened is closed; whatever becomes of that, nobody is told."""
    before = len(box.venue.sent)
    box.venue.submits, box.venue.pushes = [fault], lambda _update: ()
    box.tell(names.position(pid()), ClosePosition(pid()))
    while len(box.venue.sent) == before:
        await box.soon(0.0001)
    if hidden:
        box.venue.forgotten.add(box.venue.sent[before].client_order_id)
    await box.soon(0.5)
    box.venue.pushes = lambda update: (update,)
    return box.venue.sent[before].client_order_id


def test_an_exit_that_never_left_is_known_soon_though_a_person_closed_as_much(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")  # so early that nothing of others is learned
        exit_id = await closes_unheard(box, broken_line)
        box.venue.trades("-0.01")
        await box.soon(10)
        assert box.order(exit_id).status is _S.ABSENT
        assert "position agree" in box.order(exit_id).reason

    perform(play, venue=SharedAccount, reconcile=ReconcileSettings())


def test_one_that_left_stays_in_doubt_though_a_person_closes_as_much_of_another(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        await box.open("0.01", number=2)
        exit_id = await closes_unheard(box, reset, hidden=True)
        box.venue.trades("-0.01")
        await box.soon(90)
        assert box.order(exit_id).status is _S.UNKNOWN

    perform(play, venue=SharedAccount, reconcile=ReconcileSettings())


def test_what_a_person_closed_some_time_before_an_exit_that_never_left_counts_too(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.02")
        box.venue.trades("-0.01")
        for number in (2, 3):  # each keeps what is missing from being booked
            await box.soon(3.5)
            await box.open("0.01", number=number)
        exit_id = await closes_unheard(box, broken_line)
        await box.soon(8)
        assert box.order(exit_id).status is _S.ABSENT

    perform(play, venue=SharedAccount, reconcile=ReconcileSettings())
