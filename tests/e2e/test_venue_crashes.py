"""A real daemon dies between the venue's doing and its own knowing; the next one finds out.

What the first life still sent is done at the venue by its id, as if it had left a moment before
the kill. Until the venue may be read again, the second life knows of nothing.
"""

import pytest

from domain.ids import AccountName, client_order_id
from exchanges.sandbox.algos import amend_algo
from exchanges.sandbox.params import Params
from exchanges.sandbox.trading import place
from tests.e2e.harness import Daemon, Processes
from tests.e2e.sandbox_desk import Desk
from tests.e2e.test_venue_lives import ready, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90), pytest.mark.usefixtures("login")]
BTC = "BTC-USDT-SWAP"


def opened(daemon: Daemon, *more: str) -> str:
    ready(daemon)
    answer = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.02", *more)
    found: str = answer["position"]["id"]
    until(daemon, found, status="open_protected")
    return found


def sell(desk: Desk, position: str, leg: str, contracts: str) -> None:
    """Let the venue execute what a daemon sent for an exit."""
    order_id = client_order_id(AccountName("main"), position, leg, 0)
    fields = {
        "instId": BTC,
        "tdMode": "cross",
        "side": "sell",
        "ordType": "market",
        "sz": contracts,
        "reduceOnly": "true",
        "clOrdId": order_id,
    }
    desk.do(lambda: place(desk.account, Params(fields)))


def test_a_target_that_sold_before_the_crash_and_is_canceled_after_it_is_booked(
    desk: Desk, processes: Processes
) -> None:
    config = desk.config()
    daemon = processes.run(config)
    position = opened(daemon, "--stop", "55000", "--target", "61000:50%")
    daemon.process.kill()
    sell(desk, position, "target-1", "1")
    desk.do(lambda: desk.sandbox.fault("code", "GET *", count=None))

    daemon = processes.run(config)
    daemon.cli("cancel-target", position, "target-1")
    desk.do(desk.sandbox.faults.clear)

    found = until(daemon, position, remaining_quantity="0.01", status="open_protected")
    assert [each["reason"] for each in found["exits"]] == ["TAKE_PROFIT"]
    ready(daemon)
    assert "FOREIGN_FILL" not in daemon.process.text()
    assert "CLOSED_OUTSIDE" not in daemon.process.text()


def test_a_stop_that_the_daemon_made_smaller_before_the_crash_blames_nobody(
    desk: Desk, processes: Processes
) -> None:
    config = desk.config()
    daemon = processes.run(config)
    position = opened(daemon, "--stop", "55000", "--target", "61000:50%")
    daemon.process.kill()

    def make_smaller() -> None:
        for stop in list(desk.account.armed[BTC].values()):
            amend_algo(desk.account, Params({"instId": BTC, "algoId": stop.algo_id, "newSz": "1"}))

    desk.do(make_smaller)
    sell(desk, position, "target-1", "1")

    daemon = processes.run(config)

    until(daemon, position, remaining_quantity="0.01", status="open_protected")
    ready(daemon)
    sizes = desk.do(lambda: [each.size for each in desk.account.armed[BTC].values()])
    assert sizes == [1]
    assert "STOP_CHANGED_WHILE_DOWN" in daemon.process.text()
    assert "STOP_CHANGED_OUTSIDE" not in daemon.process.text()
