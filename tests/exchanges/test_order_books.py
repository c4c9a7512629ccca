"""Order books from a stream: the newest counts, and a gap leaves none."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.order_books import OrderBooks

BTC = "BTC/USDT"


def side(**levels):
    return [(Decimal(price[1:]), Decimal(size)) for price, size in levels.items()]


@pytest.fixture
def books() -> OrderBooks:
    return OrderBooks()


def whole(books, number, event_ms=None, *, bids=None, asks=None):
    books.replace(
        BTC,
        side(_99="2", _98="1") if bids is None else bids,
        side(_101="3", _102="4") if asks is None else asks,
        number=number,
        event_ms=number if event_ms is None else event_ms,
    )


def change(books, previous, number, *, bids=(), asks=(), event_ms=None):
    stamp = number if event_ms is None else event_ms
    return books.change(BTC, bids, asks, previous=previous, number=number, event_ms=stamp)


def shown(books, depth=9):
    book = books.snapshot(BTC, depth)
    if book is None:
        return None
    return [
        [(str(level.price), str(level.quantity)) for level in levels]
        for levels in (book.bids, book.asks)
    ]


def test_the_best_price_comes_first_on_each_side(books):
    whole(books, 5)

    assert shown(books) == [[("99", "2"), ("98", "1")], [("101", "3"), ("102", "4")]]
    assert shown(books, depth=1) == [[("99", "2")], [("101", "3")]]
    assert books.snapshot(BTC, 1).event_ms == 5


def test_there_is_no_book_before_the_first_and_after_the_connection_was_lost(books):
    assert books.snapshot(BTC, 5) is None
    assert change(books, 4, 5, bids=side(_99="1"))  # its whole book is still to come
    assert books.snapshot(BTC, 5) is None

    whole(books, 5)
    books.forget()

    assert books.snapshot(BTC, 5) is None


def test_an_older_book_does_not_replace_a_newer_one(books):
    whole(books, 9)
    whole(books, 8, bids=side(_90="1"))

    assert shown(books)[0][0] == ("99", "2")


def test_a_venue_that_counts_anew_is_followed_by_time(books):
    whole(books, 900, event_ms=1000)
    whole(books, 3, event_ms=1100, bids=side(_97="7"))

    assert shown(books)[0] == [("97", "7")]


def test_changes_that_follow_one_another_are_applied(books):
    whole(books, 10)

    assert change(books, 10, 15, bids=side(_99="0", _97="5"), asks=side(_101="1"))
    assert change(books, 15, 15)  # nothing new for a minute
    assert change(books, 15, 3, event_ms=16)  # counted anew
    assert change(books, 3, 5, event_ms=17, asks=side(_103="6"))

    assert shown(books) == [
        [("98", "1"), ("97", "5")],
        [("101", "1"), ("102", "4"), ("103", "6")],
    ]
    assert books.gaps == 0


def test_a_gap_leaves_no_book_until_the_next_whole_one(books):
    whole(books, 10)

    assert not change(books, 11, 12, bids=side(_99="0"))
    assert books.gaps == 1
    assert books.snapshot(BTC, 5) is None
    assert change(books, 12, 13, bids=side(_98="0"))
    assert books.snapshot(BTC, 5) is None

    whole(books, 14)

    assert shown(books) is not None


def test_what_a_second_connection_says_again_is_no_gap(books):
    whole(books, 10)
    change(books, 10, 11, bids=side(_99="7"))
    change(books, 11, 12, asks=side(_101="7"))

    whole(books, 10)  # the other connection begins with the book as it was
    assert change(books, 10, 11, bids=side(_99="7"))
    assert change(books, 11, 12, asks=side(_101="7"))
    assert change(books, 12, 13, asks=side(_101="8"))

    assert shown(books) == [[("99", "7"), ("98", "1")], [("101", "8"), ("102", "4")]]
    assert books.gaps == 0


def test_a_crossed_book_is_not_shown(books):
    whole(books, 1, bids=side(_102="1"), asks=side(_101="1"))

    assert books.snapshot(BTC, 5) is None


prices = st.integers(90, 110).map(Decimal)
levels = st.dictionaries(prices, st.integers(0, 5).map(Decimal), max_size=6)


@given(levels, levels, st.lists(st.tuples(levels, levels), max_size=8))
def test_changes_come_to_the_book_that_the_last_word_on_each_price_makes(bids, asks, changes):
    books = OrderBooks()
    books.replace(BTC, bids.items(), asks.items(), number=0, event_ms=1)
    for number, (more_bids, more_asks) in enumerate(changes):
        assert change(books, number, number + 1, bids=more_bids.items(), asks=more_asks.items())
        bids, asks = bids | more_bids, asks | more_asks
    held = [{price: size for price, size in last.items() if size} for last in (bids, asks)]

    book = books.snapshot(BTC, 99)

    is_crossed = held[0] and held[1] and max(held[0]) >= min(held[1])
    assert (book is None) == bool(is_crossed)
    if book is not None:
        assert [(level.price, level.quantity) for level in book.bids] == sorted(
            held[0].items(), reverse=True
        )
        assert [(level.price, level.quantity) for level in book.asks] == sorted(held[1].items())
