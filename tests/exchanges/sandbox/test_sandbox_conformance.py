"""Unmodified ccxt lives full lives at the sandbox; see `python -m tests.conformance`."""

import asyncio

from tests.conformance import conform, own_sandbox


def test_unmodified_ccxt_lives_full_lives_at_the_sandbox() -> None:
    async def work() -> list:
        async with own_sandbox() as target:
            return await conform(target)

    results = asyncio.run(work())

    assert [one for one in results if one.outcome != "passed"] == []
    assert len(results) >= 15
