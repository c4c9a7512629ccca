"""A real daemon at a venue where somebody else trades too: found, booked, guarded, in time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from daemon.admin_requests import Mode, Open, Reconcile
from domain.errors import Refusal
from domain.instrument import Direction
from exchanges.sandbox import SandboxSettings, outside
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.sandbox_desk import Desk, sandbox_desk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90), pytest.mark.usefixtures("login")]
WITHIN_S = 20
STREAM_S = 2.0  # 1 s is the aim; a busy machine gets another
POLLED_S = 16.0
SETTLED_S = 6.0  # after a fill of ours
BTC = "BTC-USDT-SWAP"
D = Decimal


@pytest.fixture(params=["net_mode"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    with sandbox_desk(SandboxSettings(position_mode=request.param)) as running:
        yield running


def adopting(desk: Desk) -> str:
    return desk.config().replace(
        "environment: demo", "environment: demo\n    unknown_positions: adopt"
    )


def resting(desk: Desk) -> int:
    return len(desk.account.armed.get(BTC, ())) + len(desk.account.working.get(BTC, ()))


def stops(desk: Desk) -> list[Decimal]:
    """Return the sizes of the stops that rest there, in base units."""
    return [one.size * D("0.01") for one in desk.account.armed.get(BTC, {}).values()]


def ready(daemon: Daemon) -> None:
    wait_until(lambda: not daemon.ask(Mode())["causes"], WITHIN_S, "nothing stands against entries")


def opened(daemon: Daemon, side: str = "long", stop: str = "55000") -> str:
    ready(daemon)
    answer = daemon.cli("open", "BTC/USDT", side, "--quantity", "0.02", "--stop", stop)
    found: str = answer["position"]["id"]
    wait_until(
        lambda: daemon.position(found)["status"] == "open_protected", WITHIN_S, "it is guarded"
    )
    return found


def took(condition: Callable[[], bool], within_s: float, what: str) -> float:
    began = time.monotonic()
    wait_until(condition, within_s, what)
    return time.monotonic() - began


def reason(daemon: Daemon, position: str) -> Any:
    return daemon.position(position)["exit_reason"]


def agrees(daemon: Daemon) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def is_so() -> bool:
        found.update(daemon.ask(Reconcile(dry_run=True)))
        return bool(found["agrees"])

    wait_until(is_so, WITHIN_S, f"both sides agree, not {found}")
    return found


@pytest.mark.parametrize("desk", ["net_mode", "long_short_mode"], indirect=True)
def test_what_a_person_closes_is_booked_within_a_second(desk: Desk, processes: Processes) -> None:
    daemon = processes.run(desk.config())
    position = opened(daemon)
    time.sleep(SETTLED_S)
    desk.do(lambda: outside.close(desk.account, BTC, share=D("0.5")))
    took(lambda: daemon.position(position)["remaining_quantity"] == "0.01", STREAM_S, "a half")
    wait_until(
        lambda: desk.do(lambda: stops(desk)) == [D("0.01")], WITHIN_S, "a stop for what is left"
    )
    wait_until(
        lambda: daemon.position(position)["status"] == "open_protected", WITHIN_S, "it is told so"
    )
    time.sleep(SETTLED_S)
    desk.do(lambda: outside.close(desk.account, BTC))
    took(lambda: reason(daemon, position) == "EXTERNAL", STREAM_S, "all of it")
    agrees(daemon)
    wait_until(lambda: desk.do(lambda: resting(desk)) == 0, WITHIN_S, "nothing is left there")


def test_without_the_private_stream_it_is_found_by_asking(desk: Desk, processes: Processes) -> None:
    daemon = processes.run(desk.config())
    position = opened(daemon)
    time.sleep(SETTLED_S)
    desk.do(lambda: setattr(desk.sandbox.sockets, "silent", True))
    desk.do(lambda: outside.close(desk.account, BTC))
    took(lambda: reason(daemon, position) == "EXTERNAL", POLLED_S, "found by asking")


def test_a_liquidation_is_one(desk: Desk, processes: Processes) -> None:
    daemon = processes.run(desk.config())
    position = opened(daemon, "short", "65000")
    time.sleep(SETTLED_S)
    desk.do(lambda: outside.liquidate(desk.account, BTC))
    took(lambda: reason(daemon, position) == "LIQUIDATED", STREAM_S, "it is booked")
    assert daemon.position(position)["status"] == "liquidated"
    agrees(daemon)


def test_a_position_nobody_opened_here_is_left_alone_until_it_is_taken_over(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    desk.do(lambda: outside.order(desk.account, {"instId": BTC, "side": "sell", "sz": "3"}))
    wait_until(lambda: bool(daemon.status()["quarantined"]), POLLED_S, "it is in quarantine")
    entry = Open(symbol="BTC/USDT", direction=Direction.LONG, quantity=D("0.01"), stop=D(1000))
    refused = daemon.client.ask(entry)
    assert isinstance(refused, Refusal)
    assert refused.rule == "SYMBOL_IN_QUARANTINE"
    assert daemon.positions() == []

    daemon.ask(Reconcile(adopt="BTC/USDT"))

    (found,) = daemon.positions()
    assert (found["side"], found["remaining_quantity"]) == ("SHORT", "0.03")
    price = D(found["entry_price"])
    assert price * D("1.049") < D(found["stop"]) < price * D("1.051")
    wait_until(
        lambda: daemon.position(found["id"])["status"] == "open_protected", WITHIN_S, "guarded"
    )
    assert daemon.status()["quarantined"] == {}
    wait_until(lambda: desk.do(lambda: stops(desk)) == [D("0.03")], WITHIN_S, "its stop rests")
    desk.price(BTC, str(price * D("1.06")))
    wait_until(lambda: reason(daemon, found["id"]) == "STOP_LOSS", WITHIN_S, "its stop acts")
    assert desk.do(lambda: list(desk.account.open_positions())) == []


def test_by_policy_it_is_adopted_and_given_a_stop(desk: Desk, processes: Processes) -> None:
    daemon = processes.run(adopting(desk))
    ready(daemon)
    desk.do(lambda: outside.order(desk.account, {"instId": BTC, "side": "buy", "sz": "3"}))
    wait_until(
        lambda: [each["status"] for each in daemon.positions()] == ["open_protected"],
        POLLED_S,
        "it is adopted",
    )
    agrees_but_for_the_fee = daemon.ask(Reconcile(dry_run=True))["symbols"]
    assert [row["state"] for row in agrees_but_for_the_fee] == ["equal"]


def many_trades(account: Any) -> None:
    """Let bills of 4,000 trades stand in the list, of ten minutes ago."""
    for _ in range(4000):
        bill = account.book("USDT", D(0), "2", sub_type="1")
        account.bills[-1] = replace(bill, at_ms=bill.at_ms - 600_000)


def test_a_transfer_before_thousands_of_trades_is_booked_after_a_restart(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    daemon.process.stop()
    desk.do(lambda: outside.transfer(desk.account, "USDT", D(5000)))
    desk.do(lambda: many_trades(desk.account))

    daemon = processes.run(desk.config())

    wait_until(lambda: D(daemon.status()["equity"]) == 15_000, 2 * WITHIN_S, "it is booked")
    assert "no answer within" in daemon.process.text()  # longer than a look may last
    assert "BALANCE_CORRECTED" not in daemon.process.text()


def test_funding_and_transfers_are_booked_as_what_they_are(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    position = opened(daemon)
    paid = desk.do(lambda: outside.fund(desk.account, BTC, D("0.001")))
    desk.do(lambda: outside.transfer(desk.account, "USDT", D(5000)))
    wait_until(lambda: D(daemon.position(position)["funding"]) == paid, WITHIN_S, "funding is told")
    balance = agrees(daemon)["balance"]
    assert balance["ours"] == balance["venue"]
    assert D(daemon.status()["drawdown_pct"]) < 1


@pytest.mark.parametrize("desk", ["net_mode", "long_short_mode"], indirect=True)
def test_the_margin_of_an_isolated_position_is_no_loss_as_long_as_it_lives(
    desk: Desk, processes: Processes
) -> None:
    isolated = "environment: demo\n    margin_mode: isolated"
    daemon = processes.run(desk.config().replace("environment: demo", isolated))

    def has_the_money_of_the_venue() -> None:
        balance = agrees(daemon)["balance"]
        assert balance["difference"] == "0"
        assert D(balance["venue"]) > 9_900
        assert D(daemon.status()["drawdown_pct"]) < 1

    position = opened(daemon)
    assert desk.do(lambda: desk.account.assets["USDT"].cash) < 8_900
    has_the_money_of_the_venue()
    desk.price(BTC, "60500")
    paid = desk.do(lambda: outside.fund(desk.account, BTC, D("0.001")))
    wait_until(lambda: D(daemon.position(position)["funding"]) == paid, WITHIN_S, "funding is told")
    has_the_money_of_the_venue()

    daemon.cli("close", position, "--part", "50%")
    wait_until(
        lambda: daemon.position(position)["remaining_quantity"] == "0.01", WITHIN_S, "half is sold"
    )
    has_the_money_of_the_venue()
    daemon.cli("close", position)
    wait_until(lambda: daemon.position(position)["status"] == "closed", WITHIN_S, "it is closed")

    has_the_money_of_the_venue()
    assert D(daemon.status()["equity"]) == desk.do(lambda: desk.account.equity("USDT"))
    assert "BALANCE_CORRECTED" not in daemon.process.text()


def test_what_was_closed_while_the_daemon_was_down_is_found(
    desk: Desk, processes: Processes
) -> None:
    config = desk.config()
    daemon = processes.run(config)
    position = opened(daemon)
    daemon.process.kill()
    desk.do(lambda: outside.close(desk.account, BTC))
    daemon = processes.run(config)
    took(lambda: reason(daemon, position) == "EXTERNAL", WITHIN_S, "found after the start")
    agrees(daemon)
