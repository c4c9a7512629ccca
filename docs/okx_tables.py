"""Writes the tables of `docs/okx.md` from the code: causes, codes of the venue, rate limits.

python -m docs.okx_tables           writes the tables anew
python -m docs.okx_tables --check   says whether they are current; exit 1 when they are not
"""  # noqa: INP001 - a folder of documents, run from the top of the repository

import sys
from pathlib import Path

from actors.venue_causes import CODES as CAUSES
from actors.venue_causes import NAMES, REMEDIES
from docs.draw import replaced
from exchanges.okx_answers import ENDPOINTS
from exchanges.okx_errors import CODES

PAGE = Path(__file__).with_name("okx.md")


def tables() -> dict[str, str]:
    """Return every table by the name in its markers."""
    return {"okx-causes": causes(), "okx-codes": codes(), "okx-limits": limits()}


def causes() -> str:
    """Return why entries are refused, with the venue's codes that say so."""
    rows = ["| cause | codes of OKX | what to do |", "|---|---|---|"]
    for name in sorted(NAMES):
        said = ", ".join(sorted(code for code, cause in CAUSES.items() if cause == name))
        rows.append(f"| `{name}` | {said or '-'} | {REMEDIES[name]} |")
    return "\n".join(rows)


def codes() -> str:
    """Return what each code means for a request."""
    rows = ["| code | taken as | meaning | what to do |", "|---|---|---|---|"]
    for code, known in sorted(CODES.items()):
        rows.append(f"| {code} | {known.verdict.value} | {known.meaning} | {known.remedy or '-'} |")
    return "\n".join(rows)


def limits() -> str:
    """Return how often each address may be asked."""
    rows = ["| address | requests | within |", "|---|---|---|"]
    for limit in sorted({each.limit for each in ENDPOINTS}, key=lambda each: each.name):
        name = limit.name.replace("_", " ")
        rows.append(f"| {name} | {limit.count} | {limit.window_s:g} s |")
    return "\n".join(rows)


def main(arguments: list[str], page: Path = PAGE) -> int:
    """Write the tables, or with `--check` compare them; return the exit code."""
    text = page.read_text(encoding="utf-8")
    current = replaced(text, tables())
    if "--check" in arguments:
        if text != current:
            sys.stderr.write(f"{page.name} is not what the code says: run make docs\n")
            return 1
        return 0
    page.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
