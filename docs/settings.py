"""Writes the tables of `docs/configuration.md` from the models of the configuration.

What a key means stands below it in `daemon/config_models.py`, as its docstring; type and default
are read from the model itself. Where the type says too little, the docstring begins with another
one in brackets.

    python -m docs.settings           writes the tables anew
    python -m docs.settings --check   says whether they are current; exit 1 when they are not
"""  # noqa: INP001 - a folder of documents, run from the top of the repository

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from daemon import config_models as models
from daemon import config_section, config_venues
from docs.draw import replaced

PAGE = Path(__file__).with_name("configuration.md")
SECTIONS: dict[str, type[config_section.Section]] = {
    "top": models.Config,
    "account": models.Account,
    "market": models.Market,
    "instruments": models.InstrumentRules,
    "paper": models.Paper,
    "limits": models.Limits,
    "traders": models.Trader,
    "size": models.Size,
    "trader-limits": models.TraderLimitsSection,
    "protection": models.Protection,
    "journal": models.Journal,
    "retention": models.RetentionSection,
    "metrics": models.Metrics,
    "admin": models.Admin,
    "log": models.LogSection,
    "venues": config_venues.Venue,
    "credentials": config_venues.Credentials,
    "urls": config_venues.Urls,
    "secrets": config_section.SecretRef,
}
_TYPES = {
    "Amount": "amount",
    "Chance": "0 to 1",
    "Count": "whole number",
    "Days": "days",
    "Fee": "ratio, may be negative",
    "Fraction": "ratio",
    "Leverage": "1 to 1000",
    "LatencyRange": "ms, or `[low, high]`",
    "Name": "name",
    "Path": "path",
    "Parameters": "mapping",
    "Pause": "seconds",
    "PositiveRatio": "ratio above 0",
    "Ratio": "ratio",
    "Seconds": "seconds",
    "Seed": "whole number",
    "SlippageRange": "ratio, or `[low, high]`",
    "bool": "true, false",
}
_GIVEN = re.compile(r"\[(?P<type>.+?)\] ?(?P<meaning>.*)", re.DOTALL)


def tables() -> dict[str, str]:
    """Return every table by the name in its markers."""
    return {f"settings-{name}": table(section) for name, section in SECTIONS.items()}


def table(section: type[config_section.Section]) -> str:
    """Return the keys of a section as a table."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, annotation, said in fields(section):
        default = default_of(section.model_fields[key])
        given = _GIVEN.fullmatch(said)
        kind = given["type"] if given else _type_of(annotation)
        meaning = given["meaning"] if given else said
        shown = default if default in _PLAIN else f"`{default}`"
        rows.append(f"| `{key}` | {kind} | {shown} | {meaning} |".replace("  |", " |"))
    return "\n".join(rows)


def fields(section: type[config_section.Section]) -> Iterator[tuple[str, str, str]]:
    """Yield key, annotation and docstring of a section, in the order of the file."""
    (tree,) = ast.parse(inspect.getsource(section)).body
    assert isinstance(tree, ast.ClassDef)
    following: list[ast.stmt | None] = [*tree.body[1:], None]
    for node, after in zip(tree.body, following, strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            said = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                said = " ".join(str(after.value.value).split())
            yield node.target.id, ast.unparse(node.annotation), said


_PLAIN = {"required", "below", "not set", "none"}


def default_of(field: Any) -> str:
    """Return a default as the page shows it."""
    value = field.default
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "below"
    if value is None:
        return "not set"
    if value in ({}, ()):
        return "none"
    if isinstance(value, tuple):
        return "[" + ", ".join(str(each) for each in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.value if isinstance(value, Enum) else value)


def _type_of(annotation: str) -> str:
    """Return how a type reads. Raises `KeyError` for one that says nothing to a reader."""
    name = annotation.removesuffix(" | None")
    if name.startswith("Literal["):
        return ", ".join(f"`{choice}`" for choice in ast.literal_eval(name.removeprefix("Literal")))
    kind = getattr(models, name, None) or getattr(config_venues, name, None)
    if isinstance(kind, type) and issubclass(kind, config_section.Section):
        return "section"
    return _TYPES[name]


def main(arguments: list[str], page: Path = PAGE) -> int:
    """Write the tables, or with `--check` compare them; return the exit code."""
    text = page.read_text(encoding="utf-8")
    current = replaced(text, tables())
    if "--check" in arguments:
        if text != current:
            sys.stderr.write(f"{page.name} is not what the models say: run make docs\n")
            return 1
        return 0
    page.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
