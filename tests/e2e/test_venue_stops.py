"""A stop rests at the venue, and guards a position without the daemon: a real daemon, a sandbox."""

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from exchanges.sandbox import outside, trading
from exchanges.sandbox.attached import attach
from tests.e2e.harness import Processes, wait_until
from tests.e2e.sandbox_desk import Desk
from tests.e2e.test_venue_lives import WITHIN_S, held, ready, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90), pytest.mark.usefixtures("login")]
D = Decimal


def resting(desk: Desk) -> list[tuple[Decimal | None, Decimal]]:
    """Return trigger price and size (contracts, for a swap) of what rests."""
    return desk.do(
        lambda: [
            (each.sl_trigger, each.size) for each in desk.account.algos.values() if each.is_working
        ]
    )


def rests(desk: Desk, *stops: tuple[str, str]) -> None:
    wanted = [(D(price), D(size)) for price, size in stops]
    wait_until(lambda: resting(desk) == wanted, WITHIN_S, f"{wanted}, not {resting(desk)}")


@pytest.mark.parametrize(("kind", "last"), [("swap", "BTC-USDT-SWAP"), ("spot", "BTC-USDT")])
def test_the_stop_rests_at_the_venue_and_fires_there_though_the_daemon_is_dead(
    desk: Desk, processes: Processes, kind: str, last: str
) -> None:
    config = desk.config(kind=kind)
    daemon = processes.run(config)
    ready(daemon)
    position = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.02", "--stop", "59000")[
        "position"
    ]["id"]
    size = "2" if kind == "swap" else "0.01998"  # a contract is 0.01; spot pays its fee in coin
    found = until(daemon, position, status="open_protected", stop_lives="venue")
    assert found["stop_at"]["price"] == "59000"
    rests(desk, ("59000", size))

    daemon.cli("move-stop", position, "59500")
    rests(desk, ("59500", size))
    until(daemon, position, status="open_protected", stop_lives="venue")

    daemon.process.kill()
    desk.price(last, "59400")
    wait_until(lambda: not resting(desk), WITHIN_S, "it fires at the venue")

    daemon = processes.run(config)
    over = until(daemon, position, status="closed")
    assert over["exit_reason"] == "STOP_LOSS"
    assert [each["reason"] for each in over["exits"]] == ["STOP_LOSS"]
    assert held(desk) == []


@pytest.mark.parametrize("kind", ["swap", "spot"])
def test_a_target_shrinks_it_a_close_removes_it(
    desk: Desk, processes: Processes, kind: str
) -> None:
    daemon = processes.run(desk.config(kind=kind))
    ready(daemon)
    position = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.04", "--stop", "59000",
                          "--target", "61000:50%")["position"]["id"]  # fmt: skip
    until(daemon, position, status="open_protected", stop_lives="venue")
    desk.price("BTC-USDT-SWAP" if kind == "swap" else "BTC-USDT", "61010")
    wait_until(lambda: len(daemon.position(position)["exits"]) == 1, WITHIN_S, "the target fires")
    rests(desk, ("59000", "2" if kind == "swap" else "0.01998"))
    until(daemon, position, status="open_protected", stop_lives="venue")

    daemon.cli("close", position)
    until(daemon, position, status="closed", exit_reason="MANUAL_CLOSE")
    assert resting(desk) == []
    assert held(desk) == []


def test_a_trailing_stop_follows_the_price_at_the_venue(desk: Desk, processes: Processes) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    position = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.02", "--trail", "2%")[
        "position"
    ]["id"]
    found = until(daemon, position, status="open_protected", stop_lives="venue")
    assert found["stop_at"]["trail_pct"] == "2"

    daemon.process.kill()
    desk.price("BTC-USDT-SWAP", "62000")
    desk.do(lambda: None)
    desk.price("BTC-USDT-SWAP", "60700")
    wait_until(lambda: not held(desk), WITHIN_S, "it fires 2 % below the best price")


def test_a_trailing_stop_that_follows_the_price_was_changed_by_nobody(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    position = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.02", "--trail", "2%")[
        "position"
    ]["id"]
    first = until(daemon, position, status="open_protected", stop_lives="venue")["stop_at"]

    for price in ("61000", "61500", "62000"):
        desk.price("BTC-USDT-SWAP", price)
        daemon.cli("reconcile")  # the venue tells another level each time

    assert until(daemon, position, status="open_protected")["stop_at"] == first
    assert "STOP_CHANGED_OUTSIDE" not in daemon.process.text()


@pytest.mark.parametrize("action", ["canceled", "moved"])
def test_what_a_person_does_to_it_on_the_site_is_undone(
    desk: Desk, processes: Processes, action: str
) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    position = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.02", "--stop", "59000")[
        "position"
    ]["id"]
    until(daemon, position, status="open_protected", stop_lives="venue")
    if action == "canceled":
        desk.do(lambda: outside.cancel_stops(desk.account, "BTC-USDT-SWAP"))
    else:
        desk.do(lambda: outside.move_stop(desk.account, "BTC-USDT-SWAP", D(58_000)))
    rests(desk, ("59000", "2"))
    until(daemon, position, status="open_protected", stop_lives="venue")


@pytest.mark.parametrize(("kind", "size"), [("swap", "2"), ("spot", "0.01998")])
def test_killed_as_the_entry_fills_the_venue_holds_its_stop_all_the_same(
    desk: Desk, processes: Processes, monkeypatch: pytest.MonkeyPatch, kind: str, size: str
) -> None:
    config = desk.config(kind=kind)
    daemon = processes.run(config)
    ready(daemon)

    def killing(account: Any, order: Any) -> None:
        attach(account, order)
        daemon.process.kill()  # before it could hear of the fill

    with monkeypatch.context() as patch:
        patch.setattr(trading, "attach", killing)
        with suppress(AssertionError):  # it may die before it answers
            daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.02", "--stop", "59000")
        wait_until(lambda: not daemon.process.is_running, WITHIN_S, "the daemon is dead")
    assert resting(desk) == [(D(59_000), D(size))]

    daemon = processes.run(config)
    ready(daemon)
    (position,) = [each["id"] for each in daemon.positions()]
    until(daemon, position, status="open_protected", stop_lives="venue")
    daemon.cli("move-stop", position, "59500")
    rests(desk, ("59500", size))
    until(daemon, position, status="open_protected", stop_lives="venue")
    if kind == "swap":
        assert len(desk.do(lambda: list(desk.account.algos))) == 1  # it was moved, none was added
    daemon.cli("close", position)
    until(daemon, position, status="closed")
    assert resting(desk) == []
    assert held(desk) == []
