"""The account's venue: a start at another one than what is open, and live money unconfirmed."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors.names import order_stream
from actors.streams import registry
from daemon.config import load
from daemon.config_file import ConfigFile
from daemon.errors import StartError
from daemon.venues import account_of, check_venue, venue_account_of
from domain.errors import InvariantError, Refusal
from domain.ids import AccountName, client_order_id
from domain.instrument import Side
from domain.modes import OPERATOR_STOP, operator_stop
from domain.order import OrderIntended, OrderTerms, OrderType
from domain.order import evolve as evolve_order
from domain.portfolio import evolve
from domain.portfolio_events import (
    AccountIdentified,
    AccountMoved,
    EntriesStopped,
    PortfolioOpened,
)
from domain.venue import VenueAccount
from runtime.chance import SeededChance
from runtime.disk import RealDisk
from runtime.virtual import run_virtual
from storage.admin import last_states
from storage.journal import Entry
from storage.store import Store
from tests.actors.box import START, Box
from tests.builders import BTC, position_id
from tests.domain.test_portfolio import account, reserved
from tests.domain.test_portfolio_cash import holding

D = Decimal
MARKET = "market: {source: okx, symbols: [BTC/USDT]}\n"
SPOT = MARKET.replace("source: okx", "source: okx, kind: spot")
DEMO = "account: {venue: okx-demo}\nvenues: {okx-demo: {}}\n"
LIVE = "account: {venue: okx}\nvenues: {okx: {environment: live}}\n"


def refusal_of(directory: Path, text: str, market: str = MARKET) -> Refusal | None:
    """Return why a start with this configuration is refused; None when it is not."""
    path = directory / "start.yaml"
    path.write_text(f"data_dir: ./var\n{market}{text}", encoding="utf-8")
    wanted = load(ConfigFile(path)).config
    store = Store(wanted.data_dir, registry(), RealDisk())
    try:
        check_venue(wanted, store)
    except StartError as error:
        return error.refusal
    finally:
        store.close()
    return None


def lived(directory: Path, play: Callable[[Box], Any]) -> None:
    """Let a daemon at the paper venue live in this directory."""

    async def main() -> None:
        box = Box(directory)
        await box.start("60000")
        await play(box)
        await box.stop()
        box.kill()

    run_virtual(main)


def test_what_is_open_at_one_venue_keeps_the_daemon_from_another(tmp_path: Path) -> None:
    lived(tmp_path, lambda box: box.open())

    refusal = refusal_of(tmp_path, DEMO)

    assert refusal is not None
    assert refusal.rule == "VENUE_CHANGED"
    assert "1 open at paper" in refusal.message
    assert "close --all" in refusal.remedy
    assert refusal_of(tmp_path, "") is None


def test_what_is_open_in_one_market_keeps_the_daemon_from_another_of_that_name(
    tmp_path: Path,
) -> None:
    lived(tmp_path, lambda box: box.open())

    refusal = refusal_of(tmp_path, "", SPOT)

    assert refusal is not None
    assert refusal.rule == "KIND_CHANGED"
    assert "as swap" in refusal.message
    assert "market.kind to swap" in refusal.remedy


def test_a_closed_position_may_have_been_of_another_kind(tmp_path: Path) -> None:
    async def play(box: Box) -> None:
        await box.open()
        await box.close()
        await box.soon()

    lived(tmp_path, play)

    assert refusal_of(tmp_path, "", SPOT) is None


def test_another_name_of_the_account_does_not_hide_what_is_open(tmp_path: Path) -> None:
    lived(tmp_path, lambda box: box.open())

    refusal = refusal_of(tmp_path, DEMO.replace("account: {", "account: {name: other, "))

    assert refusal is not None
    assert refusal.rule == "VENUE_CHANGED"


def test_with_another_name_of_the_account_its_positions_would_be_seen_by_nobody(
    tmp_path: Path,
) -> None:
    lived(tmp_path, lambda box: box.open())

    refusal = refusal_of(tmp_path, "account: {name: other}\n")

    assert refusal is not None
    assert refusal.rule == "ACCOUNT_CHANGED"
    assert "paper has 1 open" in refusal.message
    assert "account.name to paper" in refusal.remedy


def test_with_nothing_open_the_account_may_have_another_name(tmp_path: Path) -> None:
    async def play(box: Box) -> None:
        await box.open()
        await box.close()
        await box.soon()

    lived(tmp_path, play)

    assert refusal_of(tmp_path, "account: {name: other}\n") is None


def at_okx(directory: Path, *events: Any, orders: tuple[OrderTerms, ...] = ()) -> None:
    """Let a daemon have lived in this directory, at the venue okx in the demo account 7."""
    opened = PortfolioOpened(AccountName("main"), "USDT", D(10_000), START, venue="okx")
    state, batch = None, []
    for version, event in enumerate((opened, *events), start=1):
        state = evolve(state, event)
        batch.append(Entry("portfolio/main", version, event, START, state))
    for terms in orders:
        intended = OrderIntended(terms, START)
        name = order_stream(terms.client_order_id)
        batch.append(Entry(name, 1, intended, START, evolve_order(None, intended)))
    with Store(directory / "var", registry(), RealDisk()) as store:
        store.journal.append(batch)


DEMO_7 = AccountIdentified(VenueAccount("7", is_demo=True), START)
AT_DEMO = "account: {name: main, venue: okx}\nvenues: {okx: {environment: demo}}\n"
AT_LIVE = AT_DEMO.replace("environment: demo", "environment: live, confirm_live: true")


def test_what_is_open_with_demo_money_keeps_the_daemon_from_live_money(tmp_path: Path) -> None:
    at_okx(tmp_path, DEMO_7, *holding(1, "1"))

    refusal = refusal_of(tmp_path, AT_LIVE)

    assert refusal is not None
    assert refusal.rule == "ENVIRONMENT_CHANGED"
    assert "1 open in the demo account 7 of okx" in refusal.message
    assert "environment to demo" in refusal.remedy
    assert refusal_of(tmp_path, AT_DEMO) is None


def test_an_order_that_may_still_live_keeps_the_daemon_there_too(tmp_path: Path) -> None:
    order_id = client_order_id(AccountName("main"), position_id(1), "guard-0", 0)
    stop = OrderTerms(order_id, position_id(1), BTC, Side.SELL, OrderType.STOP, D(1))
    at_okx(tmp_path, DEMO_7, orders=(stop,))

    refusal = refusal_of(tmp_path, AT_LIVE)

    assert refusal is not None
    assert refusal.rule == "ENVIRONMENT_CHANGED"


def test_with_nothing_open_demo_may_become_live(tmp_path: Path) -> None:
    at_okx(tmp_path, DEMO_7)

    assert refusal_of(tmp_path, AT_LIVE) is None


def test_a_journal_from_before_does_not_say_whose_money_it_is(tmp_path: Path) -> None:
    at_okx(tmp_path, *holding(1, "1"))

    assert refusal_of(tmp_path, AT_LIVE) is None


def test_what_is_open_is_expected_in_the_account_in_which_it_was_opened(tmp_path: Path) -> None:
    at_okx(tmp_path, DEMO_7, *holding(1, "1"))

    streams = last_states(tmp_path / "var", registry(), RealDisk())

    assert venue_account_of(streams, "main") == DEMO_7.venue_account
    assert venue_account_of(streams, "other") is None


def test_with_nothing_open_no_account_is_expected(tmp_path: Path) -> None:
    at_okx(tmp_path, DEMO_7)

    assert venue_account_of(last_states(tmp_path / "var", registry(), RealDisk()), "main") is None


def test_an_account_without_positions_may_move(tmp_path: Path) -> None:
    async def play(box: Box) -> None:
        await box.open()
        await box.close()
        await box.soon()

    lived(tmp_path, play)

    assert refusal_of(tmp_path, DEMO) is None


def test_live_money_asks_for_a_word_in_the_configuration(tmp_path: Path) -> None:
    refusal = refusal_of(tmp_path, LIVE)

    assert refusal is not None
    assert refusal.rule == "LIVE_NOT_CONFIRMED"
    assert "confirm_live" in refusal.remedy
    confirmed = LIVE.replace("environment: live", "environment: live, confirm_live: true")
    assert refusal_of(tmp_path, confirmed) is None


def test_a_moved_account_begins_anew_with_what_people_stopped() -> None:
    opened = PortfolioOpened(account=AccountName("main"), quote="USDT", balance=D(10_000), at=START)
    stopped = evolve(evolve(None, opened), EntriesStopped(operator_stop("somebody"), START))

    moved = evolve(stopped, AccountMoved("okx-demo", D(0), START))

    assert (stopped.venue, moved.venue) == ("paper", "okx-demo")
    assert (moved.balance, moved.high_water_mark, moved.day_start_equity) == (0, 0, 0)
    assert [cause.code for cause in moved.causes] == [OPERATOR_STOP]


def test_an_account_with_something_open_does_not_move() -> None:
    with pytest.raises(InvariantError, match="open positions"):
        evolve(reserved(account()), AccountMoved("okx-demo", D(0), START))


def test_the_paper_venue_has_no_account_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(MARKET, encoding="utf-8")

    assert account_of(load(ConfigFile(path)).config, None, SeededChance(1)) is None
