"""A store in a directory of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.store import Store
from tests.storage.words import Writer, new_directory, open_store


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return new_directory(tmp_path)


@pytest.fixture
def store(directory: Path) -> Iterator[Store]:
    with open_store(directory) as opened:
        yield opened


@pytest.fixture
def writer(store: Store) -> Writer:
    return Writer(store.journal)
