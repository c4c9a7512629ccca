"""Entries that rest at a venue which lives on: a daemon that stops in good order leaves none."""

from decimal import Decimal

import pytest

from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.sandbox_desk import Desk
from tests.e2e.test_venue_lives import WITHIN_S, held, ready, resting, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.usefixtures("login")]
D = Decimal


def working(desk: Desk) -> list[str]:
    def found() -> list[str]:
        return [each.client_id for each in desk.account.orders.values() if each.is_working]

    return desk.do(found)


def rest_an_entry(daemon: Daemon, desk: Desk) -> str:
    opened = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.05", "--limit", "59500",
                        "--stop", "59000")  # fmt: skip
    wait_until(lambda: len(working(desk)) == 1, WITHIN_S, "the entry rests")
    position_id: str = opened["position"]["id"]
    return position_id


def test_a_drain_cancels_an_entry_that_would_fill_without_a_stop(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    position_id = rest_an_entry(daemon, desk)

    daemon.cli("drain")
    wait_until(lambda: not daemon.process.is_running, WITHIN_S, "it has ended")

    assert working(desk) == []
    desk.price("BTC-USDT-SWAP", "55000")
    assert held(desk) == []
    again = processes.run(desk.config())
    assert again.position(position_id)["exit_reason"] == "NEVER_FILLED"


def test_an_addition_is_canceled_too_and_what_is_held_keeps_its_stop(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    opened = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.02", "--stop", "59000")
    position_id = opened["position"]["id"]
    until(daemon, position_id, status="open_protected", stop_lives="venue")
    daemon.cli("add", position_id, "--quantity", "0.01", "--limit", "59500")
    wait_until(lambda: len(working(desk)) == 1, WITHIN_S, "the addition rests")

    assert daemon.process.stop() == 0

    assert working(desk) == []
    resting(desk, ("59000", "2"))
    desk.price("BTC-USDT-SWAP", "59400")
    assert [each.size for each in held(desk)] == [2]


def test_a_drain_that_cannot_cancel_in_time_ends_all_the_same_and_says_what_to_do(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    rest_an_entry(daemon, desk)
    (order_id,) = working(desk)
    desk.do(lambda: desk.sandbox.fault("html", "*cancel*", count=None, status=502))

    assert daemon.process.stop() == 0

    (line,) = [each for each in daemon.process.text().splitlines() if "entries_left" in each]
    assert f"BTC/USDT {order_id}" in line
    assert working(desk) == [order_id]
