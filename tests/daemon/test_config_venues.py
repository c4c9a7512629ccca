"""Venues in the configuration: which is used, where its secrets are, what is refused."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from daemon.assembly import account_limits, costs_of, position_rules
from daemon.config import load, login_of, secrets_of
from daemon.config_file import ConfigError, ConfigFile
from daemon.config_text import portable
from daemon.markets import address_of
from domain.instrument import Kind

ACCOUNT = "account: {name: main, venue: okx-demo}\n"
MARKET = "market: {source: okx, symbols: [BTC/USDT]}\n"
VENUE = "venues:\n  okx-demo: {exchange: okx}\n"
NAMES = ("OKX_API_KEY", "OKX_API_SECRET", "OKX_API_PASSPHRASE")

Write = Callable[[str], ConfigFile]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> ConfigFile:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return ConfigFile(path)

    return written


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(NAMES):
        monkeypatch.setenv(name, f"value-{number}")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def problems(file: ConfigFile) -> list[str]:
    with pytest.raises(ConfigError) as error:
        secrets_of(load(file))
    return [line.removeprefix(f"{file.path}:") for line in error.value.lines()]


def test_without_a_word_the_account_is_at_the_paper_venue(write: Write) -> None:
    loaded = load(write(MARKET))

    assert loaded.config.account.venue == "paper"
    assert loaded.config.venue is None
    assert login_of(loaded) is None


def test_a_venue_by_its_name_takes_its_secrets_from_the_usual_variables(
    write: Write, no_keys: None, keys: None
) -> None:
    loaded = load(write(ACCOUNT + MARKET + VENUE))

    login = login_of(loaded)

    assert loaded.config.venue is not None
    assert (loaded.config.venue.environment, loaded.config.venue.margin_mode) == ("demo", "cross")
    assert login == ("value-0", "value-1", "value-2")
    assert "value" not in repr(login)


def test_secrets_may_be_in_files(write: Write, tmp_path: Path) -> None:
    for name in ("key", "secret", "passphrase"):
        (tmp_path / name).write_text(f"{name} of mine\n", encoding="utf-8")
    named = "{key: {file: key}, secret: {file: secret}, passphrase: {file: passphrase}}"
    loaded = load(write(ACCOUNT + MARKET + f"venues: {{okx-demo: {{credentials: {named}}}}}\n"))

    assert login_of(loaded) == ("key of mine", "secret of mine", "passphrase of mine")
    assert str(tmp_path / "passphrase") in portable(loaded.config, loaded.file.base)
    assert "of mine" not in portable(loaded.config, loaded.file.base)


def test_missing_secrets_are_named_all_at_once(write: Write) -> None:
    found = problems(write(ACCOUNT + MARKET + VENUE))

    assert found == [
        f"4: venues.okx-demo.credentials.{part}: {name} is not set, empty or not readable"
        for part, name in zip(("key", "secret", "passphrase"), NAMES, strict=True)
    ]


def test_secrets_of_a_venue_that_no_account_uses_may_be_missing(write: Write) -> None:
    assert secrets_of(load(write(MARKET + VENUE))) == {}


@pytest.mark.parametrize(
    "credentials", ["{key: hunter2}", "{key: {file: a, env: hunter2}}", "hunter2"]
)
def test_a_secret_written_into_the_file_is_not_repeated(write: Write, credentials: str) -> None:
    text = ACCOUNT + MARKET + f"venues: {{okx-demo: {{credentials: {credentials}}}}}\n"

    assert not any("hunter2" in line for line in problems(write(text)))


def test_a_venue_that_is_not_listed_is_refused_with_the_nearest_name(write: Write) -> None:
    found = problems(write("account: {venue: okx-demmo}\n" + MARKET + VENUE))

    assert found == ["1: account.venue: venues does not list 'okx-demmo'; did you mean 'okx-demo'?"]


def test_paper_is_no_name_for_a_venue(write: Write) -> None:
    found = problems(write(MARKET + "venues: {paper: {exchange: okx}}\n"))

    assert found == ["2: venues.paper: 'paper' is the venue that needs no entry; see paper"]


def test_an_account_trades_at_its_own_venue_s_prices(write: Write) -> None:
    market = "market: {source: simulated, symbols: [BTC/USDT]}\n"

    assert problems(write(ACCOUNT + market + VENUE)) == [
        "2: market.source: an account at okx-demo trades at the prices of okx, not of simulated"
    ]


def test_urls_come_in_pairs(write: Write) -> None:
    venue = 'venues: {okx-demo: {urls: {ws: "ws://127.0.0.1:1"}}}\n'

    assert problems(write(ACCOUNT + MARKET + venue)) == [
        "3: venues.okx-demo.urls.rest: this key is missing"
    ]


@pytest.mark.parametrize("ending", ["", "/", "/ws/v5", "/ws/v5/"])
def test_prices_come_from_where_the_orders_go(write: Write, ending: str) -> None:
    urls = f'{{rest: "http://127.0.0.1:1", ws: "ws://127.0.0.1:1{ending}"}}'
    loaded = load(write(ACCOUNT + MARKET + f"venues: {{okx-demo: {{urls: {urls}}}}}\n"))

    assert address_of(loaded.config) == "ws://127.0.0.1:1"


@pytest.mark.parametrize(("environment", "host"), [("demo", "wspap"), ("live", "ws")])
def test_the_demo_account_has_prices_of_its_own(write: Write, environment: str, host: str) -> None:
    text = ACCOUNT + MARKET + f"venues: {{okx-demo: {{environment: {environment}}}}}\n"

    assert address_of(load(write(text)).config) == f"wss://{host}.okx.com:8443"


def test_an_address_of_the_market_goes_before_that_of_the_venue(write: Write) -> None:
    market = 'market: {source: okx, symbols: [BTC/USDT], url: "ws://127.0.0.1:2"}\n'

    assert address_of(load(write(ACCOUNT + market + VENUE)).config) == "ws://127.0.0.1:2"


def test_a_paper_account_sees_the_prices_of_the_live_venue(write: Write) -> None:
    assert address_of(load(write(MARKET + VENUE)).config) == "wss://ws.okx.com:8443"


@pytest.mark.parametrize(("kind", "fee"), [(Kind.SWAP, "0.0005"), (Kind.SPOT, "0.001")])
def test_costs_are_those_expected_of_the_venue(write: Write, kind: Kind, fee: str) -> None:
    market = f"market: {{source: okx, kind: {kind.value}, symbols: [BTC/USDT]}}\n"
    config = load(write(ACCOUNT + market + VENUE)).config

    assert costs_of(config) == (Decimal(fee), Decimal("0.001"))
    assert account_limits(config).fee_ratio == Decimal(fee)
    assert position_rules(config).taker_fee_ratio == Decimal(fee)


def test_only_live_money_is_real(write: Write) -> None:
    live = "venues: {okx-demo: {environment: live, taker_fee: 0.03%}}\n"

    assert position_rules(load(write(MARKET)).config).paper
    assert position_rules(load(write(ACCOUNT + MARKET + VENUE)).config).paper
    assert not position_rules(load(write(ACCOUNT + MARKET + live)).config).paper
    assert costs_of(load(write(ACCOUNT + MARKET + live)).config).taker_fee == Decimal("0.0003")
