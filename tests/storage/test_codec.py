"""Events keep their meaning over versions, and what a newer version wrote is refused."""

from datetime import UTC, datetime, timedelta, timezone
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.order import OrderFilled, OrderIntended
from storage.codec import EventCodec, time_text
from storage.errors import NewerSchemaError
from storage.streams import StreamKind, StreamRegistry
from tests.storage.words import COUNT, ORDER, REGISTRY, Count, Counted, count, filled, intended

CODEC = REGISTRY.codec
times = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis wants it so
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@pytest.mark.parametrize("event", [intended(quantity="0.00000001"), filled(quantity="12345.678")])
def test_an_event_is_the_same_after_it_was_stored(event: msgspec.Struct) -> None:
    assert CODEC.decode(*CODEC.encode(event)) == event


def test_decimals_are_stored_as_text() -> None:
    _, _, payload = CODEC.encode(filled(quantity="0.10"))

    assert '"quantity":"0.10"' in payload


def test_an_event_of_an_older_version_is_read_in_todays_shape() -> None:
    assert CODEC.decode("Counted", 1, '{"by":7}') == Counted(step=7)


def test_an_event_of_a_newer_version_is_refused_with_both_versions_named() -> None:
    with pytest.raises(NewerSchemaError, match=r"Counted version 3.*version 2.*Upgrade"):
        CODEC.decode("Counted", 3, '{"stride":7}')


def test_an_unknown_event_is_refused_by_name() -> None:
    with pytest.raises(NewerSchemaError, match="OrderTeleported"):
        CODEC.decode("OrderTeleported", 1, "{}")


def test_a_version_without_an_upcaster_is_noticed_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match="no upcaster from Counted version 1 to 2"):
        EventCodec({"Counted": Counted})


def test_upcasters_run_one_after_another() -> None:
    class Grown(msgspec.Struct, frozen=True):
        schema_version: ClassVar[int] = 3
        meters: int

    codec = EventCodec(
        {"Grown": Grown},
        {
            ("Grown", 1): lambda fields: {"centimeters": fields["feet"] * 30},
            ("Grown", 2): lambda fields: {"meters": fields["centimeters"] // 100},
        },
    )

    assert codec.decode("Grown", 1, '{"feet":10}') == Grown(meters=3)
    assert codec.decode("Grown", 2, '{"centimeters":300}') == Grown(meters=3)


def test_a_set_is_stored_in_one_order() -> None:
    class Tagged(msgspec.Struct, frozen=True):
        tags: frozenset[str]

    codec = EventCodec({"Tagged": Tagged})

    assert codec.encode(Tagged(frozenset("cab")))[2] == '{"tags":["a","b","c"]}'


@given(times, times)
def test_times_sort_as_their_texts_do(one: datetime, other: datetime) -> None:
    assert (one < other) == (time_text(one) < time_text(other))
    assert datetime.fromisoformat(time_text(one)) == one


def test_a_time_of_another_zone_is_stored_in_utc() -> None:
    at = datetime(2026, 1, 2, 1, 30, tzinfo=timezone(timedelta(hours=2)))

    assert time_text(at) == "2026-01-01T23:30:00.000000Z"


def test_a_time_without_zone_is_a_bug() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        time_text(datetime(2026, 1, 2))  # noqa: DTZ001 - that is the point


def test_two_events_of_one_name_are_refused() -> None:
    class Counted(msgspec.Struct, frozen=True):
        pass

    other = StreamKind(
        name="other", state_type=Count, evolve=count, events=Counted, is_retired=lambda _: False
    )
    with pytest.raises(ValueError, match="two event classes are named Counted"):
        StreamRegistry([COUNT, other])


def test_events_are_given_as_a_union_a_tuple_or_a_single_class() -> None:
    single = StreamKind(
        name="one", state_type=Count, evolve=count, events=Counted, is_retired=lambda _: False
    )

    assert single.event_types == (Counted,)
    assert {OrderIntended, OrderFilled} <= set(ORDER.event_types)


def test_a_stream_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(NewerSchemaError, match="stream grid/1"):
        REGISTRY.kind_of("grid/1")
