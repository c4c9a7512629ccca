"""The mistakes that are made on purpose: which there are, and that they get where they belong."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutating.core import CORE, path_of
from tests.mutating.mutants import code_of, mutants_of
from tests.mutating.session import function_in

SOURCE = '''
LIMIT = 3


class Line:
    def is_crossed(self, price: int, level: int = 2) -> bool:
        """Whether it is."""
        if price >= level and not self.is_off:
            self.hits += 1
            return True
        return False

    @property
    def is_off(self) -> bool:
        return self.hits > 10
'''


def texts() -> list[str]:
    return [mutant.text for mutant in mutants_of(SOURCE)]


@pytest.mark.parametrize(
    "text",
    [
        "price >= level -> price > level",
        "price >= level -> price < level",
        "price >= level and (not self.is_off) -> price >= level or not self.is_off",
        "not self.is_off -> self.is_off",
        "self.hits += 1 -> self.hits -= 1",
        "self.hits += 1 -> nothing",
        "True -> False",
        "return True -> return None",
        "self.hits > 10 -> self.hits >= 10",
        "10 -> 11",
    ],
)
def test_these_mistakes_are_made(text: str) -> None:
    assert text in texts()


def test_constants_of_the_module_defaults_and_docstrings_are_left_alone() -> None:
    assert not any(text.startswith(("3 ->", "2 ->", "'Whether")) for text in texts())


def test_a_mistake_is_put_into_the_function_that_everybody_has() -> None:
    space: dict[str, object] = {}
    exec(SOURCE, space)
    line = space["Line"]()  # type: ignore[operator]
    line.hits = 0
    (mutant,) = (each for each in mutants_of(SOURCE) if each.text.endswith("price > level"))
    module = type("Module", (), space)

    function_in(module, mutant.function).__code__ = code_of(SOURCE, mutant, "line.py")

    assert not line.is_crossed(2)
    assert line.is_crossed(3)


@pytest.mark.parametrize("module", CORE)
def test_every_mutant_of_the_core_compiles(module: str) -> None:
    source = Path(path_of(module)).read_text()
    mutants = mutants_of(source)
    for mutant in mutants[::7]:
        assert code_of(source, mutant, module).co_qualname == mutant.function
    assert len(set(mutants)) == len(mutants)


def test_a_suite_without_assertions_kills_nothing(tmp_path: Path) -> None:
    """In a process of its own: a session takes over pytest."""
    weak = tmp_path / "test_weak.py"
    weak.write_text(
        "from domain.modes import Mode\n"
        "def test_nothing_is_asked():\n"
        "    max(Mode, key=lambda mode: mode.value)\n"
    )
    program = (
        "from tests.mutating.session import judged\n"
        f"verdict = judged('domain.order', [{str(weak)!r}], 5, 60)\n"
        "print({kind: len(found) for kind, found in verdict.outcomes.items()})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.splitlines()[-1] == "{'unreached': 5}", done.stderr
