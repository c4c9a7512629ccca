"""The control of the sandbox, what others do to an account, and the judge."""

import asyncio
from decimal import Decimal

import pytest

from domain.ids import AccountName, PositionId, client_order_id
from exchanges.sandbox import outside
from exchanges.sandbox.judge import is_ours, judge, ledger
from exchanges.sandbox.refusals import CODES, VenueRefusal
from tests.exchanges.sandbox.client import trading
from tests.exchanges.sandbox.desk import SPOT, SWAP, Desk

POSITION = PositionId("8c1f0a2e-5a0b-4f1d-9c3e-2b7a6d5e4f30")


def run(work) -> None:
    asyncio.run(asyncio.wait_for(work(), 30))


def ours(leg: str, epoch: int = 0) -> str:
    return client_order_id(AccountName("main"), POSITION, leg, epoch)


def verdict(desk: Desk) -> dict:
    return judge(desk.account, desk.watch)


def test_a_position_with_its_stop_is_clean() -> None:
    desk = Desk()
    desk.place(SWAP, sz="10", clOrdId=ours("entry-0"))
    desk.stop(SWAP, sz="10", slTriggerPx="59000", algoClOrdId=ours("guard-0"))

    desk.price("58000", SWAP)

    found = verdict(desk)
    assert found["clean"]
    assert (found["gaps"], found["duplicates"], found["oversold"]) == ([], [], [])


def test_the_time_without_a_stop_is_kept() -> None:
    desk = Desk()
    desk.place(SWAP, sz="10")
    desk.pass_time(700)
    assert verdict(desk)["unprotected"][0]["lasted_ms"] == 700
    stop = desk.stop(SWAP, sz="10", slTriggerPx="59000")
    desk.pass_time(5_000)
    assert verdict(desk)["longest_gap_ms"] == 700

    desk.cancel_stop(stop)
    desk.pass_time(1_300)

    found = verdict(desk)
    assert not found["clean"]
    assert [gap["lasted_ms"] for gap in found["gaps"]] == [700, 1_300]


def test_a_stop_that_is_too_small_does_not_protect_the_rest() -> None:
    desk = Desk()
    desk.place(SWAP, sz="10")

    desk.stop(SWAP, sz="6", slTriggerPx="59000")

    assert ledger(desk.account)["positions"] == [
        {"instId": SWAP, "posSide": "net", "pos": "10", "stopped": "6"}
    ]
    assert verdict(desk)["unprotected"]


def test_dust_that_no_lot_could_cover_needs_no_stop() -> None:
    desk = Desk()
    desk.place(sz="0.1")

    desk.stop(sz="0.099", slTriggerPx="59000")

    assert not verdict(desk)["unprotected"]


def test_a_target_is_no_protection() -> None:
    desk = Desk()
    desk.place(SWAP, sz="10")

    desk.stop(SWAP, sz="10", tpTriggerPx="61000")

    assert verdict(desk)["unprotected"]


def test_coins_that_were_there_before_need_no_stop() -> None:
    desk = Desk(USDT="10000", BTC="1")
    assert verdict(desk)["clean"]

    desk.place(sz="0.1")

    assert verdict(desk)["unprotected"][0]["instId"] == SPOT


def test_a_leg_that_filled_twice_is_a_duplicate() -> None:
    desk = Desk()
    desk.place(SWAP, sz="5", clOrdId=ours("entry-0"))
    assert not verdict(desk)["duplicates"]

    desk.place(SWAP, sz="5", clOrdId=ours("entry-0", epoch=1))

    assert verdict(desk)["duplicates"][0]["filled"] == "10"


def test_a_leg_that_was_placed_again_after_it_was_canceled_is_none() -> None:
    desk = Desk()
    first = desk.place(SWAP, sz="5", px="59000", clOrdId=ours("entry-0"))
    desk.cancel(first)

    desk.place(SWAP, sz="5", clOrdId=ours("entry-0", epoch=1))

    assert not verdict(desk)["duplicates"]


def test_closing_more_than_was_opened_is_told() -> None:
    desk = Desk()
    desk.place(SWAP, sz="5", clOrdId=ours("entry-0"))

    desk.place(SWAP, side="sell", sz="8", clOrdId=ours("stop-0"))

    assert verdict(desk)["oversold"][0]["closed"] == "8"


def test_the_judge_knows_the_daemons_ids() -> None:
    assert is_ours(ours("entry-0"))
    assert not is_ours("somebodyelses")


def test_a_stop_left_behind_is_an_orphan() -> None:
    desk = Desk()
    desk.place(SWAP, sz="10")
    desk.stop(SWAP, sz="10", slTriggerPx="59000", algoClOrdId="g1")

    outside.close(desk.account, SWAP)

    assert [row["algoClOrdId"] for row in verdict(desk)["orphans"]] == ["g1"]


def test_a_person_closes_spot_by_canceling_what_binds_it() -> None:
    desk = Desk()
    desk.place(sz="0.1")
    stop = desk.stop(sz="0.0999", slTriggerPx="59000")

    (order,) = outside.close(desk.account, SPOT)

    assert desk.algo(stop)["state"] == "canceled"
    assert (order.client_id, desk.cash("BTC")) == ("", 0)


def test_a_person_moves_a_stop_and_takes_money_out() -> None:
    desk = Desk()
    desk.place(SWAP, sz="10")
    stop = desk.stop(SWAP, sz="10", slTriggerPx="59000")

    outside.move_stop(desk.account, SWAP, Decimal(58500))
    outside.transfer(desk.account, "USDT", Decimal(-1000))

    assert desk.algo(stop)["slTriggerPx"] == "58500"
    assert (desk.account.bills[-1].type, desk.account.bills[-1].sub_type) == ("1", "12")


def test_everything_can_be_done_over_http() -> None:
    async def work() -> None:
        async with trading() as client:
            done = [
                await client.control("POST", path, body)
                for path, body in (
                    ("price", {"instId": SWAP, "last": "61000", "mark": "60990"}),
                    ("price", {"frozen": True}),
                    ("outside/order", {"instId": SWAP, "side": "buy", "sz": "10"}),
                    ("outside/funding", {"instId": SWAP, "rate": "0.001"}),
                    ("outside/cancel-stops", {"instId": SWAP}),
                    ("outside/cancel-orders", {"instId": SWAP}),
                    ("outside/move-stop", {"instId": SWAP, "slTriggerPx": "59000"}),
                    ("outside/close", {"instId": SWAP, "share": "0.5"}),
                    ("outside/liquidate", {"instId": SWAP}),
                    ("outside/transfer", {"ccy": "USDT", "amt": "-10"}),
                    ("liquidity", {"instId": SWAP, "sz": "5"}),
                    ("liquidity", {"instId": SWAP, "sz": None}),
                    ("suspend", {"instId": SWAP, "on": True}),
                    ("reject-children", {"codes": ["51008"]}),
                    ("faults", {"kind": "lost", "match": "POST trade/order", "count": 2}),
                    ("clock", {"skew_ms": "0"}),
                    ("sockets", {"do": "cut", "silent": False}),
                    ("maintenance", {"on": False}),
                )
            ]
            reads = [
                await client.control("GET", path) for path in ("", "ledger", "judge", "faults")
            ]
            cleared = await client.control("DELETE", "faults")

            assert [one["status"] for one in [*done, *reads, cleared]] == [200] * 23
            assert reads[0]["answer"]["prices"][SWAP] == "61000"
            assert reads[3]["answer"][0]["kind"] == "lost"
            assert not client.sandbox.faults.rules

    run(work)


def test_control_refuses_what_makes_no_sense_and_pages_of_a_browser() -> None:
    async def work() -> None:
        async with trading() as client:
            refused = [
                await client.control("POST", "faults", {"kind": "unheard-of"}),
                await client.control("POST", "price", {"instId": "NOPE", "last": "1"}),
                await client.control("POST", "price", [1]),
                await client.control("GET", "nothing"),
                await client.control("GET", "ledger", Origin="http://evil.example"),
                await client.control("GET", "ledger", Host="evil.example"),
            ]

            assert [one["status"] for one in refused] == [400, 400, 400, 404, 403, 403]

    run(work)


@pytest.mark.parametrize("code", CODES)
def test_every_code_can_be_a_fault_on_demand(code: str) -> None:
    assert "{" not in VenueRefusal(code).text
