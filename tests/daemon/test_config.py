"""The configuration: exact numbers, one home for each rule, errors with line, key and remedy."""

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config import Loaded, load, secrets_of
from daemon.config_file import ConfigError, ConfigFile, find, shipped
from daemon.config_models import Config
from daemon.config_strategies import strategies_of
from daemon.instruments import instruments_of
from daemon.yaml_lines import read_yaml
from domain.candles import Timeframe
from domain.commands import SizeBy
from domain.instrument import Kind
from domain.risk import AccountLimits, TraderLimits
from strategies.ema_cross import EmaCross

MARKET = "market: {source: simulated, symbols: [BTC/USDT, ETH/USDT]}\n"
TRADER = """
traders:
  - name: trend
    strategy: ema-cross
    symbols: [BTC/USDT]
    timeframe: 5s
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], ConfigFile]:
    def written(text: str) -> ConfigFile:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return ConfigFile(path)

    return written


Write = Callable[[str], ConfigFile]


def problems(file: ConfigFile) -> list[str]:
    with pytest.raises(ConfigError) as error:
        strategies_of(load(file))
    return [line.removeprefix(f"{file.path}:") for line in error.value.lines()]


def config(file: ConfigFile) -> Config:
    return load(file).config


def test_a_market_is_enough(write: Write) -> None:
    read = config(write(MARKET))

    assert read.market.symbols == ("BTC/USDT", "ETH/USDT")
    assert read.paper.balance == 10_000
    assert read.traders == ()


@pytest.mark.parametrize("name", ["config.yaml", "replay.yaml"])
def test_the_shipped_files_are_fine(name: str) -> None:
    loaded = load(shipped(name))

    assert len(strategies_of(loaded)) == len(loaded.config.traders) == 3
    assert {trader.timeframe for trader in loaded.config.traders}


def test_the_shipped_configuration_comments_on_every_key() -> None:
    """A newcomer finds each section, set or commented out."""
    text = shipped("config.yaml").path.read_text(encoding="utf-8")

    for section in Config.model_fields:
        assert f"{section}:" in text or section == "instruments"


def test_numbers_are_the_decimals_that_were_written(write: Write) -> None:
    read = config(
        write(
            MARKET + "paper: {balance: 0.1000000000000000000001, slippage: [0.1%, 0.0025],"
            " maker_fee: -0.00001}\n"
        )
    )

    assert read.paper.balance == Decimal("0.1000000000000000000001")
    assert read.paper.slippage == (Decimal("0.001"), Decimal("0.0025"))
    assert read.paper.maker_fee == Decimal("-0.00001")


def test_one_number_stands_for_a_range_of_no_width(write: Write) -> None:
    read = config(write(MARKET + "paper: {slippage: 0, latency_ms: 5}\n"))

    assert read.paper.slippage == (0, 0)
    assert read.paper.latency_ms == (5.0, 5.0)


def test_a_trader_says_everything_about_itself(write: Write) -> None:
    file = write(
        MARKET
        + TRADER
        + """
    parameters: {fast: 3, slow: 8, stop_atr: 1.5, targets: [{r: 2, part: 0.5}]}
    size: {by: risk_ratio, value: 0.5%}
    limits: {max_positions: 1, max_risk_ratio: 1%}
    leverage: 2
    cooldown_s: 30
"""
    )
    trader = config(file).traders[0]

    assert trader.timeframe == Timeframe.parse("5s")
    assert (trader.size.by, trader.size.value) == (SizeBy.RISK_RATIO, Decimal("0.005"))
    assert trader.limits.max_risk_ratio == Decimal("0.01")
    assert strategies_of(load(file))["trend"] == EmaCross(
        fast=3, slow=8, stop_atr=Decimal("1.5"), targets=strategy_targets(file)
    )


def strategy_targets(file: ConfigFile) -> tuple[object, ...]:
    targets = strategies_of(load(file))["trend"].targets  # type: ignore[attr-defined]
    assert [(target.r, target.part) for target in targets] == [(2, Decimal("0.5"))]
    return tuple(targets)


def test_limits_carry_the_domains_names(write: Write) -> None:
    read = config(write(MARKET + TRADER))

    AccountLimits(**read.limits.model_dump())
    TraderLimits(**read.traders[0].limits.model_dump())


def test_relative_paths_count_from_the_file(write: Write, tmp_path: Path) -> None:
    read = config(write(MARKET + "data_dir: ./state\nlog: {file: ../log.json}\n"))

    assert read.data_dir == tmp_path / "state"
    assert read.socket_path == tmp_path / "state" / "holdfast.sock"
    assert read.log.file == tmp_path / ".." / "log.json"


def test_a_strategy_of_ones_own_lies_beside_the_configuration(write: Write, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from strategies import Step, Strategy\n"
        "class Mine(Strategy, frozen=True):\n"
        "    size: int = 1\n"
        "    def on_candle(self, state, candle, view):\n"
        "        return Step(state)\n"
    )
    file = write(
        MARKET + TRADER.replace("ema-cross", "./mine.py:Mine") + "    parameters: {size: 7}\n"
    )

    assert strategies_of(load(file))["trend"].size == 7  # type: ignore[attr-defined]


# --- what is wrong, and where ---


def test_every_error_is_told_at_once_in_the_order_of_the_file(write: Write) -> None:
    found = problems(
        write(
            "market:\n"
            "  source: simulatd\n"
            "  symbols: [BTC/USDT]\n"
            "  seed: -1\n"
            "papr: {}\n"
            "limits:\n"
            "  max_positions: many\n"
            "traders:\n"
            "  - name: manual\n"
        )
    )

    assert found == [
        (
            "2: market.source: 'simulatd' is not one of simulated, binance, okx, recorded; "
            "did you mean 'simulated'?"
        ),
        "4: market.seed: '-1' is refused: it should be greater than or equal to 0",
        "5: papr: unknown key; did you mean 'paper'?",
        "7: limits.max_positions: a whole number is expected, not 'many'",
        "9: traders[0].strategy: this key is missing",
        "9: traders[0].symbols: this key is missing",
        "9: traders[0].timeframe: this key is missing",
        "9: traders[0].name: 'manual' is the trader of what people open",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: market: this key is missing"),
        ("[]", "1: a mapping of keys is expected, such as market: …"),
        ("market: [", "2: not valid YAML: did not find expected node content"),
        ("a: b: c", "1: not valid YAML: mapping values are not allowed in this context"),
        ("market: !!python/object:os.system {}", "the YAML tag tag:yaml.org,2002:python/object"),
        (MARKET + "paper: &a {balance: 1}\nlog: *b\n", "not valid YAML: found undefined alias"),
        (MARKET + "? [a]\n: 1\n", "2: a key must be plain text"),
        (MARKET + MARKET, "2: market: given twice; first in line 1"),
        (MARKET + "log: {<<: {level: info}}\n", "a key must be plain text"),
        (MARKET + "paper:\n  balance: .nan\n", "3: paper.balance: '.nan' is not a number"),
        (MARKET + "paper: {balance: NaN}\n", "2: paper.balance: 'NaN' is not a finite number"),
        (MARKET + "paper: {balance: 0}\n", "2: paper.balance: '0' is refused"),
        (MARKET + "paper: {balance: 1e99}\n", "2: paper.balance: '1e99' is refused"),
        (MARKET + "paper: {balance: true}\n", "2: paper.balance"),
        (MARKET + "paper: {balance: [1]}\n", "2: paper.balance: a number is expected, not a list"),
        (MARKET + "paper: {slippage: [2%, 1%]}\n", "the lower end 0.02 comes first"),
        (MARKET + "paper: {slippage: x%}\n", "'x%' is not a percentage; write 2% or 0.02"),
        (MARKET + "paper: {slippage: 150%}\n", "it should be less than or equal to 1"),
        (MARKET + "paper: {latency_ms: .inf}\n", "2: paper.latency_ms[0]: a number is expected"),
        (MARKET + "paper: {latency_ms: nan}\n", "a finite number is expected"),
        (MARKET + "metrics: {port: 70000}\n", "'70000' is refused: it should be less than"),
        (MARKET + "metrics: {enabled: maybe}\n", "true or false is expected, not 'maybe'"),
        (MARKET + "log: text\n", "2: log: a mapping of keys is expected, not 'text'"),
        (MARKET + "log: {level: loud}\n", "2: log.level: 'loud' is not one of debug, info"),
        (MARKET + "log: {api_key: hunter2}\n", "2: log.api_key: unknown key, and secrets never"),
        (MARKET + "protection: {exit_after_s: 1}\n", "exit_after_s cannot come before"),
        (MARKET + "instruments: {SOL/USDT: {}}\n", "market.symbols does not list it"),
        (MARKET + "account: {quote: EUR}\n", "BTC/USDT is not traded in EUR"),
        (MARKET + "secrets: {a: {env: X, file: y}}\n", "{env: NAME} or by {file: PATH}"),
        (
            MARKET + "secrets: {a: hunter2}\n",
            "2: secrets.a: a mapping of keys is expected, not '****'",
        ),
        ("market: {source: binance, symbols: [BTC/USDT], seed: 3}", "only the source 'simulated'"),
        (
            "market: {source: binance, symbols: [BTC/USDT], url: 'http://x'}",
            "1: market.url: an address such as ws://127.0.0.1:8080",
        ),
        (
            "market: {source: binance, symbols: [BTC/USDT], url: 'wss://me:hunter2@x'}",
            "1: market.url: an address carries no user",
        ),
        (
            "market: {source: simulated, symbols: [BTC/USDT], url: 'ws://127.0.0.1:1'}",
            "market.url: only the source 'binance' or 'okx' has it",
        ),
        ("market: {source: {}, symbols: [BTC/USDT], seed: 3}", "market.source: "),
        (
            "{market: {source: [okx], symbols: [BTC/USDT]}, account: {venue: v}, venues: {v: {}}}",
            "market.source: ",
        ),
        (
            "market: {source: okx, symbols: [PEPE/USDT]}",
            "give tick_size, lot_size, min_notional, contract_size under instruments",
        ),
        (
            "market: {source: okx, kind: spot, symbols: [PEPE/USDT]}",
            "give tick_size, lot_size, min_notional under instruments",
        ),
        (
            "market: {source: simulated, symbols: [PEPE/USDT]}",
            "PEPE/USDT is not in the built-in table; give tick_size, lot_size, min_notional",
        ),
        (
            "market: {source: binance, symbols: [BTC/USDT], rest_url: 'ws://x'}",
            "market.rest_url: an address such as http://127.0.0.1:8080",
        ),
        (
            "market: {source: simulated, symbols: [BTC/USDT], rest_url: 'http://x'}",
            "only the source 'binance'",
        ),
        (
            "market: {source: simulated, symbols: [BTC/USDT], watch: [BTC/USDT]}",
            "market.watch[0]: BTC/USDT is traded: market.symbols lists it, too",
        ),
        (
            "market: {source: simulated, symbols: [BTC/USDT], watch: [ETH/USDT, ETH/USDT]}",
            "market.watch[1]: 'ETH/USDT' is listed twice",
        ),
        (
            "market: {source: simulated, symbols: [BTC/USDT], watch: [PEPE/USDT]}",
            "market.watch[0]: PEPE/USDT is not in the built-in table",
        ),
        ("market: {source: simulated, symbols: [btc]}", "a symbol is base and quote in capitals"),
        ("market: {source: simulated, symbols: []}", "market.symbols: at least one is needed"),
        (
            "market: {source: simulated, symbols: [BTC/USDT, BTC/USDT]}",
            "market.symbols[1]: 'BTC/USDT' is listed twice",
        ),
        (MARKET + TRADER + TRADER[9:], "another trader is called 'trend'"),
        (MARKET + TRADER.replace("BTC/USDT", "BTC/USD"), "did you mean BTC/USDT?"),
        (MARKET + TRADER.replace("5s", "7s"), "'7s' does not divide a day"),
        (MARKET + TRADER.replace("5s", "soon"), "'soon' is not a timeframe; write a number"),
        (MARKET + TRADER.replace("trend", "Trend!"), "'Trend!': a name has lower-case letters"),
        (
            MARKET + TRADER.replace("ema-cross", "multi-timeframe").replace("5s", "5m"),
            "looks at 5m besides; the trader's own timeframe must be shorter than that, not 5m",
        ),
        (
            MARKET + TRADER + "    size: {by: risk_ratio, value: 2}\n",
            "8: traders[0].size: risk_ratio takes a fraction: 0.02 or 2%, not 2",
        ),
        (
            MARKET + TRADER.replace("ema-cross", "ema-cros"),
            "5: traders[0].strategy: There is no strategy 'ema-cros'. Did you mean 'ema-cross'?",
        ),
        (
            MARKET + TRADER + "    parameters:\n      fast: 3\n      slo: 8\n",
            "10: traders[0].parameters.slo: Strategy 'ema-cross' has no parameter 'slo'.",
        ),
        (
            MARKET + TRADER + "    parameters:\n      fast: quick\n",
            "9: traders[0].parameters.fast: Strategy 'ema-cross': fast: expected int, got str.",
        ),
        (
            MARKET + TRADER + "    parameters: {fast: 9, slow: 3}\n",
            "fast (9) must be smaller than slow (3)",
        ),
    ],
)
def test_an_error_names_line_and_key(write: Write, text: str, expected: str) -> None:
    found = problems(write(text))

    assert any(expected in line for line in found), found
    assert "hunter2" not in "".join(found)


def test_an_unknown_key_without_a_near_one_lists_what_there_is(write: Write) -> None:
    assert problems(write(MARKET + "account: {xyz: 1}\n")) == [
        "2: account.xyz: unknown key; known here: name, quote, venue"
    ]


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b"\xff", "not UTF-8"), (b"#" * 2**21, "larger")]
)
def test_a_file_that_cannot_be_read_is_an_error_too(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_bytes(content)

    assert why in problems(ConfigFile(path))[0]


def test_an_alias_is_refused_where_it_stands(write: Write) -> None:
    told = problems(write(MARKET + "paper: &a {balance: 1}\nlog: *a\naccount: {quote: *a}\n"))

    assert [line for line in told if "alias" in line] == [
        "3: log: an alias is not accepted; write it out",
        "4: account.quote: an alias is not accepted; write it out",
    ]
    assert any("an alias is not accepted" in line for line in problems(write("a: &a [*a]\n")))


def test_aliases_of_aliases_are_not_written_out() -> None:
    text = "a0: &a0 [x]\n"
    for level in range(1, 19):
        text += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"

    document = read_yaml(text)  # 10 to the power of 18

    assert len(document.problems) == 180


def test_brackets_without_end_end_the_reading_and_not_the_process() -> None:
    (problem,) = read_yaml("a: 1\nb: " + "[" * 900_000).problems

    assert (problem.line, problem.message) == (2, "nested too deeply")


def test_what_may_be_a_secret_is_not_repeated(write: Write) -> None:
    (line,) = problems(write(MARKET + "venues: {mine: {confirm_live: hunter2hunter2}}\n"))

    assert line.endswith("venues.mine.confirm_live: true or false is expected, not '****'")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    document = read_yaml(text)

    assert document.line_of(("nowhere",)) >= 1


# --- instruments ---


def test_symbols_that_are_only_watched_are_instruments_and_traders_may_read_them(
    write: Write,
) -> None:
    market = "market: {source: simulated, symbols: [BTC/USDT], watch: [ETH/USDT, SOL/BTC]}\n"
    rules = "instruments: {SOL/BTC: {tick_size: 1, lot_size: 1, min_notional: 1}}\n"
    read = config(write(market + rules + TRADER.replace("[BTC/USDT]", "[ETH/USDT]")))

    assert [each.symbol for each in instruments_of(read)] == ["BTC/USDT", "ETH/USDT", "SOL/BTC"]


def test_known_symbols_need_no_rules_and_others_their_own(write: Write) -> None:
    read = config(
        write(
            "market: {source: simulated, kind: swap, symbols: [BTC/USDT, PEPE/USDT]}\n"
            "instruments:\n"
            "  PEPE/USDT: {tick_size: 0.0000001, lot_size: 100, min_notional: 6}\n"
            "  BTC/USDT: {min_notional: 100}\n"
        )
    )
    btc, pepe = instruments_of(read)

    assert (btc.tick_size, btc.lot_size, btc.min_notional) == (
        Decimal("0.1"),
        Decimal("0.001"),
        100,
    )
    assert (btc.venue_symbol, btc.kind, btc.max_leverage) == ("BTCUSDT", Kind.SWAP, 125)
    assert (pepe.base, pepe.quote, pepe.min_quantity) == ("PEPE", "USDT", 100)
    assert pepe.tick_size == Decimal("0.0000001")


def test_spot_has_no_leverage(write: Write) -> None:
    read = config(write("market: {source: simulated, kind: spot, symbols: [BTC/USDT]}\n"))

    assert instruments_of(read)[0].max_leverage == 1


@pytest.mark.parametrize(
    ("kind", "name", "contract_size"),
    [("swap", "BTC-USDT-SWAP", "0.01"), ("spot", "BTC-USDT", "1")],
)
def test_okx_has_names_and_contracts_of_its_own(
    write: Write, kind: str, name: str, contract_size: str
) -> None:
    read = config(
        write(
            f"market: {{source: okx, kind: {kind}, symbols: [BTC/USDT], url: 'ws://127.0.0.1:1'}}\n"
        )
    )
    (btc,) = instruments_of(read)

    assert (btc.venue_symbol, str(btc.contract_size)) == (name, contract_size)
    assert btc.lot_size == Decimal("0.0001")
    assert instruments_of(read, "binance")[0].venue_symbol == "BTCUSDT"


# --- secrets ---


def test_secrets_come_from_the_environment_and_from_files(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENUE_KEY", "hunter2")
    (tmp_path / "secret").write_text("hunter3\n")
    loaded = load(write(MARKET + "secrets: {key: {env: VENUE_KEY}, word: {file: secret}}\n"))

    assert secrets_of(loaded) == {"key": "hunter2", "word": "hunter3"}
    assert "hunter" not in str(loaded.config)


def test_a_missing_secret_is_an_error_with_its_line(write: Write) -> None:
    os.environ.pop("NOT_SET", None)
    loaded = load(write(MARKET + "secrets:\n  key: {env: NOT_SET}\n  word: {file: nowhere}\n"))

    with pytest.raises(ConfigError) as error:
        secrets_of(loaded)

    assert [(one.line, one.message) for one in error.value.problems] == [
        (3, "NOT_SET is not set, empty or not readable"),
        (4, "nowhere is not set, empty or not readable"),
    ]


# --- where the daemon is ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "var/holdfast.sock"),
        ("data_dir: state", "state/holdfast.sock"),
        ("data_dir: /srv/hf\nmarket: {sourc: 5}", "/srv/hf/holdfast.sock"),
        ("data_dir: state\nadmin: {socket: run/admin.sock}", "run/admin.sock"),
    ],
)
def test_the_socket_is_found_even_while_the_rest_is_wrong(
    write: Write, tmp_path: Path, text: str, expected: str
) -> None:
    assert write(text).socket_path() == tmp_path / expected


def test_the_file_named_comes_first_then_the_one_here_then_the_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert find(None).path == shipped("config.yaml").path
    assert find(None).base == tmp_path
    (tmp_path / "config.yaml").write_text(MARKET)
    assert find(None).path == Path("config.yaml")
    assert find(Path("other.yaml")).path == Path("other.yaml")


def test_errors_found_later_name_the_line_as_well(write: Write) -> None:
    loaded: Loaded = load(write(MARKET + TRADER))

    assert (
        loaded.error((("traders", 0, "timeframe"), "too fast"))
        .lines()[0]
        .endswith(":7: traders[0].timeframe: too fast")
    )


def test_symbols_without_rules_of_their_own_take_those_of_the_others(write: Write) -> None:
    file = write(
        "market: {source: simulated, symbols: [BTC/USDT, PEPE/USDT, WIF/USDT]}\n"
        "instruments:\n"
        "  others: {tick_size: 0.001, lot_size: 10, min_notional: 7}\n"
        "  WIF/USDT: {tick_size: 0.01, lot_size: 1, min_notional: 5}\n"
    )

    bitcoin, pepe, wif = instruments_of(load(file).config)

    assert bitcoin.tick_size == Decimal("0.1")
    assert (pepe.tick_size, pepe.lot_size, pepe.min_notional) == (Decimal("0.001"), 10, 7)
    assert (wif.tick_size, wif.lot_size, wif.min_notional) == (Decimal("0.01"), 1, 5)


@pytest.mark.parametrize("text", ["null", "~", "&a ", "---\n"])
def test_a_document_that_is_nothing_says_what_is_expected(write, text: str) -> None:
    with pytest.raises(ConfigError, match="a mapping of keys is expected"):
        load(write(text))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("data_dir: ~nobody-is-called-so/var", "data_dir"),
        ("admin: {socket: ~nobody-is-called-so/a}", "admin.socket"),
        ("log: {file: ~nobody-is-called-so/a}", "log.file"),
        ("secrets: {key: {file: ~nobody-is-called-so/a}}", "secrets.key"),
    ],
)
def test_the_home_of_somebody_unknown_is_a_problem(write: Write, text: str, key: str) -> None:
    (found,) = problems(write(f"{text}\n{MARKET}"))

    assert found == f"1: {key}: whose home ~nobody-is-called-so is cannot be said"


def test_a_socket_in_the_home_of_somebody_unknown_is_not_found(write: Write) -> None:
    for text in ("data_dir: ~nobody-is-called-so/var", "admin: {socket: ~nobody-is-called-so/a}"):
        with pytest.raises(ConfigError, match="cannot be said"):
            write(text).socket_path()


def test_a_strategy_in_the_home_of_somebody_unknown_is_a_problem(write: Write) -> None:
    trader = TRADER.replace("ema-cross", "~nobody-is-called-so/mine.py:Mine")

    (found,) = problems(write(MARKET + trader))

    assert "traders[0].strategy" in found


def test_a_tab_is_called_by_its_name(write: Write) -> None:
    (found,) = problems(write("market:\n\tsource: simulated\n"))

    assert found == "2: not valid YAML: a line may begin with spaces, not with a tab"
