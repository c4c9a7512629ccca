"""A real daemon trades whole lives at a venue: in, stop moved, a part at the target, stopped out.

The configuration names a server that speaks the venue's protocol, and nothing else is different
from the venue itself. At the end the venue's own ledger judges: nothing doubled, nothing left, and
the money is what the daemon says it is.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from daemon.admin_requests import Mode, Open
from domain.errors import Refusal
from domain.instrument import Direction
from exchanges.sandbox import SandboxSettings
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.sandbox_desk import Desk, sandbox_desk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90), pytest.mark.usefixtures("login")]
WITHIN_S = 20
D = Decimal


@pytest.fixture(params=["net_mode", "long_short_mode"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    with sandbox_desk(SandboxSettings(position_mode=request.param)) as running:
        yield running


def ready(daemon: Daemon) -> None:
    wait_until(lambda: not daemon.ask(Mode())["causes"], WITHIN_S, "nothing stands against entries")


def until(daemon: Daemon, position_id: str, **wanted: Any) -> dict[str, Any]:
    """Wait until a position is so; return it."""

    def is_so() -> bool:
        found = daemon.position(position_id)
        return all(found[name] == value for name, value in wanted.items())

    wait_until(is_so, WITHIN_S, f"{position_id} is {wanted}, not {daemon.position(position_id)}")
    return daemon.position(position_id)


def cash(desk: Desk) -> Decimal:
    return desk.do(lambda: desk.account.assets["USDT"].cash)


def held(desk: Desk) -> list[Any]:
    return desk.do(lambda: list(desk.account.open_positions()))


def resting(desk: Desk, *stops: tuple[str, str]) -> None:
    """Wait until exactly these stops rest at the venue: price and size as it counts."""

    def found() -> set[tuple[Decimal, Decimal]]:
        live = (each for each in desk.account.algos.values() if each.state == "live")
        return {(each.sl_trigger, each.size) for each in live}

    wanted = {(D(price), D(size)) for price, size in stops}
    wait_until(lambda: desk.do(found) == wanted, WITHIN_S, f"{wanted} rest at the venue")


def same_money(daemon: Daemon, desk: Desk) -> None:
    def is_same() -> bool:
        return D(daemon.status()["equity"]) == cash(desk)

    wait_until(is_same, WITHIN_S, "the daemon has the money that the venue says")


def test_swaps_live_whole_lives_long_and_short(desk: Desk, processes: Processes) -> None:
    daemon = processes.run(desk.config("BTC/USDT", "ETH/USDT"))
    ready(daemon)

    long = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.02", "--stop", "59000",
                      "--target", "61000:50%")["position"]["id"]  # fmt: skip
    short = daemon.cli("open", "ETH/USDT", "short", "--quantity", "0.5", "--stop", "3100",
                       "--target", "2900:50%")["position"]["id"]  # fmt: skip
    until(daemon, long, status="open_protected")
    until(daemon, short, status="open_protected")
    assert len(held(desk)) == 2
    resting(desk, ("59000", "2"), ("3100", "5"))

    daemon.cli("move-stop", long, "59500")
    daemon.cli("move-stop", short, "3050")
    resting(desk, ("59500", "2"), ("3050", "5"))
    desk.price("BTC-USDT-SWAP", "61010")
    desk.price("ETH-USDT-SWAP", "2899")
    assert (
        D(until(daemon, long, remaining_quantity="0.01", status="open_protected")["stop"]) == 59_500
    )
    assert (
        D(until(daemon, short, remaining_quantity="0.25", status="open_protected")["stop"]) == 3_050
    )

    resting(desk, ("59500", "1"), ("3050", "2.5"))

    desk.price("BTC-USDT-SWAP", "59490")
    desk.price("ETH-USDT-SWAP", "3051")
    for position in (long, short):
        over = until(daemon, position, status="closed")
        assert [each["reason"] for each in over["exits"]] == ["TAKE_PROFIT", "STOP_LOSS"]
    assert held(desk) == []
    same_money(daemon, desk)
    assert daemon.status()["latest_execution_error"] is None


@pytest.mark.parametrize("desk", ["net_mode"], indirect=True)
def test_spot_lives_a_whole_life_with_fees_in_the_coin(desk: Desk, processes: Processes) -> None:
    daemon = processes.run(desk.config(kind="spot"))
    ready(daemon)

    position = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.02", "--stop", "59000",
                          "--target", "61000:50%")["position"]["id"]  # fmt: skip
    until(daemon, position, status="open_protected")
    daemon.cli("move-stop", position, "59500")
    desk.price("BTC-USDT", "61010")
    until(daemon, position, status="open_protected", stop="59500", remaining_quantity="0.00999")
    desk.price("BTC-USDT", "59490")

    over = until(daemon, position, status="closed")
    assert [each["reason"] for each in over["exits"]] == ["TAKE_PROFIT", "STOP_LOSS"]
    assert desk.do(lambda: desk.account.assets["BTC"].cash) < D("0.00001")
    same_money(daemon, desk)


@pytest.mark.parametrize("desk", ["net_mode"], indirect=True)
def test_too_little_money_at_the_venue_is_told_with_its_code(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    desk.do(lambda: setattr(desk.account.assets["USDT"], "cash", D(50)))

    answer = daemon.client.ask(
        Open(
            symbol="BTC/USDT",
            direction=Direction.LONG,
            quantity=D("0.05"),
            stop=D(59_000),
        )
    )

    told = answer if isinstance(answer, Refusal) else daemon.status()["latest_execution_error"]
    assert "51008" in str(told)
    assert held(desk) == []


@pytest.mark.parametrize("desk", ["net_mode"], indirect=True)
def test_a_daemon_that_was_killed_goes_on_with_what_the_venue_holds(
    desk: Desk, processes: Processes
) -> None:
    config = desk.config()
    daemon = processes.run(config)
    ready(daemon)
    position = daemon.cli("open", "BTC/USDT", "short", "--quantity", "0.01", "--stop", "61000")[
        "position"
    ]["id"]
    until(daemon, position, status="open_protected")
    daemon.process.kill()

    daemon = processes.run(config)
    ready(daemon)
    assert until(daemon, position, status="open_protected")["paper"]
    desk.price("BTC-USDT-SWAP", "61001")

    until(daemon, position, status="closed")
    assert held(desk) == []
    same_money(daemon, desk)


@pytest.mark.parametrize("desk", ["net_mode"], indirect=True)
def test_a_stop_that_fires_at_the_venue_while_nobody_is_there_is_found(
    desk: Desk, processes: Processes
) -> None:
    config = desk.config()
    daemon = processes.run(config)
    ready(daemon)
    position = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.01", "--stop", "59000")[
        "position"
    ]["id"]
    resting(desk, ("59000", "1"))
    daemon.process.kill()

    desk.price("BTC-USDT-SWAP", "58990")
    wait_until(lambda: not held(desk), WITHIN_S, "the venue closed it")
    daemon = processes.run(config)

    over = until(daemon, position, status="closed")
    assert [each["reason"] for each in over["exits"]] == ["STOP_LOSS"]
    ready(daemon)
    same_money(daemon, desk)


PAPER = """
account: {name: main}
market: {source: simulated, symbols: [BTC/USDT]}
metrics: {enabled: false}
log: {format: json}
"""


@pytest.mark.parametrize("desk", ["net_mode"], indirect=True)
def test_an_account_without_positions_moves_to_a_venue_and_back(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(PAPER)
    ready(daemon)
    position = daemon.cli("open", "BTC/USDT", "long", "--notional", "500", "--trail", "5%")
    daemon.cli("close", position["position"]["id"])
    until(daemon, position["position"]["id"], status="closed")
    wait_until(lambda: D(daemon.status()["equity"]) < 10_000, WITHIN_S, "its costs are booked")
    left = daemon.status()["equity"]
    daemon.process.stop()

    daemon = processes.run(desk.config())
    ready(daemon)
    assert (daemon.status()["venue"], daemon.status()["environment"]) == ("okx-demo", "demo")
    assert D(daemon.status()["equity"]) == 10_000
    daemon.process.stop()

    daemon = processes.run(PAPER)
    ready(daemon)
    assert daemon.status()["venue"] == "paper"
    assert daemon.status()["equity"] == left


def test_an_entry_with_another_leverage_is_refused_beside_what_is_held(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    twice = Open(
        symbol="BTC/USDT",
        direction=Direction.LONG,
        quantity=D("0.02"),
        stop=D(59000),
        leverage=D(2),
    )
    position = daemon.ask(twice)["position"]["id"]
    until(daemon, position, status="open_protected")

    refusal = daemon.client.ask(msgspec.structs.replace(twice, leverage=D(3)))

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "OTHER_LEVERAGE"
    assert position in refusal.message
    assert daemon.ask(twice)["position"]["id"] != position


@pytest.mark.parametrize("desk", ["net_mode"], indirect=True)
def test_an_exit_goes_out_in_whole_lots_when_the_venue_has_raised_them(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    position = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.0215", "--stop", "59000")[
        "position"
    ]["id"]
    until(daemon, position, status="open_protected")

    def raise_lots() -> None:
        quote = desk.account.market.quote("BTC-USDT-SWAP")
        quote.listing = msgspec.structs.replace(quote.listing, lot=D(1), least=D(1))

    desk.do(raise_lots)
    daemon.cli_anyhow("close", position)  # refused until the new lots are read

    over = until(daemon, position, status="closed_with_dust")
    assert over["remaining_quantity"] == "0.0015"
    assert [each.size for each in held(desk)] == [D("0.15")]
    assert "LOT_RAISED" in daemon.process.text()
    ready(daemon)
