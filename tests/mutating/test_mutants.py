"""The mistakes that are made on purpose: which there are, and that they get where they belong."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutating.core import CORE, path_of
from tests.mutating.equivalent import NotOneMutantError, equivalents_of, listed
from tests.mutating.mutants import code_of, mutants_of
from tests.mutating.session import KILLED, SURVIVED, Verdict, function_in
from tests.mutation import figures, is_good, told

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


def test_a_field_that_is_dropped_is_named_and_what_it_was_said_with_is_not() -> None:
    source = "def f(a):\n    return replace(a, one=1, two=2)\n"
    dropped = [each.text for each in mutants_of(source) if each.kind == "dropped field"]
    assert dropped == ["replace(a, …) without one", "replace(a, …) without two"]


def test_what_only_narrows_types_or_marks_a_name_as_unused_is_no_mistake() -> None:
    source = "def f(a, b):\n    del b\n    if a:\n        return False\n    assert_never(a)\n"
    assert [each.text for each in mutants_of(source)] == ["if a: -> if not a:", "False -> True"]


def test_a_guard_is_in_the_line_of_its_pattern() -> None:
    source = "def f(a):\n    match a:\n        case 1 if a:\n            return 2\n"
    (guard,) = (each for each in mutants_of(source) if each.kind == "guard")
    assert guard.line == 3


def test_every_equivalent_names_one_mutant_of_the_core_and_says_why() -> None:
    assert set(listed()) <= set(CORE)
    for module in listed():
        found = equivalents_of(module)
        assert len(found) == len(listed()[module])
        assert all(len(why) > 15 for why in found.values())


@pytest.mark.parametrize("change", ["price - 1 -> price + 1", "nothing -> something"])
def test_an_equivalent_that_names_no_mutant_or_several_is_refused(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = tmp_path / "equivalent.toml"
    entries.write_text(f'[["module"]]\nfunction = "f"\nchange = "{change}"\nwhy = "because"\n')
    source = tmp_path / "module.py"
    source.write_text("def f(price):\n    return (price - 1) * (price - 1)\n")
    monkeypatch.setattr("tests.mutating.equivalent.LISTED", entries)
    monkeypatch.setattr("tests.mutating.equivalent.path_of", lambda _: str(source))
    with pytest.raises(NotOneMutantError):
        equivalents_of("module")


def test_equivalents_are_counted_apart_and_one_that_is_killed_is_told() -> None:
    first, second, *others = mutants_of(Path("domain/pnl.py").read_text())
    given = list(equivalents_of("domain.pnl"))
    verdict = Verdict("domain.pnl")
    verdict.outcomes[KILLED] = [first, second, given[0]]
    verdict.outcomes[SURVIVED] = [given[1], others[0]]
    found = figures(verdict)
    counted = [found[name] for name in ("mutants", "killed", "equivalent", "ratio")]
    assert counted == [5, 2, 2, round(2 / 3, 3)]
    assert (found["survived"], found["no_equivalent"]) == (1, 1)
    assert len(told(verdict)) == 2
    assert "listed as equivalent, and killed" in "".join(told(verdict))


def test_what_was_not_tried_for_want_of_time_is_not_good() -> None:
    whole, cut_short = Verdict("domain.pnl"), Verdict("domain.pnl", untried=1)

    assert is_good(figures(whole))
    assert not is_good(figures(cut_short))
