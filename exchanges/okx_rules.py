"""The rules of what is traded, as OKX tells them: grids, contract sizes, what is listed.

How much a contract is, is never taken from elsewhere: until the venue has told, nothing is sent or
read, since a size would mean another amount. What it has told once is kept, though it lists the
symbol no more, or says so by mistake: who holds it must be able to read it, and to leave. That may
have been in a life before: then what is open has it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from domain.ids import Symbol
from domain.instrument import Instrument, Kind
from exchanges import okx_answers as okx
from exchanges.ccxt_wire import Reply, Silence, Wire
from exchanges.okx_account_rows import instrument_from_row, is_live
from exchanges.okx_fields import Row
from exchanges.port import Unknown
from exchanges.rest import LieError
from exchanges.translate import inst_id

log = structlog.get_logger("trade.execution")

_FEW = 8  # instruments that are asked for one by one


class Rules:
    """What the venue has told of the instruments that are wanted."""

    def __init__(
        self, wire: Wire, wanted: Sequence[Instrument], held: Sequence[Instrument] = ()
    ) -> None:
        """`held`: what is open, by the rules that the venue told when it was opened."""
        self._wire = wire
        self._held = {inst_id(each): each for each in held}
        self._wanted = {inst_id(each): each for each in wanted}
        self._absent: set[str] = set()  # not listed, or nothing that can be used
        self._live: set[str] = set()
        self._loading: asyncio.Task[None] | None = None
        self.listed: dict[str, Instrument] = {}  # by the venue's ids, whether they trade now or not
        self.tradable: tuple[Instrument, ...] = ()  # the same object until something changes

    @property
    def are_known(self) -> bool:
        """Whether the venue has answered about every one."""
        return self.listed.keys() | self._absent >= self._wanted.keys()

    @property
    def untold(self) -> dict[str, Instrument]:
        """What is wanted and was never told of, by the venue's ids; our own idea of it."""
        return {name: each for name, each in self._wanted.items() if name not in self.listed}

    @property
    def kinds(self) -> list[Kind]:
        """What kinds are traded, whatever of them is listed now."""
        return sorted({each.kind for each in self._wanted.values()}, key=lambda kind: kind.value)

    def is_absent(self, instrument: Instrument) -> bool:
        """Whether the venue said last that it does not list an instrument."""
        return inst_id(instrument) in self._absent

    def of(self, symbol: Symbol) -> Instrument | None:
        """Return the instrument of a symbol; None while it is not known, or not listed."""
        return next((each for each in self.listed.values() if each.symbol == symbol), None)

    async def load(self) -> None:
        """Ask for all; what cannot be read stays as it was known."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.ensure_future(self._load())
        await asyncio.shield(self._loading)  # whoever else needs them waits for the same

    async def _load(self) -> None:
        await asyncio.gather(*(self._load_kind(kind.value.upper()) for kind in self.kinds))
        tradable = tuple(self.listed[name] for name in self._wanted if name in self._live)
        if tradable != self.tradable:
            self.tradable = tradable

    async def _load_kind(self, kind: str) -> None:
        wanted = [name for name, each in self._wanted.items() if each.kind.value.upper() == kind]
        if len(wanted) > _FEW:
            self._take(wanted, await self._wire.ask(okx.INSTRUMENTS, {"instType": kind}))
            return
        asked = [{"instType": kind, "instId": name} for name in wanted]
        asking = [self._wire.ask(okx.INSTRUMENTS, each, urgent=True) for each in asked]
        for name, answer in zip(wanted, await asyncio.gather(*asking), strict=True):
            self._take([name], answer)

    def _take(self, names: Sequence[str], answer: Reply | Silence) -> None:
        rows = okx.read(answer, lambda rows: {str(row.get("instId")): row for row in rows})
        if isinstance(rows, Unknown):
            if isinstance(answer, Silence) or not okx.is_unlisted(answer):
                return
            rows = {}
        for name in names:
            self._take_one(name, rows.get(name))

    def _take_one(self, name: str, row: Row | None) -> None:
        self._live.discard(name)
        instrument = None if row is None else _instrument(row, self._wanted[name])
        if row is None or instrument is None:
            self._absent.add(name)
            if row is None and name in self._held:
                self.listed.setdefault(name, self._held[name])
            return
        self._absent.discard(name)
        self.listed[name] = instrument
        if is_live(row):
            self._live.add(name)


def _instrument(row: Any, known: Instrument) -> Instrument | None:
    try:
        return instrument_from_row(row, known)
    except LieError as lie:
        log.warning("instrument_unusable", symbol=known.symbol, why=str(lie))
        return None
