"""Randomness and fresh ids; seeded ones repeat, so that a failing run replays exactly."""

import random
import uuid

from runtime.ports import Chance


class SeededChance:
    """The same numbers in every run with the same seed."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)  # noqa: S311  jitter and simulation, nothing secret

    def uniform(self, low: float, high: float) -> float:
        """Return a float in [low, high]."""
        return self._random.uniform(low, high)

    def random(self) -> float:
        """Return a float in [0, 1)."""
        return self._random.random()


class SystemIds:
    """Identifiers unlike any other."""

    def uuid(self) -> str:
        """Return a random UUID as text."""
        return str(uuid.uuid4())


class SeededIds:
    """Identifiers drawn from `chance`: of the form of a random UUID, the same in every run."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance

    def uuid(self) -> str:
        """Return a UUID as text."""
        bits = 0
        for _ in range(4):
            bits = bits << 32 | int(self._chance.random() * 2**32)
        return str(uuid.UUID(int=bits, version=4))
