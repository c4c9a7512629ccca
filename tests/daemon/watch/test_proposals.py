"""What a key would do is said first; what makes no sense is refused before it is sent."""

from decimal import Decimal

import pytest

from daemon.admin_requests import Close, MoveStop, Pause, Resume
from daemon.watch import proposals
from domain.errors import Refusal

ROW: dict[str, object] = {
    "id": "53fb6df1-0e7a-4527-a21f-4eee2bdcfd66",
    "symbol": "BTC/USDT",
    "side": "LONG",
    "trader": "trend",
    "remaining_quantity": "0.004",
    "current_price": "60000",
    "unrealized_pnl": "1.5",
    "stop": "59000",
    "protection_version": 7,
}


def test_closing_all_says_what_it_is_worth_and_what_it_has_earned() -> None:
    proposal = proposals.close(ROW, "100%")

    assert proposal.says == "Closes all of it at market, worth 240.00 USDT, P&L now +1.50."
    assert proposal.request == Close(position=str(ROW["id"]), part=Decimal(1))


def test_closing_a_part_says_how_much() -> None:
    proposal = proposals.close(ROW, " 25% ")

    assert proposal.says == "Closes about 0.001 of it at market, worth 60.00 USDT."
    assert isinstance(proposal.request, Close)
    assert proposal.request.part == Decimal("0.25")


def test_closing_what_is_not_filled_yet_takes_its_entry_back() -> None:
    row = ROW | {
        "status": "entry_pending",
        "entry_requested": "2",
        "entry_quantity": "0",
        "remaining_quantity": "0",
    }
    proposal = proposals.close(row, "100%")

    assert proposal.says == "Takes the entry of 2 back; nothing of it is filled."
    assert proposal.request == Close(position=str(ROW["id"]), part=Decimal(1))


def test_before_a_price_is_typed_nothing_is_wrong_with_it() -> None:
    assert proposals.move_stop(ROW, " ", widen=False).says == "To which price?"


@pytest.mark.parametrize("part", ["", "0", "-1", "101%", "nan", "half"])
def test_a_part_that_is_none_is_refused_as_the_command_would(part: str) -> None:
    refusal = proposals.close(ROW, part).request

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "INVALID_PART"


def test_moving_a_stop_is_based_on_the_protection_that_was_seen() -> None:
    proposal = proposals.move_stop(ROW, "59400", widen=False)

    assert proposal.says == "Stop from 59,000 to 59,400, -1.00 % from the price."
    assert not proposal.is_risky
    assert proposal.request == MoveStop(position=str(ROW["id"]), price=Decimal(59400), based_on=7)


@pytest.mark.parametrize(("side", "price"), [("LONG", "58000"), ("SHORT", "61000")])
def test_a_stop_further_away_is_called_more_risk(side: str, price: str) -> None:
    proposal = proposals.move_stop(ROW | {"side": side}, price, widen=True)

    assert proposal.is_risky
    assert "MORE RISK than before" in proposal.says
    assert isinstance(proposal.request, MoveStop)
    assert proposal.request.widen


def test_a_position_without_a_stop_gets_its_first() -> None:
    proposal = proposals.move_stop(ROW | {"stop": None}, "59000", widen=False)

    assert proposal.says.startswith("Stop from none to 59,000, ")
    assert not proposal.is_risky


@pytest.mark.parametrize("price", ["", "0", "-5", "inf", "1e999999", "x"])
def test_a_price_that_is_none_is_refused_as_the_command_would(price: str) -> None:
    refusal = proposals.move_stop(ROW, price, widen=False).request

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "INVALID_PRICE"


def test_a_trader_is_paused_or_resumed_by_what_it_is_now() -> None:
    active = proposals.pause({"name": "trend", "paused": False, "open_positions": 1})
    paused = proposals.pause({"name": "trend", "paused": True, "open_positions": 0})

    assert active.request == Pause(trader="trend")
    assert active.says.endswith("its 1 open position stays guarded.")
    assert paused.request == Resume(trader="trend")
