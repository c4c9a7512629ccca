"""Mistakes that change nothing: no test can notice them, and a reader is told why.

Each entry of `equivalent.toml` names one mutant of one module by its function, its text and, where
the function has several of that text, the line of the source. An entry that names no mutant any
more, or several, is an error; so is one whose mutant is killed after all.
"""

import tomllib
from pathlib import Path

import msgspec

from tests.mutating.core import path_of
from tests.mutating.mutants import Mutant, mutants_of

LISTED = Path(__file__).with_name("equivalent.toml")


class Equivalent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One mutant, and why it is no mistake."""

    function: str
    change: str  # the mutant's text: "before -> after"
    why: str
    line: str | None = None  # of the source, stripped


class NotOneMutantError(ValueError):
    """An entry does not name exactly one mutant."""


def listed() -> dict[str, list[Equivalent]]:
    """Return the entries by module."""
    return msgspec.convert(tomllib.loads(LISTED.read_text()), dict[str, list[Equivalent]])


def equivalents_of(module: str) -> dict[Mutant, str]:
    """Return the mutants of a module that change nothing, and why.

    Raises `NotOneMutantError`.
    """
    source = Path(path_of(module)).read_text()
    lines = source.splitlines()
    found: dict[Mutant, str] = {}
    for entry in listed().get(module, []):
        named = [
            mutant
            for mutant in mutants_of(source)
            if (mutant.function, mutant.text) == (entry.function, entry.change)
            and entry.line in {None, lines[mutant.line - 1].strip()}
        ]
        if len(named) != 1 or named[0] in found:
            message = f"{module}: {entry.function}: {entry.change}: names {len(named)} mutants"
            raise NotOneMutantError(message)
        found[named[0]] = entry.why
    return found
