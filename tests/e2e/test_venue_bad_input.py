"""Real daemons and a venue that does not like the login: each trouble by its name, and its end.

Whatever is wrong, the daemon starts, answers, says what it is with the venue's own code, and takes
no entry. When the venue is content again, so is the daemon, without a restart.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from daemon.admin_requests import Mode, Open
from domain.errors import Refusal
from domain.instrument import Direction
from exchanges.sandbox import DEMO_KEY, Key, SandboxSettings
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.sandbox_desk import Desk, sandbox_desk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90), pytest.mark.usefixtures("login")]
WITHIN_S = 20
ENTRY = Open(
    symbol="BTC/USDT",
    direction=Direction.LONG,
    quantity=Decimal("0.01"),
    stop=Decimal(1000),
)


def causes(daemon: Daemon) -> dict[str, Any]:
    return {each["code"]: each for each in daemon.ask(Mode())["causes"]}


def cause(daemon: Daemon, code: str) -> dict[str, Any]:
    """Wait for a cause, and see that nothing is opened meanwhile."""
    wait_until(lambda: code in causes(daemon), WITHIN_S, f"{code} is told")
    found = causes(daemon)[code]
    assert found["mode"] == "NO_ENTRY"
    assert found["way_out"]
    assert isinstance(daemon.client.ask(ENTRY), Refusal)
    ready = daemon.health()
    assert not ready["ready"]
    assert ready["live"]
    return found


def over(daemon: Daemon) -> None:
    wait_until(lambda: not causes(daemon), WITHIN_S, "nothing stands against entries")


@pytest.mark.parametrize(
    ("key", "code", "venue_code"),
    [
        (replace(DEMO_KEY, key="another"), "WRONG_KEY", "50111"),
        (replace(DEMO_KEY, secret="another"), "WRONG_KEY", "50113"),
        (replace(DEMO_KEY, passphrase="another"), "WRONG_KEY", "50105"),
    ],
)
def test_a_wrong_key_is_named(
    desk: Desk,
    processes: Processes,
    login: Callable[[Key], None],
    key: Key,
    code: str,
    venue_code: str,
) -> None:
    login(key)
    daemon = processes.run(desk.config())

    told = cause(daemon, code)

    assert venue_code in told["message"]
    assert "another" not in daemon.process.text()


def test_a_key_of_the_other_environment_is_named(desk: Desk, processes: Processes) -> None:
    config = desk.config(environment="live").replace(
        "environment: live", "environment: live\n    confirm_live: true"
    )
    daemon = processes.run(config)

    told = cause(daemon, "WRONG_ENVIRONMENT")

    assert "50101" in told["message"]
    assert "environment" in told["way_out"]
    assert daemon.status()["environment"] == "live"


@pytest.mark.parametrize(
    ("permissions", "code"),
    [
        ("read_only,trade,withdraw", "WITHDRAW_PERMISSION"),
        ("read_only", "NO_TRADE_PERMISSION"),
    ],
)
def test_wrong_permissions_are_named_until_they_are_mended_at_the_venue(
    desk: Desk, processes: Processes, permissions: str, code: str
) -> None:
    desk.do(lambda: setattr(desk.account, "permissions", permissions))
    daemon = processes.run(desk.config())
    cause(daemon, code)

    desk.do(lambda: setattr(desk.account, "permissions", "read_only,trade"))

    over(daemon)


def test_a_symbol_that_the_venue_does_not_list_is_refused_and_the_others_trade(
    desk: Desk, processes: Processes
) -> None:
    rules = "{tick_size: 0.1, lot_size: 1, min_notional: 5, contract_size: 1}"
    daemon = processes.run(
        desk.config("BTC/USDT", "FOO/USDT", more=f"instruments: {{FOO/USDT: {rules}}}")
    )
    over(daemon)

    refusal = daemon.client.ask(msgspec.structs.replace(ENTRY, symbol="FOO/USDT"))

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "UNKNOWN_SYMBOL"
    assert "okx-demo does not list FOO/USDT" in refusal.message


def test_a_clock_that_is_a_minute_off_is_named(desk: Desk, processes: Processes) -> None:
    desk.do(lambda: setattr(desk.sandbox.world, "skew_ms", 60_000))
    daemon = processes.run(desk.config())

    told = cause(daemon, "CLOCK_SKEW")

    assert "clock" in told["message"]
    assert "NTP" in told["way_out"]
    offset_s = daemon.status()["link"]["clock_offset_s"]
    assert 59 < offset_s < 61


def test_a_position_mode_that_changes_under_an_open_position_is_named(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    over(daemon)
    daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.01", "--stop", "59000")

    desk.do(lambda: setattr(desk.account, "position_mode", "long_short_mode"))
    desk.do(desk.sandbox.sockets.cut)  # the login is looked at again once the stream is back

    told = cause(daemon, "POSITION_MODE")
    assert "was net when what is open (1) began, and is hedge now" in told["message"]


def test_stop_orders_that_are_not_taken_stop_entries(desk: Desk, processes: Processes) -> None:
    desk.do(lambda: desk.sandbox.fault("gone", "trade/cancel-algos", count=None))
    daemon = processes.run(desk.config())

    cause(daemon, "STOPS_UNAVAILABLE")

    desk.do(desk.sandbox.faults.rules.clear)
    over(daemon)


def test_maintenance_is_told_with_the_venue_s_word_and_ends(
    desk: Desk, processes: Processes
) -> None:
    desk.do(lambda: setattr(desk.sandbox.world, "maintenance", True))
    daemon = processes.run(desk.config())

    told = cause(daemon, "VENUE_DOWN")

    assert "50001" in told["message"]
    desk.do(lambda: setattr(desk.sandbox.world, "maintenance", False))
    over(daemon)


def test_a_venue_that_cannot_be_reached_at_the_start_is_found_when_it_is_there(
    processes: Processes,
) -> None:
    with sandbox_desk() as desk:
        config, port = desk.config(), desk.port
    daemon = processes.run(config)
    cause(daemon, "VENUE_DOWN")
    link = daemon.status()["link"]
    assert not link["stream_up"]

    with sandbox_desk(SandboxSettings(port=port)):
        over(daemon)
        wait_until(lambda: daemon.status()["link"]["stream_up"], WITHIN_S, "the stream is up")


def test_doctor_says_what_a_stopped_daemon_would_meet(
    desk: Desk, processes: Processes, login: Callable[[Key], None]
) -> None:
    daemon = processes.run(desk.config())
    over(daemon)
    running = {each["what"]: each for each in doctor(daemon)}
    assert running["venue"]["level"] == "ok"
    assert daemon.process.stop() == 0

    stopped = {each["what"]: each for each in doctor(daemon)}
    assert stopped["venue"]["level"] == "ok"
    assert stopped["symbols"]["level"] == "ok"
    assert stopped["stop orders"]["level"] == "ok"

    login(replace(DEMO_KEY, passphrase="another"))
    wrong = {each["what"]: each for each in doctor(daemon)}
    assert wrong["venue"]["level"] == "fail"
    assert wrong["venue"]["found"].startswith("WRONG_KEY: The venue says 50105")
    assert "another" not in str(wrong)


def doctor(daemon: Daemon) -> list[dict[str, Any]]:
    return daemon.cli_anyhow("doctor")["checks"]
