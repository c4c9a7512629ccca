"""The immutable table behind large states."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.table import Table

steps = st.lists(st.tuples(st.booleans(), st.text(max_size=3), st.integers()), max_size=60)


@given(steps)
def test_a_table_is_a_dict_that_is_never_changed_in_place(script):
    table, model = Table(), {}
    versions = []
    for puts, key, value in script:
        versions.append((table, dict(model)))
        if puts:
            table, model = table.put(key, value), {**model, key: value}
        elif key in model:
            table = table.drop(key)
            model = {name: each for name, each in model.items() if name != key}
    for version, expected in [*versions, (table, model)]:
        assert dict(version.items()) == expected
        assert len(version) == len(expected) == len(list(version)) == len(list(version.values()))
        assert all(version[key] == version.get(key) == expected[key] for key in expected)


def test_dropping_what_is_not_there_is_an_error_and_absence_is_told():
    assert Table().get("a") is None
    assert "a" not in Table()
    assert 1 not in Table()
    with pytest.raises(KeyError):
        Table().drop("a")


def test_a_table_survives_encoding_with_its_order():
    table = Table()
    for number in range(300):
        table = table.put(f"key-{number}", number)
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(table), type=Table[str, int])
    assert decoded == table
    assert list(decoded.items()) == list(table.items())
