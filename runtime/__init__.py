"""The actor kernel: Pykka's actors on one asyncio loop. Knows nothing of trading."""
