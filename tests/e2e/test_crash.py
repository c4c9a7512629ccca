"""The crash drill with a few kills: `make crash` does many more."""

from pathlib import Path

import pytest

from tests.crash import run
from tests.e2e.crash_promises import Book

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_a_daemon_that_is_killed_again_and_again_keeps_its_word(tmp_path: Path):
    result, book = run(kills=6, seed=6, directory=tmp_path, shows=False)
    assert book.broken == {"lost": [], "duplicated": [], "unprotected": [], "loosened_trails": []}
    assert result["kills"] == 6
    assert result["early_kills"]
    assert result["hasty_kills"]
    assert result["min_open"] >= 20
    assert result["acknowledged"] > 50
    assert result["exits_fired"] > 5
    assert result["unanswered"] == 0
    assert result["actor_restarts"] == {}
    assert set(result["errors_logged"]) <= {"loop_blocked"}  # a machine may be slow


def row(price: str) -> dict[str, object]:
    """What a person sees of a long position whose stop is at 59000."""
    return {
        "id": "one",
        "symbol": "BTC/USDT",
        "side": "LONG",
        "status": "open_protected",
        "stop_lives": "client guard",
        "stop": "59000",
        "trail_level": None,
        "current_price": price,
        "price_is_fresh": True,
        "protection_version": 1,
        "entry_quantity": "1",
        "remaining_quantity": "1",
    }


@pytest.mark.parametrize(("killed", "blamed"), [(False, 1), (True, 0)])
def test_a_stop_must_fire_in_its_time_and_the_time_between_two_lives_is_not_its_own(
    monkeypatch: pytest.MonkeyPatch, killed: bool, blamed: int
):
    book, now_s = Book(), 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    book.see_row(row("58900"), now_s)
    if killed:
        book.died()
    now_s += 2.0
    book.see_row(row("58900"), now_s)
    assert len(book.broken["unprotected"]) == blamed
