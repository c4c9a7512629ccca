"""Words for tests of trailing levels: arm one, see which a price hits."""

from decimal import Decimal

from domain.ids import ExitId, PositionId
from domain.protection import TRAIL
from domain.triggers import TriggerIndex


def position(number: int) -> PositionId:
    return PositionId(f"position-{number}")


ONE, TWO, THREE = position(1), position(2), position(3)


def arm(
    index: TriggerIndex,
    key: PositionId,
    best: str,
    distance: str | None = None,
    *,
    ratio: str | None = None,
    below: bool = True,
    exit_id: ExitId = TRAIL,
) -> None:
    index.arm_trail(
        key,
        exit_id,
        1,
        below=below,
        best=Decimal(best),
        ratio=None if ratio is None else Decimal(ratio),
        distance=None if distance is None else Decimal(distance),
    )


def hits(index: TriggerIndex, price: str) -> list[PositionId]:
    return [hit.key for hit in index.on_price(float(price), price)]
