"""Verifying the journal of a daemon that runs: in parts, so that commits get their turn."""

import asyncio

import pytest

from daemon.admin_requests import JournalVerify
from storage import admin
from tests.actors.box import Box
from tests.actors.desks import desk_of


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(admin, "STEP", 3)


def test_every_record_is_checked_once_though_others_are_written_meanwhile(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        before = len(box.journal())
        verifying = asyncio.ensure_future(desk_of(box).handle(JournalVerify()))
        await box.open(number=2)
        assert before < (await verifying)["records"] <= len(box.journal())
        assert (await desk_of(box).handle(JournalVerify()))["records"] == len(box.journal())

    perform(play)


def test_a_damaged_record_in_a_later_part_is_found(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        connection = box.store.database.connection
        connection.execute("UPDATE journal SET payload = '{}' WHERE seq = 8")
        refusal = await desk_of(box).handle(JournalVerify())
        assert refusal.rule == "JOURNAL_DAMAGED"
        assert "journal record 8" in refusal.message
        assert "holdfast snapshot" in refusal.remedy
        assert "No restart mends" in refusal.remedy

    perform(play)
