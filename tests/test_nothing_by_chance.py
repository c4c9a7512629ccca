"""What runs inside the simulation takes time, chance and ids from its ports, and keeps order.

A clock of the machine, a random number or the order of a set would make a day that failed fail
otherwise, or not at all, the next time.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INSIDE = ("domain", "strategies", "actors", "exchanges", "storage", "runtime", "daemon/simulation")
# Where the real ones are made, or where nothing of the simulation comes.
MAKES_THEM = {
    "runtime/clocks.py": "the clock of the machine",
    "runtime/chance.py": "seeded, and ids unlike any other",
    "runtime/time_limit.py": "signals and threads that interrupt what really hangs",
    "runtime/watchdog.py": "a thread that watches the real loop",
    "exchanges/ccxt_wire.py": "the real connection; the simulated one replaces these parts",
    "exchanges/real_http.py": "the real network",
    "exchanges/real_net.py": "the real network",
    "exchanges/recorded_server.py": "a server of its own",
    "exchanges/sandbox/world.py": "the clock of a sandbox that is served",
    "exchanges/sandbox/faults.py": "seeded",
    "exchanges/sandbox/walk.py": "seeded",
    "exchanges/simulated_market.py": "seeded",
    "storage/snapshot.py": "a writer on a thread of its own gives way to the others",
    "daemon/simulation/outside.py": "seeded",
    "daemon/simulation/plan.py": "seeded",
    "daemon/simulation/dreamer.py": "seeded",
    "daemon/simulation/disk.py": "draws are handed to it",
    "daemon/simulation/day.py": "tells how long a day took",
}
CLOCKS = {
    ("time", name)
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep")
} | {("datetime", name) for name in ("now", "utcnow", "today")}
OTHERS = {("uuid", "uuid4"), ("uuid", "uuid1"), ("os", "urandom"), ("asyncio", "to_thread")}
CHANCE = {"random", "secrets"}
ORDER_FREE = {"sorted", "set", "frozenset", "any", "all", "sum", "len", "min", "max", "dict"}
SETS = {"set", "frozenset"}
SET_METHODS = {"difference", "intersection", "union", "symmetric_difference"}


def files() -> list[str]:
    found = (path for each in INSIDE for path in (ROOT / each).rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in found)


def faults_in(text: str) -> Iterator[str]:
    tree = ast.parse(text)
    free = {
        id(argument)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node)[1] in ORDER_FREE
        for argument in node.args
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names}
            names |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            if names & CHANCE:
                yield f"line {node.lineno}: imports {', '.join(sorted(names & CHANCE))}"
        elif isinstance(node, ast.Call) and called(node) in CLOCKS | OTHERS:
            yield f"line {node.lineno}: calls {'.'.join(called(node))}"
        elif id(node) not in free and any(is_unordered(each) for each in gone_through(node)):
            yield f"line {node.lineno}: goes through a set"


def gone_through(node: ast.AST) -> list[ast.expr]:
    """Return what is gone through in order; a set that is made of a set has none."""
    match node:
        case ast.For(iter=some) | ast.AsyncFor(iter=some):
            return [some]
        case ast.ListComp() | ast.DictComp() | ast.GeneratorExp():
            return [each.iter for each in node.generators]
    return []


def called(call: ast.Call) -> tuple[str, str]:
    match call.func:
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return owner, name
        case ast.Name(id=name):
            return "", name
    return "", ""


def is_unordered(node: ast.expr) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in SETS
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in SET_METHODS
        case ast.BinOp(left=left, op=ast.Sub() | ast.BitOr() | ast.BitAnd(), right=right):
            return any(is_unordered(side) or is_keys(side) for side in (left, right))
    return False


def is_keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and called(node)[1] == "keys"


@pytest.mark.parametrize("file", [each for each in files() if each not in MAKES_THEM])
def test_no_clock_no_chance_and_no_order_of_a_set(file):
    assert list(faults_in((ROOT / file).read_text())) == []


@pytest.mark.parametrize(
    "text",
    [
        "import time\nnow = time.monotonic()",
        "from datetime import datetime\nnow = datetime.now()",
        "import random",
        "from uuid import uuid4\nimport uuid\nname = uuid.uuid4()",
        "for name in {a, b}:\n    go(name)",
        "for name in set(some):\n    go(name)",
        "for name in one.keys() - other.keys():\n    go(name)",
        "found = [go(name) for name in {each.name for each in some}]",
        "import asyncio\nasync def go():\n    await asyncio.to_thread(work)",
    ],
)
def test_what_would_not_repeat_is_seen(text):
    assert list(faults_in(text))


@pytest.mark.parametrize(
    "text",
    [
        "for name in sorted({a, b}):\n    go(name)",
        "found = any(go(name) for name in {a, b})",
        "for name in dict.fromkeys(some):\n    go(name)",
        "now = clock.now()",
    ],
)
def test_what_repeats_is_not(text):
    assert not list(faults_in(text))


def test_every_exception_is_still_there():
    assert MAKES_THEM.keys() <= set(files())
