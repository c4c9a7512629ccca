"""Spoil the disk under the storage in every way there is, and see whether anything is silent.

    python -m tests.diskfaults [--step 1] [--only NAME] [--json]

Prints one JSON object; the exit code is 0 only if nothing was lost, changed or misread in silence.
"""

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from tests.disk.flips import CRASH, HANG, SILENT, every_case, judged_in_parallel
from tests.disk.specimens import specimens

_MEMORY = Path("/dev/shm")  # a disk that is fast; what a real one loses is simulated


def flips(parent: Path, step: int, only: str | None) -> dict[str, Any]:
    """Change every byte of every kind of file."""
    result: dict[str, Any] = {}
    for specimen in specimens(parent / "specimens"):
        if only is not None and specimen.name != only:
            continue
        began_s = time.monotonic()
        cases = every_case(specimen, step)
        found = judged_in_parallel(specimen, cases, parent)
        result[specimen.name] = {
            "bytes": len(specimen.content),
            "cases": len(cases),
            **dict(found.outcomes.most_common()),
            "seconds": round(time.monotonic() - began_s, 1),
        }
        for text in found.examples:
            print(f"{specimen.name}: {text}", file=sys.stderr)
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=int, default=1, help="only every so-manieth byte")
    parser.add_argument("--only", help="only this kind of file")
    parser.add_argument("--json", action="store_true", help="on one line")
    asked = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    place = _MEMORY if _MEMORY.is_dir() else None
    with TemporaryDirectory(prefix="holdfast-disk-", dir=place) as temporary:
        found = flips(Path(temporary), asked.step, asked.only)
    bad = sum(each.get(kind, 0) for each in found.values() for kind in (SILENT, CRASH, HANG))
    result = {"flips": found, "silent": bad}
    print(json.dumps(result) if asked.json else json.dumps(result, indent=2))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
