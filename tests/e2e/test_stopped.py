"""SIGSTOP for seconds, SIGCONT: what happened meanwhile is learned before anything is opened."""

import os
import signal
import time
from decimal import Decimal

import pytest

from daemon.admin_requests import Mode, Open
from domain.errors import Refusal
from domain.instrument import Direction
from exchanges.sandbox import outside
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.sandbox_desk import Desk
from tests.e2e.test_venue_lives import WITHIN_S, ready, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.usefixtures("login")]
D = Decimal
STOPPED_S = float(os.environ.get("HOLDFAST_STOPPED_S", "8"))  # by hand: minutes


def bought(daemon: Daemon, symbol: str, quantity: str, stop: str) -> str:
    position_id = daemon.cli("open", symbol, "long", "--quantity", quantity, "--stop", stop)[
        "position"
    ]["id"]
    until(daemon, position_id, status="open_protected", stop_lives="venue")
    return position_id


def codes(daemon: Daemon) -> set[str]:
    return {each["code"] for each in daemon.ask(Mode())["causes"]}


def test_a_daemon_that_was_stopped_learns_first_and_opens_later(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config("BTC/USDT", "ETH/USDT", "SOL/USDT"))
    ready(daemon)
    btc = bought(daemon, "BTC/USDT", "0.02", "59000")
    eth = bought(daemon, "ETH/USDT", "0.4", "2900")
    wait_until(lambda: not codes(daemon), WITHIN_S, "entries are allowed")
    orders_before = desk.do(lambda: len(desk.account.orders))

    os.kill(daemon.process.pid, signal.SIGSTOP)
    began_s = time.monotonic()
    desk.price("BTC-USDT-SWAP", "58900")  # the stop fires at the venue
    desk.do(lambda: outside.cancel_stops(desk.account, "ETH-USDT-SWAP"))  # a person's doing
    desk.price("SOL-USDT-SWAP", "140")
    while time.monotonic() - began_s < STOPPED_S:
        time.sleep(0.1)
    desk.price("BTC-USDT-SWAP", "60000")
    os.kill(daemon.process.pid, signal.SIGCONT)

    request = Open(symbol="SOL/USDT", direction=Direction.LONG, quantity=D(8), stop=D("130"))
    daemon.client.close()  # a connection that was idle for so long is hung up
    answer = daemon.client.ask(request)
    assert isinstance(answer, Refusal), answer
    assert answer.rule == "NO_ENTRY_MODE"
    assert {"WAS_STOPPED"} <= codes(daemon)

    over = until(daemon, btc, status="closed", exit_reason="STOP_LOSS")
    assert len(over["exits"]) == 1
    until(daemon, eth, status="open_protected", stop_lives="venue")
    wait_until(
        lambda: desk.do(lambda: len(desk.account.armed.get("ETH-USDT-SWAP", {}))) == 1,
        WITHIN_S,
        "its stop is back at the venue",
    )
    # One order came to be meanwhile: the stop's own. Nothing was sold twice.
    assert desk.do(lambda: len(desk.account.orders)) == orders_before + 1
    wait_until(lambda: not codes(daemon), 30, "entries are allowed again")
    bought(daemon, "SOL/USDT", "8", "130")
    judged = desk.do(desk.sandbox.judge)
    assert judged["clean"], judged
