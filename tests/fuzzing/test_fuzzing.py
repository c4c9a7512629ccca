"""A sample of `make fuzz`, and that the fuzzer finds what there is to find."""

import json

import pytest

from tests.fuzz import is_good
from tests.fuzzing.engine import Fuzzer, Result, Target
from tests.fuzzing.targets import targets

EXECUTIONS = 250
SECONDS = 20.0


@pytest.fixture(scope="module")
def made() -> dict[str, Target]:
    return {target.name: target for target in targets()}


@pytest.mark.parametrize(
    "name",
    [
        "okx frames",
        "binance frames",
        "private frames",
        "account rows",
        "account answers",
        "market answers",
        "stream requests",
        "admin lines",
        "config",
        "journal lines",
        "journal events",
        "snapshot",
    ],
)
def test_no_reader_raises_what_it_does_not_document(made: dict[str, Target], name: str) -> None:
    executions = 40 if name == "config" else EXECUTIONS

    result = Fuzzer(made[name], seed=7).run(SECONDS, executions)

    assert not result.crashes, [trace for _, trace in result.crashes.values()]
    assert result.lines > 5


def naive(data: bytes) -> None:
    if json.loads(data.decode(errors="replace") or "{}").get("price", 1) in {"cheap", None}:
        raise ValueError("a bug that only an input of the right shape reaches")


def test_a_planted_bug_is_found_and_its_input_kept() -> None:
    def reader(data: bytes) -> None:
        try:
            naive(data)
        except (json.JSONDecodeError, AttributeError, TypeError, RecursionError):
            return

    target = Target("naive", [b'{"price":"1","size":"2"}'], reader, ("test_fuzzing.py",))

    result = Fuzzer(target, seed=1).run(SECONDS, 3_000)

    ((data, trace),) = result.crashes.values()
    assert json.loads(data)["price"] is None
    assert "the right shape" in trace


def test_the_same_seed_makes_the_same_inputs() -> None:
    inputs: list[list[bytes]] = [[], []]
    for kept in inputs:
        Fuzzer(Target("same", [b'{"a":[1,2]}'], kept.append, ()), seed=3).run(SECONDS, 200)

    assert inputs[0] == inputs[1]


def test_a_target_of_which_nothing_was_tried_is_not_good() -> None:
    assert is_good({"tried": Result(executions=1)})
    assert not is_good({"tried": Result(executions=1), "not tried": Result()})
    assert not is_good({}), "there is no target of that name"
