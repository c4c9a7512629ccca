"""A real daemon and what its positions leave over at the venue: too little to sell by an order."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from exchanges.sandbox import outside
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.sandbox_desk import Desk
from tests.e2e.test_venue_lives import WITHIN_S, cash, held, ready, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.usefixtures("login")]
D = Decimal


def left_over(daemon: Daemon, *opened: str, before_closing: Any = None) -> None:
    position = daemon.cli("open", *opened)["position"]["id"]
    until(daemon, position, status="open_protected")
    if before_closing is not None:
        before_closing()
    daemon.cli_anyhow("close", position)  # refused until new lots are read
    until(daemon, position, status="closed_with_dust")


def test_dust_that_a_person_sells_there_is_gone_here_and_no_money_is_invented(
    desk: Desk, processes: Processes
) -> None:
    def lots_of(size: str) -> None:
        quote = desk.account.market.quote("BTC-USDT-SWAP")
        quote.listing = msgspec.structs.replace(quote.listing, lot=D(size), least=D(size))

    daemon = processes.run(desk.config())
    ready(daemon)
    left_over(
        daemon,
        *("BTC/USDT", "long", "--quantity", "0.0215", "--stop", "55000"),
        before_closing=lambda: desk.do(lambda: lots_of("1")),
    )
    assert held(desk)

    desk.do(lambda: lots_of("0.01"))
    desk.do(lambda: outside.close(desk.account, "BTC-USDT-SWAP"))

    def is_gone() -> bool:
        shown = daemon.cli("portfolio")
        return not D(shown["exposure"]) and abs(D(shown["equity"]) - cash(desk)) < D("0.01")

    wait_until(is_gone, 3 * WITHIN_S, "the dust is written off, and the money agrees")
    assert "dust_gone" in daemon.process.text()


def test_a_swap_is_worth_what_it_is_although_coins_of_the_symbol_were_left_over(
    desk: Desk, processes: Processes
) -> None:
    daemon = processes.run(desk.config("ETH/USDT", kind="spot"))
    ready(daemon)
    left_over(daemon, "ETH/USDT", "long", "--quantity", "0.123457", "--stop", "2500")
    assert daemon.process.stop() == 0

    daemon = processes.run(desk.config("ETH/USDT", kind="swap"))
    ready(daemon)
    opened = daemon.cli("open", "ETH/USDT", "long", "--quantity", "1", "--stop", "2900")
    until(daemon, opened["position"]["id"], status="open_protected")

    def is_other() -> bool:
        return abs(D(daemon.status()["equity"]) - cash(desk)) > 2

    with pytest.raises(AssertionError, match="in vain"):
        wait_until(is_other, 40, "the balance is compared, and found to be another")
