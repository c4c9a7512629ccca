"""Ways to spoil a stream's frames: each takes a chunk of a tape, and says what is sent instead."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from tests.e2e.fault_tape import Item, Words, with_price

D = Decimal


@dataclass(frozen=True)
class Spoiled:
    """What is sent in place of a chunk, and what is said of it."""

    items: list[Item]
    bad: int = 0  # frames that are counted as bad
    spikes: int = 0  # prices that are held back
    says: str = ""  # of the last bad frame


def among(
    items: Sequence[Item], extra: Callable[[Item], list[Item]], every: int = 20
) -> list[Item]:
    """Put something before every so many trades."""
    found: list[Item] = []
    trades = 0
    for item in items:
        if item.tick is not None:
            trades += 1
            if trades % every == 0:
                found += extra(item)
        found.append(item)
    return found


def out_of_order(_: Words, items: list[Item]) -> Spoiled:
    """Every tenth trade comes after the next one, and one of the chunk's beginning returns."""
    first = next(item for item in items if item.tick is not None)
    found: list[Item] = []
    late: Item | None = None
    trades = 0
    for item in items:
        trades += item.tick is not None
        if item.tick is not None and trades % 10 == 0 and late is None:
            late = item
            continue
        found.append(item)
        if item.tick is not None and late is not None:
            old = with_price(first.raw, '"1.0"')
            found += [Item(late.raw), Item(old)]
            late = None
    return Spoiled(found)


def duplicated(_: Words, items: list[Item]) -> Spoiled:
    """Every frame comes twice, and the last fifty once more."""
    found: list[Item] = []
    for item in items:
        found += [item, Item(item.raw)]
        if len(found) % 200 == 0:
            found += [Item(each.raw) for each in found[-50:]]
    return Spoiled(found)


def truncated(_: Words, items: list[Item]) -> Spoiled:
    """Before a frame comes the first half of it."""
    found = among(items, lambda item: [Item(item.raw[: len(item.raw) // 2])])
    return Spoiled(found, bad=len(found) - len(items), says="not JSON")


def not_json(_: Words, items: list[Item]) -> Spoiled:
    """Pages, bytes and nothing at all."""
    noise = [Item(raw) for raw in (b"<html>busy</html>", b"\xff\xfe\x00", b"", b"[" * 3000)]
    found = among(items, lambda item: noise)
    return Spoiled(found, bad=len(found) - len(items), says="not JSON")


def wrong_shape(_: Words, items: list[Item]) -> Spoiled:
    """JSON, but not the venue's."""
    noise = [Item(raw) for raw in (b"[]", b"7", b'{"data":[7]}', b'{"arg":1,"data":{}}')]
    found = among(items, lambda item: noise)
    return Spoiled(found, bad=len(found) - len(items), says="neither ")


def wrong_symbol(words: Words, items: list[Item]) -> Spoiled:
    """Trades of another market, on its own stream and on ours, at a price that is none here."""
    found = among(items, words.stranger)
    strangers = (len(found) - len(items)) // 2
    bad = strangers * words.bad_strangers
    return Spoiled(found, bad=bad, says="instId is ETH-USDT-SWAP" if bad else "")


def spike(_: Words, items: list[Item]) -> Spoiled:
    """Now and then a single trade at a price far off, up and down."""
    found: list[Item] = []
    spikes = trades = 0
    for item in items:
        trades += item.tick is not None
        if item.tick is not None and trades % 40 == 20:
            away = D("0.7") if spikes % 2 else D("1.4")
            spikes += 1
            item = Item(with_price(item.raw, f'"{(item.tick.price * away).quantize(D("0.1"))}"'))  # noqa: PLW2901
        found.append(item)
    return Spoiled(found, spikes=spikes)


def candle_revised(words: Words, items: list[Item]) -> Spoiled:
    """The venue closes a candle and says something else of it later; trades come for it, too.

    A trade whose time is past is a trade all the same: it counts for guards, and for no candle.
    """

    def late(item: Item) -> list[Item]:
        assert item.tick is not None
        begin_ms = (item.tick.event_ms // 60_000 - 2) * 60_000
        told = (("61000", "0"), ("61000", "1"), ("1", "1"), ("99999", "1"))
        return [Item(words.candle(begin_ms, *each)) for each in told]

    found = among(items, late)
    return Spoiled(
        [
            _late(item) if item.tick is not None and number % 50 == 25 else item
            for number, item in enumerate(found)
        ]
    )


def _late(item: Item) -> Item:
    assert item.tick is not None
    past_ms = item.tick.event_ms - 90_000
    raw = item.raw.replace(str(item.tick.event_ms).encode(), str(past_ms).encode())
    return Item(raw, replace(item.tick, event_ms=past_ms))


Spoil = Callable[[Words, list[Item]], Spoiled]


def absurd(literal: str, says: str = "not a decimal above zero") -> Spoil:
    """Return what puts trades with this price among the others, each with the next one's number."""

    def spoil(_: Words, items: list[Item]) -> Spoiled:
        found = among(items, lambda item: [Item(with_price(item.raw, literal))])
        return Spoiled(found, bad=len(found) - len(items), says=says)

    return spoil


SPOILED: dict[str, Spoil] = {
    "out of order": out_of_order,
    "duplicated": duplicated,
    "truncated": truncated,
    "not JSON": not_json,
    "wrong shape": wrong_shape,
    "wrong symbol": wrong_symbol,
    "price 0": absurd('"0.0"'),
    "price below 0": absurd('"-61800.0"'),
    "price NaN": absurd('"NaN"'),
    "price inf": absurd('"Infinity"'),
    "price 1e400": absurd('"1e400"'),
    "price of text": absurd('"cheap"'),
    "price bare NaN": absurd("NaN", says="not JSON"),
    "price bare 1e400": absurd("1e400", says=""),
    "price null": absurd("null"),
    "spike of one tick": spike,
    "candle revised": candle_revised,
}
