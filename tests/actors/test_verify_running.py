"""Verifying the journal of a daemon that runs: in parts, so that commits get their turn."""

import asyncio

import pytest

from daemon import archive as module
from daemon.archive import Archive
from daemon.background import Background
from storage.errors import DamagedRecordError
from tests.actors.box import Box


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(module, "_RECORDS_AT_A_TIME", 3)


def test_every_record_is_checked_once_though_others_are_written_meanwhile(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        before = len(box.journal())
        verifying = asyncio.ensure_future(Archive(box.store, Background(box.disk)).verified())
        await box.open(number=2)
        count = await verifying
        assert count > before
        assert count <= len(box.journal())
        assert await Archive(box.store, Background(box.disk)).verified() == len(box.journal())

    perform(play)


def test_a_damaged_record_in_a_later_part_is_found(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        connection = box.store.database.connection
        connection.execute("UPDATE journal SET payload = '{}' WHERE seq = 8")
        with pytest.raises(DamagedRecordError, match="journal record 8"):
            await Archive(box.store, Background(box.disk)).verified()

    perform(play)
