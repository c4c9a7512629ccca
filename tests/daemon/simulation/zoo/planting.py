"""Plants a mistake in the daemon's own code while a block runs, and puts back what was there.

A mistake is text: what a line says, and what somebody in a hurry might have written. The function
that everybody has imported already gets the code of the changed text, so it does not matter who
holds it. Nothing is written to disk.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import CodeType, FunctionType

import msgspec

from tests.mutating.session import function_in


class Edit(msgspec.Struct, frozen=True):
    """One change of text in one function."""

    where: str  # "domain.order:_filled", "actors.exchange:ExchangeActor._book"
    old: str  # occurs once in it
    new: str


class Bug(msgspec.Struct, frozen=True):
    """A mistake as an engineer might make it."""

    name: str
    sentence: str  # what is wrong, as a person would say it
    breaks: str  # the invariant, "I4"
    edits: tuple[Edit, ...]


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Let the daemon have a bug while the block runs.

    Raises `LookupError` when the code that it is to be planted in says something else by now.
    """
    places: dict[str, list[Edit]] = {}
    for edit in bug.edits:
        places.setdefault(edit.where, []).append(edit)
    changed = [(function_of(where), _code(where, edits)) for where, edits in places.items()]
    before = [function.__code__ for function, _ in changed]
    try:
        for function, code in changed:
            function.__code__ = code
        yield
    finally:
        for (function, _), code in zip(changed, before, strict=True):
            function.__code__ = code


def function_of(where: str) -> FunctionType:
    """Return the function that an edit names."""
    module, _, name = where.partition(":")
    return function_in(import_module(module), name)


def _code(where: str, edits: Sequence[Edit]) -> CodeType:
    """Compile the module with the changes in it; return the code of the function."""
    module, _, name = where.partition(":")
    lines = inspect.getsource(import_module(module)).splitlines(keepends=True)
    body, first = inspect.getsourcelines(function_of(where))
    text = "".join(body)
    for edit in edits:
        if text.count(edit.old) != 1:
            raise LookupError(f"{where} has {edit.old!r} {text.count(edit.old)} times")
        text = text.replace(edit.old, edit.new)
    source = "".join((*lines[: first - 1], text, *lines[first - 1 + len(body) :]))
    for code in _codes(compile(source, f"<{where}>", "exec", dont_inherit=True)):
        if code.co_qualname == name:
            return code
    raise LookupError(where)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)
