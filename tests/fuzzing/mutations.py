"""Inputs that are nearly right: valid examples with something about them changed.

A parser turns pure noise away at its first byte. What finds its mistakes is a frame whose every
part is in order but one: so JSON is changed as a tree, text by lines, and bytes only now and then.
"""

from random import Random
from typing import Any

import orjson

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**53, 2**63, 2**64 - 1, -(2**63), 0.1, -0.0, 1e308, 1e-320),
    *("", "0", "-0", "-1", "1", "00", "1e999", "1e-999", "-1e999", "NaN", "sNaN", "Infinity"),
    *("-inf", " 1", "1 ", "+1", "1_000", "\u0663", "\u00bd", "0x10", "1.", ".5", "1e9", "9" * 40),
    *(
        "0." + "0" * 40 + "1",
        "\x00",
        "\ud7ff",
        "\u202e",
        "\u00e9",
        "a" * 5_000,
        "[red]",
        "\x1b[31m",
    ),
    *("\n", "../..", "null", "{}", "9223372036854775808", "1718000000000", "-1718000000000"),
    *("99999999999999999", [], {}, [[]], [None], {"": ""}, [{}], [0] * 50),
)
TOKENS = (
    *(b"null", b"true", b"NaN", b"Infinity", b"1e400", b"-1", b"0", b"[", b"]", b"{", b"}", b'"'),
    *(b",", b":", b"\\u0000", b"\\ud800", b"\xff", b"\x00", b"\xe2\x82", b"\n", b"\r\n", b"- "),
    *(b"&a ", b"*a", b"<<: ", b"!!python/object:os.system ", b"---\n", b"...", b"\t", b"#", b"'"),
    *(b"|", b"? ", b"9" * 30, b"[" * 60, b'{"a":' * 30),
)


def changed(data: bytes, others: list[bytes], chance: Random) -> bytes:
    """Return `data` with one to four things about it changed; `others` lend parts."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        data = _changed_once(data, others, chance)
    return data


def _changed_once(data: bytes, others: list[bytes], chance: Random) -> bytes:
    if chance.random() < 0.7:
        try:
            tree = orjson.loads(data)
            lender = orjson.loads(chance.choice(others)) if chance.random() < 0.2 else None
            return orjson.dumps(_tree(tree, lender, chance), option=orjson.OPT_NON_STR_KEYS)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
            pass
    if b"\n" in data and chance.random() < 0.6:
        return _lines(data, others, chance)
    return _bytes(data, others, chance)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Return every container and key in it."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting and len(found) < 2_000:
        each = waiting.pop()
        if isinstance(each, dict):
            found += [(each, key) for key in each]
            waiting += each.values()
        elif isinstance(each, list):
            found += [(each, index) for index in range(len(each))]
            waiting += each
    return found


def _tree(tree: Any, lender: Any, chance: Random) -> Any:
    places = _places(tree)
    if not places or chance.random() < 0.02:
        return chance.choice(ODD)
    holder, key = chance.choice(places)
    value = holder[key]
    match chance.randrange(9):
        case 0 | 1 | 2:
            holder[key] = chance.choice(ODD)
        case 3:
            del holder[key]
        case 4:
            holder[key] = chance.choice(([value], {"x": value}, str(value), [value, value]))
        case 5 if isinstance(holder, dict):
            holder[chance.choice(("", "x", str(key).upper(), str(key) + " "))] = holder.pop(key)
        case 5 | 6:
            other, place = chance.choice(places)
            holder[key] = _copy(other[place])
        case 7 if lender is not None and (lent := _places(lender)):
            other, place = chance.choice(lent)
            holder[key] = other[place]
        case _:
            holder[key] = _near(value, chance)
    return tree


def _copy(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


def _near(value: Any, chance: Random) -> Any:
    """Return something of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + chance.choice((-1, 1, 2**31, -(2**40)))
    if isinstance(value, str) and value:
        place = chance.randrange(len(value))
        return (
            value[:place] + chance.choice(("", "9", ".", "-", "\u00e9", value)) + value[place + 1 :]
        )
    if isinstance(value, list):
        return value * chance.choice((0, 2, 3))
    return chance.choice(ODD)


def _lines(data: bytes, others: list[bytes], chance: Random) -> bytes:
    lines = data.split(b"\n")
    place = chance.randrange(len(lines))
    match chance.randrange(6):
        case 0:
            del lines[place]
        case 1:
            lines.insert(place, chance.choice(lines))
        case 2:
            lines[place] = b"  " + lines[place]
        case 3:
            lines[place] = lines[place].lstrip()
        case 4:
            name, colon, _ = lines[place].partition(b":")
            lines[place] = name + (colon or b":") + b" " + orjson.dumps(chance.choice(ODD))
        case _:
            lines.insert(place, chance.choice(chance.choice(others).split(b"\n")))
    return b"\n".join(lines)


def _bytes(data: bytes, others: list[bytes], chance: Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    end = min(len(data), place + chance.choice((1, 1, 2, 8, 64)))
    match chance.randrange(6):
        case 0:
            return data[:place]
        case 1:
            return data[:place] + data[end:]
        case 2:
            return data[:place] + chance.choice(TOKENS) + data[place:]
        case 3:
            return data[:place] + data[place:end] * 3 + data[end:]
        case 4:
            other = chance.choice(others)
            return data[:place] + other[chance.randrange(len(other) + 1) :]
        case _:
            spoiled = bytearray(data or b"\x00")
            spoiled[place % len(spoiled)] ^= 1 << chance.randrange(8)
            return bytes(spoiled)
