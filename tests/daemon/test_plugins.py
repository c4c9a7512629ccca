"""A user's strategy is found, or its user learns what to mend."""

import re
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from daemon.plugins import StrategyError, available, describe, load_strategy
from domain.candles import CandleBook, Timeframe
from domain.ids import Symbol
from strategies import Action, View
from strategies.donchian import DonchianBreakout
from strategies.ema_cross import EmaCross
from strategies.guarded import Target

DOCS = Path(__file__).parents[2] / "docs" / "strategies.md"
MINE = '''
from __future__ import annotations

import msgspec

from strategies import Step, Strategy, require, watch


class EveryNth(Strategy, frozen=True):
    """Points to every nth candle."""

    n: int = 2
    label: str = ""
    ratio: float = 0.5

    class State(msgspec.Struct, frozen=True):
        seen: int = 0

    def __post_init__(self):
        require(self.n > 0, f"n must be above 0, not {self.n}")

    def on_candle(self, state, candle, view):
        seen = state.seen + 1
        return Step(self.State(seen), None if seen % self.n else watch(f"number {seen}"))
'''


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def refused(spec, base, **parameters):
    with pytest.raises(StrategyError) as raised:
        load_strategy(spec, parameters, base)
    assert raised.value.remedy
    return str(raised.value)


def written(tmp_path, source):
    (tmp_path / "mine.py").write_text(source)
    return tmp_path


# Built-in ones


def test_built_in_strategies_load_by_name(tmp_path):
    assert load_strategy("ema-cross", {}, tmp_path) == EmaCross()
    assert load_strategy("donchian-breakout", {}, tmp_path) == DonchianBreakout()


def test_parameters_come_as_a_configuration_file_gives_them(tmp_path):
    parameters = {
        "fast": 5,
        "slow": 13,
        "stop_atr": 1.5,
        "min_stop_ratio": "0.0002",
        "allow_short": False,
        "targets": [{"r": 1.5, "part": 0.5}, {"r": 3, "part": 0.5}],
    }

    strategy = load_strategy("ema-cross", parameters, tmp_path)

    assert strategy == EmaCross(
        fast=5,
        slow=13,
        stop_atr=Decimal("1.5"),
        min_stop_ratio=Decimal("0.0002"),
        allow_short=False,
        targets=(
            Target(r=Decimal("1.5"), part=Decimal("0.5")),
            Target(r=Decimal(3), part=Decimal("0.5")),
        ),
    )


@pytest.mark.parametrize("number", [0.25, Decimal("0.25"), Decimal("2.5E-1")])
def test_a_number_becomes_what_the_parameter_wants(tmp_path, mine, number):
    assert load_strategy("./mine.py:EveryNth", {"ratio": number}, mine).ratio == 0.25
    assert load_strategy("ema-cross", {"stop_atr": number}, tmp_path).stop_atr == Decimal("0.25")


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path):
    message = refused("ema-cros", tmp_path)

    assert "There is no strategy 'ema-cros'. Did you mean 'ema-cross'?" in message
    assert "ema-cross, donchian-breakout" in message
    assert "./file.py:ClassName" in message


def test_an_unknown_parameter_is_answered_with_the_valid_ones(tmp_path):
    message = refused("ema-cross", tmp_path, fats=3)

    assert "'ema-cross' has no parameter 'fats'. Did you mean 'fast'?" in message
    assert "fast (int, 12)" in message
    assert "stop_atr (Decimal, 2)" in message
    assert "targets (tuple[Target, ...], ())" in message
    assert "trail_ratio (Decimal | None, None)" in message


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fast": "quick"}, "fast: expected int, got str"),
        ({"fast": 1.5}, "fast: expected int, got float"),
        ({"fast": True}, "fast: expected int, got bool"),
        ({"allow_short": 1}, "allow_short: expected bool, got int"),
        ({"targets": [{"r": 1}]}, "targets[0]: object missing required field part"),
        ({"targets": [{"r": 1, "part": 1, "x": 1}]}, "targets[0]: object contains unknown field x"),
        ({"fast": 30}, "fast (30) must be smaller than slow (26)"),
        ({"fast": Decimal("1.5")}, "fast: expected int, got float"),
        ({"stop_atr": float("nan")}, "stop_atr is nan. Give a finite number."),
        ({"stop_atr": Decimal("-Infinity")}, "stop_atr is -Infinity. Give a finite number."),
        ({"targets": [{"r": float("inf")}]}, "Give a finite number."),
        ({"fast": object()}, "refuses its parameters: TypeError"),
        ({"stop_atr": "NaN"}, "refuses its parameters"),
        ({"stop_atr": "wide"}, "stop_atr: invalid decimal string"),
    ],
)
def test_a_wrong_value_is_answered_with_the_parameter(tmp_path, parameters, message):
    assert message in refused("ema-cross", tmp_path, **parameters)


# A user's own file


def test_a_strategy_of_the_users_own_loads_relative_to_the_configuration(mine):
    strategy = load_strategy("./mine.py:EveryNth", {"n": 3}, mine)

    assert strategy.n == 3
    assert type(strategy).__name__ == "EveryNth"


def test_an_absolute_path_works_too(mine, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    assert load_strategy(f"{mine}/mine.py:EveryNth", {}, elsewhere).n == 2


def test_loading_leaves_nothing_beside_the_file(mine):
    load_strategy("mine.py:EveryNth", {}, mine)

    assert [path.name for path in mine.iterdir()] == ["mine.py"]


def test_an_edited_file_is_read_anew_even_within_the_same_second(mine):
    load_strategy("./mine.py:EveryNth", {}, mine)
    written(mine, MINE.replace("n: int = 2", "n: int = 7"))

    assert load_strategy("./mine.py:EveryNth", {}, mine).n == 7


def test_a_missing_file_is_named(tmp_path):
    message = refused("./theirs.py:Any", tmp_path)

    assert f"There is no strategy file {tmp_path}/theirs.py." in message
    assert "relative to the folder of the configuration" in message


def test_a_folder_is_no_strategy_file(tmp_path):
    (tmp_path / "mine.py").mkdir()

    assert "mine.py cannot be read: Is a directory." in refused("./mine.py:Any", tmp_path)


def test_a_file_that_others_may_write_or_replace_is_not_run(mine):
    (mine / "mine.py").chmod(0o666)
    assert f"Run chmod o-w {mine}/mine.py." in refused("./mine.py:EveryNth", mine)

    (mine / "mine.py").chmod(0o600)
    mine.chmod(0o777)
    assert f"Run chmod o-w {mine}." in refused("./mine.py:EveryNth", mine)


def test_a_huge_file_is_no_strategy_file(tmp_path):
    written(tmp_path, "#" * 1_000_001)

    assert "is longer than" in refused("./mine.py:Any", tmp_path)


def test_a_file_without_a_class_name_is_answered_with_how_to_write_it(mine):
    assert "Write ./mine.py:NameOfTheClass." in refused("./mine.py", mine)


def test_a_missing_class_is_answered_with_those_of_the_file(mine):
    message = refused("./mine.py:EveryNht", mine)

    assert f"There is no 'EveryNht' in {mine}/mine.py. Did you mean 'EveryNth'?" in message
    assert "It has EveryNth." in message


def test_a_file_without_any_strategy_says_so(tmp_path):
    written(tmp_path, "x = 1\n")

    assert "It has no strategy class at all." in refused("./mine.py:Mine", tmp_path)


@pytest.mark.parametrize("source", ["class Mine: pass\n", "Mine = 3\n", "Mine = int\n"])
def test_what_is_no_strategy_is_not_taken_for_one(tmp_path, source):
    written(tmp_path, source)

    message = refused("./mine.py:Mine", tmp_path)

    assert "is not a subclass of strategies.Strategy" in message
    assert "class Name(Strategy, frozen=True)" in message


def test_a_strategy_that_cannot_step_is_refused(tmp_path):
    written(
        tmp_path, "from strategies import Strategy\nclass Mine(Strategy, frozen=True): n: int = 1\n"
    )

    assert "has no method on_candle" in refused("./mine.py:Mine", tmp_path)


def test_a_file_that_raises_is_refused_with_the_line(tmp_path):
    written(tmp_path, "import strategies\n\n\ndef broken():\n    return 1 / 0\n\n\nbroken()\n")
    before = set(sys.modules)

    message = refused("./mine.py:Mine", tmp_path)

    assert f"{tmp_path}/mine.py, line 5: the file raised ZeroDivisionError: division by" in message
    assert set(sys.modules) == before


def test_a_file_that_exits_does_not_end_the_daemon(tmp_path):
    written(tmp_path, "\nraise SystemExit('bye')\n")

    assert "line 2: the file raised SystemExit: bye" in refused("./mine.py:Mine", tmp_path)


@pytest.mark.parametrize("source", ["x = 1\nclass Mine(:\n", "x = 1\n\tMine = 2\n"])
def test_a_file_that_is_no_python_is_refused_with_the_line(tmp_path, source):
    written(tmp_path, source)

    assert f"{tmp_path}/mine.py, line 2: " in refused("./mine.py:Mine", tmp_path)


@pytest.mark.parametrize("source", [b"x = '\x00'\n", b"\xff\xfe\n"])
def test_bytes_that_are_no_text_are_refused(tmp_path, source):
    (tmp_path / "mine.py").write_bytes(source)

    assert str(tmp_path / "mine.py") in refused("./mine.py:Mine", tmp_path)


def test_a_broken_edit_does_not_harm_the_strategy_that_runs(mine):
    strategy = load_strategy("./mine.py:EveryNth", {}, mine)
    written(mine, "raise ValueError('half an edit')")

    assert "half an edit" in refused("./mine.py:EveryNth", mine)

    assert type(strategy) in vars(sys.modules[type(strategy).__module__]).values()
    assert strategy.restored(strategy.save(strategy.State(seen=4))).seen == 4


def test_a_parameter_without_a_default_must_be_given(tmp_path):
    written(tmp_path, MINE.replace("n: int = 2", "n: int"))

    assert "needs the parameter n." in refused("./mine.py:EveryNth", tmp_path)
    assert load_strategy("./mine.py:EveryNth", {"n": 5}, tmp_path).n == 5


def test_the_users_own_checks_speak(mine):
    assert "n must be above 0, not 0" in refused("./mine.py:EveryNth", mine, n=0)


def test_a_check_that_breaks_is_the_users_to_mend(tmp_path):
    written(tmp_path, MINE.replace("self.n > 0", "1 / self.n > 0"))

    message = refused("./mine.py:EveryNth", tmp_path, n=0)

    assert "refuses its parameters: ZeroDivisionError" in message


def test_a_state_that_cannot_be_saved_is_refused_at_once(tmp_path):
    written(tmp_path, MINE.replace("seen: int = 0", "seen: object = print"))

    assert "cannot be made or saved" in refused("./mine.py:EveryNth", tmp_path)


def test_a_state_that_changes_by_being_saved_is_refused_at_once(tmp_path):
    untyped = MINE.replace("class State(", "class Hidden(").replace(
        "    def on_candle", "    def initial(self): return self.Hidden()\n\n    def on_candle"
    )
    written(tmp_path, untyped)

    assert "does not survive saving" in refused("./mine.py:EveryNth", tmp_path)


@pytest.mark.parametrize(
    "body",
    ["return self.higher", "raise SystemExit", 'return "15m"', "return (15,)", "return None"],
)
def test_timeframes_that_cannot_be_told_are_refused_at_once(tmp_path, body):
    told = f"    @property\n    def timeframes(self):\n        {body}\n\n"
    written(tmp_path, MINE.replace("    def on_candle", told + "    def on_candle"))

    message = refused("./mine.py:EveryNth", tmp_path)

    assert "'./mine.py:EveryNth': its timeframes cannot be told" in message


@pytest.mark.parametrize("method", ["__post_init__", "initial"])
def test_a_strategy_that_exits_does_not_end_the_daemon(tmp_path, method):
    exits = f"    def {method}(self): raise SystemExit\n\n"
    source = MINE.replace("def __post_init__", "def unused")
    written(tmp_path, source.replace("    def on_candle", exits + "    def on_candle"))

    assert "SystemExit" in refused("./mine.py:EveryNth", tmp_path)


# Listing


def test_a_listing_shows_the_built_in_strategies_with_their_parameters():
    infos = {info.name: info for info in available()}

    cross = infos["ema-cross"]
    assert cross.summary == "Trades the cross of a fast and a slow exponential moving average."
    assert cross.problem == ""
    shown = {parameter.name: (parameter.type, parameter.default) for parameter in cross.parameters}
    assert shown["slow"] == ("int", "26")
    assert shown["targets"] == ("tuple[Target, ...]", "()")
    assert infos["donchian-breakout"].summary.startswith("Trades breakouts")


def test_a_listing_shows_defaults_that_are_made_anew_each_time():
    class Weighted(EmaCross, frozen=True):
        weights: dict[str, float] = {}  # noqa: RUF012 - msgspec copies it
        label: str = ""

    shown = {parameter.name: parameter.default for parameter in describe(Weighted)}
    assert (shown["weights"], shown["label"]) == ("{}", "''")


# Entry points: a package as pip would have installed it


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that installs a package with entry points."""

    def install(entry_points):
        info = tmp_path / "their_strategies-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: their-strategies\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[holdfast.strategies]\n{entry_points}\n")
        (tmp_path / "their_strategies.py").write_text(MINE)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        return tmp_path

    yield install
    sys.modules.pop("their_strategies", None)


def test_a_strategy_of_an_installed_package_loads_by_its_name(package):
    base = package("every-nth = their_strategies:EveryNth")

    assert load_strategy("every-nth", {"n": 4}, base).n == 4
    infos = {info.name: info for info in available()}
    assert infos["every-nth"].summary == "Points to every nth candle."
    assert "every-nth" in refused("every-mth", base)


def test_a_package_cannot_replace_a_built_in_strategy(package):
    base = package("ema-cross = their_strategies:EveryNth")

    assert load_strategy("ema-cross", {}, base) == EmaCross()
    assert [info.name for info in available()].count("ema-cross") == 1


def test_a_broken_package_is_told_and_harms_nobody_else(package):
    base = package("gone = their_strategies:Gone\nnone = their_strategies:msgspec")

    assert "AttributeError" in refused("gone", base)
    assert "is not a subclass" in refused("none", base)
    problems = {info.name: info.problem for info in available()}
    assert "does not load" in problems["gone"]
    assert problems["ema-cross"] == ""


# The example of the documentation


def test_the_example_in_the_documentation_trades(tmp_path):
    example = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[0]
    written(tmp_path, example)
    strategy = load_strategy("./mine.py:BuyTheDip", {"oversold": 25}, tmp_path)
    book = CandleBook(Symbol("BTC/USDT"), Timeframe.parse("1s"))
    chance, price, state, decisions = Random(5), 60_000.0, strategy.initial(), []

    for number in range(4_000):
        price += chance.gauss(0, 2)
        text = f"{price:.1f}"
        for candle in book.on_trade(float(text), text, "0.1", 1_000_000 + number * 100):
            view = View(
                symbol=candle.symbol,
                now=datetime.fromtimestamp(candle.close_ms / 1000, UTC),
                last=candle.close,
                equity=Decimal(10_000),
            )
            step = strategy.on_candle(state, candle, view)
            state = strategy.restored(strategy.save(step.state))
            decisions += [step.decision] if step.decision else []

    assert len(decisions) >= 3
    assert {decision.action for decision in decisions} == {Action.LONG}
    assert all(decision.plan.stop_price > 0 for decision in decisions)
