"""Pages of what grows, newest first."""

from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import TypeVar

from exchanges.sandbox.params import Params

_T = TypeVar("_T")
_MOST = 100


def page(newest_first: Iterable[_T], id_of: Callable[[_T], str], params: Params) -> list[_T]:
    """Return at most `limit`; `after`: only ids below it, `before`: only ids above it."""
    after, before = params.whole("after", 0), params.whole("before", 0)
    most = min(params.whole("limit", _MOST), _MOST) or _MOST
    found: list[_T] = []
    for one in newest_first:
        number = int(id_of(one)) if after or before else 0
        if (after and number >= after) or (before and number <= before):
            continue
        found.append(one)
        if len(found) == most:
            break
    return found


def within(
    newest_first: Iterable[_T], time_of: Callable[[_T], int], params: Params
) -> Iterable[_T]:
    """Yield what came from `begin` to `end`, ms since 1970; all without. Looks no further back."""
    begin, end = params.whole("begin", 0), params.whole("end", 0)
    since = takewhile(lambda one: time_of(one) >= begin, newest_first)
    return (one for one in since if not end or time_of(one) <= end)
