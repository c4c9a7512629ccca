"""Folding records into states, and making many without the collector walking them every time."""

import gc
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from storage.fold import Fold, state_of, without_collections
from storage.read_tables import Step
from storage.store import Store
from tests.storage.words import REGISTRY, Count, Counted, Writer


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


@pytest.fixture
def fold(store: Store) -> Fold:
    """Two streams of two events each, of which nothing has been folded."""
    writer = Writer(store.journal)
    for stream in ("count/a", "count/b"):
        writer.count(stream, 1)
        writer.count(stream, 2)
    return Fold(store.database.connection, REGISTRY, {})


def test_each_record_is_a_step_from_the_state_before_it(store: Store, fold: Fold) -> None:
    steps = [fold.apply(record) for record in store.journal.read()]

    assert steps == [
        Step(1, 1, Counted(1), Count(1)),
        Step(2, 2, Counted(2), Count(3)),
        Step(3, 1, Counted(1), Count(1)),
        Step(4, 2, Counted(2), Count(3)),
    ]
    assert fold.streams == {"count/a": (2, Count(3)), "count/b": (2, Count(3))}


def test_a_stream_that_is_not_in_memory_is_folded_from_its_beginning(
    store: Store, fold: Fold
) -> None:
    _, second, *_ = store.journal.read()

    step = fold.apply(second)

    assert step is not None
    assert step.state == Count(3)
    assert fold.broken == {}


def test_a_stream_that_does_not_fold_keeps_its_state_and_the_others_go_on(
    store: Store, fold: Fold
) -> None:
    first, second, *others = store.journal.read()
    fold.streams["count/a"] = (7, Count(70))  # as if five were missing

    assert [fold.apply(first), fold.apply(second)] == [None, None]
    assert [fold.apply(record) is None for record in others] == [False, False]
    assert list(fold.broken) == ["count/a"]
    assert "version 1 follows 7" in fold.broken["count/a"]
    assert fold.streams["count/a"] == (7, Count(70))


def test_what_follows_a_record_that_does_not_fold_folds_onto_the_state_before_it(
    store: Store, fold: Fold
) -> None:
    first, second, *_ = store.journal.read()
    fold.apply(first)
    fold.apply(replace(second, version=3))

    step = fold.apply(replace(second, version=4))

    assert step is not None
    assert fold.streams["count/a"] == (4, step.state) == (4, Count(3))
    assert "version 3 follows 1" in fold.broken["count/a"]


def test_the_state_of_a_stream_may_be_that_before_one_of_its_versions(
    store: Store, fold: Fold
) -> None:
    connection = store.database.connection
    assert fold.streams == {}
    assert state_of(connection, REGISTRY, "count/a") == (2, Count(3))
    assert state_of(connection, REGISTRY, "count/a", before=2) == (1, Count(1))
    assert state_of(connection, REGISTRY, "count/a", before=1) == (0, None)
    assert state_of(connection, REGISTRY, "count/none") == (0, None)


def test_a_stream_whose_past_cannot_be_folded_is_told_and_gets_no_state(
    store: Store, fold: Fold
) -> None:
    _, second, *_ = store.journal.read()
    store.database.connection.execute("UPDATE journal SET payload = '7' WHERE seq = 1")

    assert fold.apply(second) is None
    assert list(fold.broken) == ["count/a"]
    assert fold.streams == {}
