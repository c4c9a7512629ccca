"""An account is used only where what is open was opened: else nothing is sent, nothing read."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from domain.instrument import Side
from domain.order import OrderTerms, OrderType
from exchanges.own_account import OTHER_ACCOUNT, OwnAccount
from exchanges.port import (
    Abilities,
    Accepted,
    AccountFacts,
    BalanceReport,
    PositionMode,
    Refused,
    StreamUp,
    Unknown,
    VenueAccount,
)
from tests.builders import BTC, NOW, position_id

OURS, OTHERS = VenueAccount("7", is_demo=True), VenueAccount("8", is_demo=True)
TERMS = OrderTerms("o1", position_id(1), BTC, Side.SELL, OrderType.MARKET, Decimal(1))
PUSHED = BalanceReport(())
READS = {
    "order": (BTC, "o1"),
    "open_orders": (),
    "fills": (None,),
    "outside_fills": (NOW,),
    "cash_flows": (NOW,),
    "balances": (),
    "positions": (),
}
ORDERS = {"submit": (TERMS,), "cancel": (BTC, "o1"), "amend": (TERMS,)}


class Venue:
    """A login that says whose it is as it is told to, the last word for ever; notes the rest."""

    abilities = Abilities()

    def __init__(self, *whose: Any) -> None:
        self.words = list(whose)
        self.asked: list[str] = []
        self.facts_of = "7"
        self.push: Any = None

    async def start(self, on_update: Any) -> None:
        self.push = on_update

    async def whose(self) -> Any:
        await asyncio.sleep(0)
        return self.words.pop(0) if len(self.words) > 1 else self.words[0]

    async def account(self) -> Any:
        return AccountFacts(self.facts_of, PositionMode.NET, may_trade=True, may_withdraw=False)

    def __getattr__(self, name: str) -> Any:
        async def answer(*_: Any) -> Any:
            self.asked.append(name)
            return Accepted("v1") if name in ORDERS else ()

        return answer


class Held:
    """A guarded login, who is told whose it is, and what was passed on."""

    def __init__(self, venue: Venue, expected: VenueAccount | None) -> None:
        self.told: list[VenueAccount] = []
        self.pushed: list[Any] = []
        self.venue = venue
        self.account = OwnAccount(venue, expected, self.told.append)

    def do(self, *names: str) -> list[Any]:
        """Ask for these, all at once."""

        async def main() -> list[Any]:
            await self.account.start(self.pushed.append)
            calls = [getattr(self.account, each)(*{**READS, **ORDERS}[each]) for each in names]
            return list(await asyncio.gather(*calls))

        return asyncio.run(main())


def test_the_account_in_which_all_was_opened_is_used():
    held = Held(Venue(OURS), OURS)

    answers = held.do(*READS, *ORDERS)

    assert answers == [()] * len(READS) + [Accepted("v1")] * len(ORDERS)
    assert sorted(held.venue.asked) == sorted({**READS, **ORDERS})
    assert held.told == [OURS]


@pytest.mark.parametrize("told", [OTHERS, VenueAccount("7", is_demo=False)])
def test_in_another_account_nothing_is_sent_and_nothing_is_read(told):
    held = Held(Venue(told), OURS)

    answers = held.do(*READS, *ORDERS)

    assert held.venue.asked == []
    assert held.told == []
    assert all(isinstance(each, Unknown) for each in answers[: len(READS)])
    refused = answers[len(READS) :]
    assert {each.code for each in refused} == {OTHER_ACCOUNT}
    assert str(OURS) in refused[0].text
    assert str(told) in refused[0].text
    assert "key" in refused[0].remedy


def test_until_it_is_known_whose_it_is_nothing_is_sent_and_then_it_goes_on():
    held = Held(Venue(Unknown("nobody answers"), OURS), OURS)

    unsent, read = held.do("submit", "positions")

    assert isinstance(unsent, Refused)
    assert "nobody answers" in unsent.text
    assert read == ()
    assert held.venue.asked == ["positions"]


def test_a_login_that_is_turned_away_reads_nothing():
    held = Held(Venue(Refused("50111", "Invalid OK-ACCESS-KEY")), OURS)

    (read,) = held.do("positions")

    assert read == Unknown("50111: Invalid OK-ACCESS-KEY")


def test_with_nothing_open_the_first_account_told_is_the_one():
    held = Held(Venue(OTHERS), None)

    assert held.do("positions", "balances") == [(), ()]
    assert held.told == [OTHERS]


def test_it_is_told_whose_it_is_before_anything_is_read():
    order: list[str] = []
    venue = Venue(OURS)
    account = OwnAccount(venue, None, lambda _: order.extend(["told", *venue.asked]))

    assert asyncio.run(account.balances()) == ()
    assert (order, venue.asked) == (["told"], ["balances"])


def test_it_is_told_again_with_what_the_login_may_do_for_who_has_crashed_meanwhile():
    held = Held(Venue(OURS), None)

    asyncio.run(held.account.account())

    assert held.told == [OURS, OURS]


def test_of_another_account_only_the_line_is_told():
    held = Held(Venue(OTHERS), OURS)
    held.do("positions")

    held.venue.push(PUSHED)
    held.venue.push(StreamUp())

    assert held.pushed == [StreamUp()]


def test_what_is_pushed_is_passed_on_once_it_is_certain_of_whom_it_tells():
    held = Held(Venue(OURS), OURS)
    asyncio.run(held.account.start(held.pushed.append))
    held.venue.push(PUSHED)
    held.do("positions")

    held.venue.push(PUSHED)

    assert held.pushed == [PUSHED]


def test_what_the_login_may_do_is_not_asked_of_another_account():
    answer = asyncio.run(OwnAccount(Venue(OTHERS), OURS, lambda _: None).account())

    assert isinstance(answer, Refused)
    assert answer.code == OTHER_ACCOUNT


def test_an_account_that_becomes_another_one_is_used_no_more():
    held = Held(Venue(OURS), OURS)
    held.do("positions")
    held.venue.facts_of = "8"

    answer = asyncio.run(held.account.account())
    (unsent,) = held.do("submit")

    assert answer == unsent
    assert isinstance(unsent, Refused)
    assert held.venue.asked == ["positions"]
