"""Runs a stream for as long as a test looks at it."""

import asyncio
import contextlib


@contextlib.asynccontextmanager
async def running(stream, sink):
    task = asyncio.create_task(stream.run(sink))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()
