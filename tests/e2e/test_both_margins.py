"""A symbol is held in both margin modes at the venue: nobody can tell what of it is ours."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from daemon.admin_requests import Open
from domain.errors import Refusal
from domain.instrument import Direction
from exchanges.sandbox import SandboxSettings, outside
from tests.e2e.harness import Processes, wait_until
from tests.e2e.sandbox_desk import Desk, sandbox_desk
from tests.e2e.test_venue_lives import ready

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.usefixtures("login")]
WITHIN_S = 20
BTC = "BTC-USDT-SWAP"
D = Decimal


@pytest.fixture(params=["net_mode", "long_short_mode"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    with sandbox_desk(SandboxSettings(position_mode=request.param)) as running:
        yield running


def isolated(desk: Desk, side: str, size: str) -> None:
    """Let a person trade in the other margin mode."""
    fields = {"instId": BTC, "side": side, "sz": size, "tdMode": "isolated"}
    if desk.do(lambda: desk.account.position_mode) == "long_short_mode":
        fields["posSide"] = "long" if side == "buy" else "short"
    desk.do(lambda: outside.order(desk.account, fields))


@pytest.mark.parametrize("side", ["sell", "buy"])
def test_a_position_stays_ours_and_nothing_is_opened_beside_it(
    desk: Desk, processes: Processes, side: str
) -> None:
    daemon = processes.run(desk.config())
    ready(daemon)
    position = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.02", "--stop", "55000")
    position_id = position["position"]["id"]
    wait_until(
        lambda: daemon.position(position_id)["status"] == "open_protected", WITHIN_S, "guarded"
    )

    isolated(desk, side, "2")

    wait_until(lambda: bool(daemon.status()["quarantined"]), 2 * WITHIN_S, "it is in quarantine")
    entry = Open(symbol="BTC/USDT", direction=Direction.LONG, quantity=D("0.01"), stop=D(1000))
    refused = daemon.client.ask(entry)
    assert isinstance(refused, Refusal)
    assert refused.rule == "SYMBOL_IN_QUARANTINE"
    assert daemon.position(position_id)["remaining_quantity"] == "0.02"
    assert daemon.position(position_id)["status"] == "open_protected"

    desk.do(lambda: outside.close(desk.account, BTC, mode="isolated"))
    wait_until(lambda: not daemon.status()["quarantined"], 2 * WITHIN_S, "the quarantine is over")
    daemon.cli("close", position_id)
    wait_until(lambda: daemon.position(position_id)["status"] == "closed", WITHIN_S, "closed")
    assert desk.do(lambda: list(desk.account.open_positions())) == []
