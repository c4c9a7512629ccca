"""Two daemons: on one directory only one lives; on one account neither opens anything unseen."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.admin_requests import Mode, Open
from domain.errors import Refusal
from domain.instrument import Direction
from exchanges.sandbox import SandboxSettings
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.sandbox_desk import Desk, sandbox_desk
from tests.e2e.test_venue_lives import D, ready, until
from tests.races import run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
SEEN_WITHIN_S = 30.0


@pytest.fixture
def desk(login: None) -> Iterator[Desk]:
    del login
    with sandbox_desk(SandboxSettings()) as running:
        yield running


def test_of_two_daemons_that_start_at_once_on_one_directory_one_lives(tmp_path: Path) -> None:
    result = run(races=3, seed=1, directory=tmp_path)
    assert result["wrong"] == []
    assert result["one_lived"] == 3
    assert result["losers_that_said_why"] == 3


def codes(daemon: Daemon) -> set[str]:
    return {each["code"] for each in daemon.ask(Mode())["causes"]}


def test_a_second_daemon_on_the_same_account_opens_nothing_and_touches_nothing(
    desk: Desk, processes: Processes
) -> None:
    first = processes.run(desk.config(), name="first")
    ready(first)
    position = first.cli("open", "BTC/USDT", "long", "--quantity", "0.02", "--stop", "59000")[
        "position"
    ]["id"]
    until(first, position, status="open_protected", stop_lives="venue")
    before = desk.do(lambda: len(desk.account.orders))

    second = processes.run(desk.config("BTC/USDT", "ETH/USDT"), name="second")
    wait_until(
        lambda: "FOREIGN_ORDERS" in codes(second), SEEN_WITHIN_S, "it sees what is not its own"
    )
    answer = second.client.ask(
        Open(symbol="ETH/USDT", direction=Direction.LONG, quantity=D("0.4"), stop=D(2_900))
    )
    assert isinstance(answer, Refusal), answer
    assert answer.rule == "NO_ENTRY_MODE"
    wait_until(
        lambda: not {"RECONCILING", "HOLDINGS_UNREAD"} & codes(second), SEEN_WITHIN_S, "it looked"
    )
    assert desk.do(lambda: len(desk.account.orders)) == before
    armed = desk.do(lambda: list(desk.account.armed["BTC-USDT-SWAP"].values()))
    assert [each.sl_trigger for each in armed] == [D(59_000)]
    assert first.position(position)["status"] == "open_protected"
