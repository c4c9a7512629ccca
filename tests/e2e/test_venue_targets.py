"""The last target rests at the venue, in one order with the stop: a real daemon, a sandbox."""

from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.harness import Processes, wait_until
from tests.e2e.sandbox_desk import Desk
from tests.e2e.test_venue_lives import WITHIN_S, held, ready, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90), pytest.mark.usefixtures("login")]
D = Decimal
BOTH = "protection: {target_at_venue: true}"


def resting(desk: Desk) -> list[tuple[str, Any, Any]]:
    """Return kind, stop and target of what rests."""
    return desk.do(
        lambda: [
            (each.type, each.sl_trigger, each.tp_trigger)
            for each in desk.account.algos.values()
            if each.is_working
        ]
    )


def rests(desk: Desk, *wanted: tuple[str, Any, Any]) -> None:
    wait_until(lambda: resting(desk) == list(wanted), WITHIN_S, f"{wanted}, not {resting(desk)}")


def opened(daemon: Any, *targets: str) -> str:
    found: str = daemon.cli(
        "open", "BTC/USDT", "long", "--quantity", "0.04", "--stop", "59000",
        *(word for target in targets for word in ("--target", target)),
    )["position"]["id"]  # fmt: skip
    until(daemon, found, status="open_protected", stop_lives="venue")
    return found


@pytest.mark.parametrize(("kind", "last"), [("swap", "BTC-USDT-SWAP"), ("spot", "BTC-USDT")])
def test_it_fires_there_though_the_daemon_is_dead(
    desk: Desk, processes: Processes, kind: str, last: str
) -> None:
    config = desk.config(kind=kind, more=BOTH)
    daemon = processes.run(config)
    ready(daemon)
    position = opened(daemon, "61000")
    rests(desk, ("oco", D(59000), D(61000)))
    daemon.cli("move-stop", position, "59500")
    rests(desk, ("oco", D(59500), D(61000)))
    until(daemon, position, status="open_protected", stop_lives="venue")

    daemon.process.kill()
    desk.price(last, "61100")
    wait_until(lambda: not resting(desk), WITHIN_S, "it fires at the venue")

    daemon = processes.run(config)
    over = until(daemon, position, status="closed")
    assert over["exit_reason"] == "TAKE_PROFIT"
    assert [each["reason"] for each in over["exits"]] == ["TAKE_PROFIT"]
    assert held(desk) == []


@pytest.mark.parametrize(("kind", "last"), [("swap", "BTC-USDT-SWAP"), ("spot", "BTC-USDT")])
def test_the_last_target_joins_the_stop_and_the_stop_still_fires(
    desk: Desk, processes: Processes, kind: str, last: str
) -> None:
    daemon = processes.run(desk.config(kind=kind, more=BOTH))
    ready(daemon)
    position = opened(daemon, "60500:50%", "61000:50%")
    rests(desk, ("conditional", D(59000), None))
    desk.price(last, "60510")
    rests(desk, ("oco", D(59000), D(61000)))
    until(daemon, position, status="open_protected", stop_lives="venue")

    desk.price(last, "58900")
    over = until(daemon, position, status="closed")
    assert over["exit_reason"] == "STOP_LOSS"
    assert [each["reason"] for each in over["exits"]] == ["TAKE_PROFIT", "STOP_LOSS"]
    assert resting(desk) == []
    assert held(desk) == []


def test_with_the_daemon_there_one_of_both_guards_closes_it_once(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config(more=BOTH))
    ready(daemon)
    position = opened(daemon, "61000")
    rests(desk, ("oco", D(59000), D(61000)))

    desk.price("BTC-USDT-SWAP", "61100")
    over = until(daemon, position, status="closed")
    assert over["exit_reason"] == "TAKE_PROFIT"
    assert [each["filled"] for each in over["exits"]] == ["0.04"]
    assert held(desk) == []
