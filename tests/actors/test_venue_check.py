"""The venue check: what is wrong with a login stops entries by name, and ends by itself."""

import asyncio
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from actors import names
from actors.messages import AccountTold, CheckVenue
from actors.venue_check import CHECK_EVERY_S, CLOCK_EVERY_S, VenueCheckActor
from domain.errors import Refusal
from domain.ids import MANUAL, Symbol
from domain.instrument import Instrument
from domain.modes import Mode
from domain.portfolio_cash import open_cash
from domain.position import PositionStatus
from exchanges.own_account import other_account
from exchanges.port import AccountFacts, PositionMode, Refused, Unknown, VenueAccount
from runtime.specs import ChildSpec
from tests.actors.box import BTC, ETH, Box, stop_at

D = Decimal
FINE = AccountFacts("7", PositionMode.NET, may_trade=True, may_withdraw=False)
WRONG = Refused("50111", "Invalid OK-ACCESS-KEY")


class Login:
    """A login at a venue that answers what it is told to, the last answer for ever."""

    def __init__(self, *answers: Any, listed: tuple[Instrument, ...] | None = None) -> None:
        self.answers = list(answers)
        self.told = listed
        self.asked = 0
        self.offset_s: float | None = 0.0

    async def account(self) -> Any:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer if isinstance(answer, Awaitable) else answer

    def listed(self) -> tuple[Instrument, ...] | None:
        return self.told


async def checked(box: Box, login: Login, **options: Any) -> Box:
    """Start a daemon, and beside it the check of a login."""
    await box.start("60000")
    know_balance(box)
    if login.told is None:
        login.told = tuple(box.parts.world.instruments.values())
    box.parts.system.spawn_root(
        ChildSpec(
            names.VENUE_CHECK,
            lambda: VenueCheckActor(box.parts.world, login, lambda: login.offset_s, **options),
        )
    )
    box.tell(names.VENUE_CHECK, CheckVenue())  # as the exchange actor does once it is connected
    await box.soon()
    return box


def know_balance(box: Box) -> None:
    """Let the venue have told the account's balance, as the reconciler sees to."""
    portfolio = box.parts.actor(names.PORTFOLIO)
    portfolio._record(open_cash(portfolio.portfolio, D(100_000), now=box.clock.now()))


async def refused(box: Box, **others: Any) -> Refusal:
    """Ask for an entry; return why it is refused."""
    request = box.request(**others)
    answered = await box.ask(
        names.trader(MANUAL), lambda request_id: replace(request, request_id=request_id)
    )
    assert answered.refusal is not None
    return answered.refusal


def causes(box: Box) -> set[str]:
    return set(box.parts.world.causes)


def mode(box: Box) -> Mode:
    return box.parts.actor(names.PORTFOLIO).mode


def test_until_the_venue_has_answered_nothing_is_opened(perform):
    async def play(box):
        answer = asyncio.get_running_loop().create_future()
        await checked(box, Login(answer, FINE))

        assert causes(box) == {"VENUE_UNCHECKED"}
        answer.set_result(FINE)
        await box.soon()
        assert mode(box) is Mode.NORMAL

    perform(play)


def test_a_venue_that_is_never_connected_is_asked_all_the_same(perform):
    async def play(box):
        await box.start("60000")
        login = Login(Unknown("not connected"))
        box.parts.system.spawn_root(
            ChildSpec(names.VENUE_CHECK, lambda: VenueCheckActor(box.parts.world, login))
        )
        await box.soon()
        assert (login.asked, causes(box)) == (0, {"VENUE_UNCHECKED"})
        await asyncio.sleep(10)
        assert causes(box) == {"VENUE_DOWN"}

    perform(play)


def test_until_rules_and_balance_are_told_nothing_is_opened(perform):
    async def play(box):
        await box.start("60000")
        login = Login(FINE)
        box.parts.system.spawn_root(
            ChildSpec(names.VENUE_CHECK, lambda: VenueCheckActor(box.parts.world, login))
        )
        box.tell(names.VENUE_CHECK, CheckVenue())
        await box.soon()
        assert "rules" in box.parts.world.causes["VENUE_UNCHECKED"].message
        login.told = tuple(box.parts.world.instruments.values())
        await box.soon()
        assert "balance" in box.parts.world.causes["VENUE_UNCHECKED"].message

        know_balance(box)
        await box.soon()
        assert (causes(box), login.asked) == (set(), 1)

    perform(play)


def test_a_wrong_key_is_named_and_asked_again_until_it_is_right(perform):
    async def play(box):
        await checked(box, Login(WRONG, WRONG, FINE))

        assert causes(box) == {"WRONG_KEY"}
        assert "50111: Invalid OK-ACCESS-KEY" in box.parts.world.causes["WRONG_KEY"].message
        await asyncio.sleep(4)
        assert mode(box) is Mode.NORMAL

    perform(play)


def test_an_entry_is_refused_with_the_cause(perform):
    async def play(box):
        await checked(box, Login(replace(FINE, may_withdraw=True)))
        refusal = await refused(box)

        assert "withdraw" in refusal.message + refusal.remedy

    perform(play)


def test_one_lost_answer_of_a_venue_that_was_fine_is_forgiven_and_a_second_is_not(perform):
    async def play(box):
        login = Login(FINE, Unknown("reset"), Unknown("reset"), FINE)
        await checked(box, login)
        box.parts.system.tell(names.VENUE_CHECK, CheckVenue())
        await box.soon()
        assert (login.asked, causes(box)) == (2, set())

        await asyncio.sleep(1)
        assert causes(box) == {"VENUE_DOWN"}
        await asyncio.sleep(5)
        assert (login.asked, causes(box)) == (4, set())

    perform(play)


def test_a_login_that_is_well_is_asked_again_after_minutes(perform):
    async def play(box):
        login = Login(FINE)
        await checked(box, login)
        assert login.asked == 1
        await asyncio.sleep(CHECK_EVERY_S)
        assert login.asked == 2

    perform(play)


def test_a_question_while_one_is_under_way_is_asked_after_it(perform):
    async def play(box):
        answer = asyncio.get_running_loop().create_future()
        login = Login(answer, FINE)
        await checked(box, login)
        for _ in range(5):
            box.parts.system.tell(names.VENUE_CHECK, CheckVenue())
        await box.soon()
        assert login.asked == 1
        answer.set_result(FINE)
        await box.soon()
        assert login.asked == 2

    perform(play)


def test_an_answer_that_never_comes_is_none(perform):
    async def play(box):
        await checked(box, Login(asyncio.get_running_loop().create_future(), FINE))
        await asyncio.sleep(5)
        assert causes(box) == {"VENUE_DOWN"}
        await asyncio.sleep(2)
        assert causes(box) == set()

    perform(play)


def test_a_skewed_clock_is_told(perform):
    async def play(box):
        login = Login(FINE)
        login.offset_s = -60.0
        await checked(box, login)

        assert causes(box) == {"CLOCK_SKEW"}
        assert "60.0 s behind" in box.parts.world.causes["CLOCK_SKEW"].message

    perform(play)


def test_a_clock_that_is_set_while_all_is_well_is_told_within_seconds_and_so_is_its_end(perform):
    async def play(box):
        login = Login(FINE)
        await checked(box, login)
        login.offset_s = 60.0
        await asyncio.sleep(CLOCK_EVERY_S + 0.5)
        assert causes(box) == {"CLOCK_SKEW"}

        login.offset_s = 0.1
        await asyncio.sleep(CLOCK_EVERY_S + 0.5)
        assert causes(box) == set()

    perform(play)


def test_rules_of_the_venue_are_taken_over_for_new_entries_only(perform):
    async def play(box):
        login = Login(FINE)
        await checked(box, login, max_leverage={BTC: D(3)})
        ours = box.parts.world.instruments[BTC]
        held = await box.open()
        theirs = replace(ours, lot_size=D("0.5"), max_leverage=D(50))
        login.told = (theirs, box.parts.world.instruments[ETH])
        box.tell(names.VENUE_CHECK, CheckVenue())
        await box.soon()

        rules = box.parts.world.instruments[BTC]
        assert (rules.lot_size, rules.max_leverage) == (D("0.5"), D(3))
        assert box.parts.world.position(held.id).instrument == ours

    perform(play)


def test_a_symbol_that_the_venue_does_not_list_is_refused_and_the_others_trade(perform):
    async def play(box):
        login = Login(FINE, listed=(box.parts.world.instruments[BTC],))
        await checked(box, login)

        assert mode(box) is Mode.NORMAL
        assert set(box.parts.world.barred) == {Symbol("ETH/USDT")}
        await box.open()
        assert (await refused(box, symbol=ETH, number=2)).rule == "UNKNOWN_SYMBOL"

        login.told = (*login.told, box.parts.world.instruments[ETH])
        box.parts.system.tell(names.VENUE_CHECK, CheckVenue())
        await box.soon()
        assert not box.parts.world.barred

    perform(play)


def test_a_position_mode_that_changes_under_open_positions_is_told(perform):
    async def play(box):
        login = Login(FINE, replace(FINE, position_mode=PositionMode.HEDGE), FINE)
        await checked(box, login)
        await box.open()
        box.parts.system.tell(names.VENUE_CHECK, CheckVenue())
        await box.soon()
        assert causes(box) == {"POSITION_MODE"}
        await asyncio.sleep(2)
        assert causes(box) == set()

    perform(play)


def test_a_check_that_crashes_leaves_nothing_behind_that_is_over(perform):
    async def play(box):
        await checked(box, Login(Unknown("reset"), FINE))
        assert causes(box) == {"VENUE_DOWN"}

        box.killed(names.VENUE_CHECK)
        await box.soon(1)

        assert causes(box) == set()

    perform(play)


def test_positions_are_told_when_the_venue_takes_other_sizes_by_now(perform):
    async def play(box):
        btc = box.parts.world.instruments[BTC]
        coarse = replace(btc, lot_size=D("0.01"), min_quantity=D("0.02"), max_market=D(5))
        login = Login(FINE, listed=tuple(box.parts.world.instruments.values()))
        await checked(box, login)
        await box.open("0.025", number=1)
        box.say("3000", symbol=ETH)
        await box.open("0.5", number=2, symbol=ETH, plan=stop_at("2900"))
        assert not box.ears.codes()
        login.told = (coarse, box.parts.world.instruments[ETH])

        await asyncio.sleep(CHECK_EVERY_S)
        await box.soon()

        told = box.position(1).instrument
        assert (told.lot_size, told.min_quantity) == (D("0.01"), D("0.02"))
        assert told.max_market == D(5)
        assert box.position(2).instrument == box.parts.world.instruments[ETH]
        assert box.ears.codes() == ["LOT_RAISED"]
        await box.close(1)
        await box.soon()
        assert box.position(1).status is PositionStatus.CLOSED_WITH_DUST
        assert box.position(1).remaining == D("0.005")

    perform(play)


def test_a_key_of_another_account_stops_entries_with_an_alarm(perform):
    async def play(box):
        other = other_account(VenueAccount("8"), VenueAccount("7"))
        await checked(box, Login(other))
        assert (await refused(box)).rule == "NO_ENTRY_MODE"
        await asyncio.sleep(60)

        assert causes(box) == {"OTHER_ACCOUNT"}
        assert "live account 8" in box.parts.world.causes["OTHER_ACCOUNT"].message
        assert box.ears.codes().count("OTHER_ACCOUNT") == 1

    perform(play)


def test_nothing_is_opened_until_another_account_is_noted(perform):
    async def play(box):
        await checked(box, Login(FINE))
        box.tell(names.PORTFOLIO, AccountTold(VenueAccount("6")))
        box.tell(names.VENUE_CHECK, CheckVenue())
        await box.soon()
        assert causes(box) == {"VENUE_UNCHECKED"}

        box.tell(names.PORTFOLIO, AccountTold(VenueAccount("7")))
        await box.soon()
        know_balance(box)
        await asyncio.sleep(1)
        assert mode(box) is Mode.NORMAL

    perform(play)
