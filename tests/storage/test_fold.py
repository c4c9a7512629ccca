"""Making many states without the collector walking them again and again."""

import gc
from collections.abc import Iterator

import pytest

from storage.fold import without_collections


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Leave the collector as it was found."""
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_collector_rests_meanwhile_and_is_afterwards_what_it_was(is_enabled: bool) -> None:
    if not is_enabled:
        gc.disable()
    with without_collections():
        assert not gc.isenabled()
    assert gc.isenabled() is is_enabled


def test_the_collector_is_what_it_was_after_a_failure_too() -> None:
    with pytest.raises(KeyError), without_collections():
        raise KeyError
    assert gc.isenabled()


def test_many_new_objects_are_frozen_and_few_are_not() -> None:
    before = gc.get_freeze_count()
    with without_collections():
        gc.collect()
        few = [[] for _ in range(10)]
    assert gc.get_freeze_count() == before
    with without_collections():
        many = [[] for _ in range(11_000)]
    assert gc.get_freeze_count() - before > len(many) > len(few)
