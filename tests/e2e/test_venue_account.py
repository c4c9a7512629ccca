"""Real daemons that are started again with another account than what is open was opened in."""

import re
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from exchanges.sandbox import DEMO_KEY, Key, SandboxSettings
from tests.e2e.attempts import attempt, logged
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.sandbox_desk import Desk, sandbox_desk
from tests.e2e.test_venue_bad_input import causes, doctor
from tests.e2e.test_venue_lives import ready, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.usefixtures("login")]
WITHIN_S = 20
OTHER_KEY = Key("another-key", "another-secret", "another-passphrase")
LIVE_KEY = Key(DEMO_KEY.key, DEMO_KEY.secret, DEMO_KEY.passphrase, is_demo=False)


def with_another_account(desk: Desk, balances: dict[str, Decimal]) -> Any:
    """Let the other key be of another account at the same venue; return that."""

    def admitted() -> Any:
        world = desk.sandbox.world
        account = desk.sandbox.venue.open_account(balances)
        world.gate.admit_key(OTHER_KEY, account)
        return account

    return desk.do(admitted)


def requests_of(desk: Desk, account: Any) -> list[str]:
    """Return what is asked of an account from now on; it grows."""
    gate, asked = desk.sandbox.world.gate, list[str]()
    enter = gate.enter

    def noted(headers: Any, method: str, target: str, *more: Any) -> Any:
        entered = enter(headers, method, target, *more)
        if entered is account:
            asked.append(f"{method} {target}")
        return entered

    desk.do(lambda: setattr(gate, "enter", noted))
    return asked


def opened(daemon: Daemon, quantity: str = "0.02") -> str:
    ready(daemon)
    told = daemon.cli("open", "BTC/USDT", "long", "--quantity", quantity, "--stop", "59000")
    position = str(told["position"]["id"])
    until(daemon, position, status="open_protected")
    return position


def test_what_was_opened_with_demo_money_does_not_sell_real_coins(processes: Processes) -> None:
    with sandbox_desk() as demo:
        daemon = processes.run(demo.config(kind="spot"))
        opened(daemon)
        assert daemon.process.stop() == 0
    balances = {"USDT": Decimal(500), "BTC": Decimal(1)}
    with sandbox_desk(SandboxSettings(key=LIVE_KEY, balances=balances)) as live:
        confirmed = "environment: live\n    confirm_live: true"
        text = live.config(kind="spot", environment="live").replace("environment: live", confirmed)
        daemon.config.write_text(f"data_dir: {daemon.client.path.parent}\n{text}")

        refused = attempt(daemon.config, "run")

        refused.assert_refused("ENVIRONMENT_CHANGED", "1 open in the demo account")
        assert live.do(lambda: live.account.assets["BTC"].cash) == 1
        assert not live.do(lambda: list(live.account.algos))


def test_another_name_of_the_account_does_not_leave_a_position_without_limits(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    opened(daemon)
    assert daemon.process.stop() == 0
    daemon.config.write_text(daemon.config.read_text().replace("name: main", "name: other"))

    refused = attempt(daemon.config, "run")

    refused.assert_refused("ACCOUNT_CHANGED", "main has 1 open", "account.name to main")


@pytest.mark.parametrize("kind", ["spot", "swap"])
def test_with_the_key_of_another_account_nothing_is_sent_and_nothing_is_booked(
    desk: Desk, processes: Processes, login: Callable[[Key], None], kind: str
) -> None:
    others = with_another_account(desk, {"USDT": Decimal(500), "BTC": Decimal(1)})
    asked = requests_of(desk, others)
    inst_id = "BTC-USDT" if kind == "spot" else "BTC-USDT-SWAP"
    daemon = processes.run(desk.config(kind=kind))
    position = opened(daemon)
    before, equity = daemon.position(position), daemon.status()["equity"]
    assert daemon.process.stop() == 0

    login(OTHER_KEY)
    wrong = {each["what"]: each for each in doctor(daemon)}
    assert wrong["venue"]["level"] == "fail"
    assert wrong["venue"]["found"].startswith("OTHER_ACCOUNT: The key is of the demo account")
    daemon = processes.run(desk.config(kind=kind))
    wait_until(lambda: "OTHER_ACCOUNT" in causes(daemon), WITHIN_S, "it is told")
    assert "restart" in causes(daemon)["OTHER_ACCOUNT"]["way_out"]
    running = {each["what"]: each for each in doctor(daemon)}
    assert running["venue"]["found"].startswith("OTHER_ACCOUNT")
    time.sleep(8)  # a difference would have been looked into by now, and booked
    desk.price(inst_id, "58900")  # beyond the stop
    time.sleep(4)

    assert not desk.do(lambda: [*others.orders, *others.algos])
    assert desk.do(lambda: others.assets["BTC"].cash) == 1
    assert set(asked) == {"GET /api/v5/account/config"}
    found = daemon.position(position)
    for name in ("remaining_quantity", "entry_price", "fills"):
        assert found[name] == before[name], name
    assert not found["status"].startswith("closed")
    assert daemon.process.stop() == 0
    assert not logged(daemon, "balance_corrected")
    assert not logged(daemon, "account_moved")

    # With the right key again it goes on, from where it was.
    login(DEMO_KEY)
    daemon = processes.run(desk.config(kind=kind))
    wait_until(
        lambda: daemon.position(position)["status"].startswith("closed"), WITHIN_S, "it is closed"
    )
    ready(daemon)
    assert daemon.position(position)["exit_reason"] == "STOP_LOSS"
    assert Decimal(daemon.status()["equity"]) == pytest.approx(Decimal(equity) - 22, abs=Decimal(5))


def test_another_key_of_the_same_account_is_as_good(
    desk: Desk, processes: Processes, login: Callable[[Key], None]
) -> None:
    daemon = processes.run(desk.config())
    position = opened(daemon)
    assert daemon.process.stop() == 0
    desk.do(lambda: desk.sandbox.world.gate.admit_key(OTHER_KEY, desk.account))
    login(OTHER_KEY)

    daemon = processes.run(desk.config())

    ready(daemon)
    until(daemon, position, status="open_protected")
    daemon.cli("close", position)
    wait_until(lambda: not desk.do(lambda: list(desk.account.open_positions())), WITHIN_S, "flat")


def test_with_nothing_open_another_account_begins_anew(
    desk: Desk, processes: Processes, login: Callable[[Key], None]
) -> None:
    with_another_account(desk, {"USDT": Decimal(500)})
    daemon = processes.run(desk.config())
    ready(daemon)
    assert daemon.process.stop() == 0
    login(OTHER_KEY)

    daemon = processes.run(desk.config())

    ready(daemon)
    assert Decimal(daemon.status()["equity"]) == 500
    told = attempt(daemon.config, "why", "main")
    assert re.search(r"at the venue it is the demo account \d+", told.out)
    assert not logged(daemon, "balance_corrected")
    opened(daemon, "0.005")
