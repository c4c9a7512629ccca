"""People who never rest: they open, change and close positions until the daemon is killed.

Each worker owns the positions it opened, so that for each of them one command at a time is under
way and every answer has one meaning. Readers look all the while: what they were shown counts.
"""

import time
from decimal import ROUND_DOWN, Decimal
from random import Random
from threading import Event, Thread
from uuid import UUID

from domain.money import plain
from tests.e2e.crash_line import GoneError, Line, Place, by_cli, watch
from tests.e2e.crash_promises import ENDED, Book, Promise, View, trail_of
from tests.e2e.crash_scale import PAPER_SCALE, Scale

D = Decimal
TICKS = {
    "BTC/USDT": D("0.1"),
    "ETH/USDT": D("0.01"),
    "SOL/USDT": D("0.01"),
    "XRP/USDT": D("0.0001"),
    "DOGE/USDT": D("0.00001"),
}
_CLI_CHANCE = 0.03
_PATIENCE_S = 2.0  # with a position that does not come to its end
_NO_ENTRY_S = 0.2  # before the next try, where nothing may be opened
_BP = D("0.0001")


class Worker:
    """Opens, changes and closes; goes on after every restart with what it owns."""

    def __init__(self, number: int, seed: str, book: Book, scale: Scale = PAPER_SCALE) -> None:
        self.number = number
        self.scale = scale
        self.seed = seed
        self.book = book
        self.calm: list[str] = []
        self.quick: dict[str, float] = {}  # since when
        self.lost: list[tuple[View, bool]] = []  # openings without an answer
        self.prices: dict[str, Decimal] = {}
        self.opens_from_s = 0.0  # monotonic; until then it only changes what is there
        self.chance = Random(seed)

    def begin(self, round_: int) -> None:
        """Draw the same commands whenever the same round of the same seed is played."""
        self.chance = Random(f"{self.seed}/{round_}/{self.number}")

    def work(self, place: Place, stop: Event) -> None:
        """Command until told to stop, or until nobody answers."""
        line = Line(place.socket)
        try:
            self._ask_again(line)
            if not self.number and self.book.entries.paused:
                self._desk(line, "entries")
            while not stop.is_set():
                self.step(line, place)
                if self.scale.pace_s:
                    stop.wait(self.scale.pace_s)
        except GoneError:
            pass
        finally:
            line.close()

    def step(self, line: Line, place: Place) -> None:
        """Give one command."""
        self.calm = [each for each in self.calm if not self.book.of(each).is_closed]
        self.quick = {
            each: since for each, since in self.quick.items() if not self.book.of(each).is_closed
        }
        if time.monotonic() >= self.opens_from_s:
            if len(self.calm) < self.scale.calm:
                self._open(line, quick=False)
                return
            if len(self.quick) < self.scale.quick:
                self._open(line, quick=True)
                return
        name = self.chance.choices(*zip(*_WEIGHTS, strict=True))[0]
        if name in _DESK:
            self._desk(line, name)
            return
        promise = self._pick(name)
        if promise is None:
            return
        request = self._change(name, promise)
        if request is not None:
            self._send(line, place, request, promise)

    def _pick(self, name: str) -> Promise | None:
        """Choose one of the own positions that is shown and open."""
        own = list(self.quick) if name.startswith("close") else [*self.calm, *self.quick]
        now = time.monotonic()
        waiting = [each for each, since in self.quick.items() if now - since > _PATIENCE_S]
        if waiting and name == "close":
            own = waiting
        # While it is not known whether the last command was done, no answer has one meaning.
        known = [self.book.of(each) for each in own]
        known = [each for each in known if each.acknowledged and not each.in_flight]
        return self.chance.choice(known) if known else None

    # --- opening

    def fill_up(self, line: Line) -> None:
        """Open calm positions until there are enough."""
        while len(self.calm) < self.scale.calm:
            self._open(line, quick=False)
            time.sleep(self.scale.pace_s)

    def _open(self, line: Line, *, quick: bool) -> None:
        chance = self.chance
        symbol = chance.choice(list(TICKS))
        price = self._price(line, symbol)
        long = chance.random() < 0.5
        position_id = str(UUID(int=chance.getrandbits(128), version=4))
        request: View = {
            "symbol": symbol,
            "direction": "long" if long else "short",
            "notional": plain(D(chance.randrange(60, 400))),
        }
        if chance.random() < 0.7:  # else the daemon chooses the id
            request["position_id"] = position_id
        self._plan(request, symbol, price, long=long, quick=quick)
        self._ask_for(line, request, quick=quick)

    def _ask_for(self, line: Line, request: View, *, quick: bool) -> None:
        """Open; a wish whose answer is lost is kept, to be asked again under the same id."""
        named = request.get("position_id")
        if named and not self.book.of(named).acknowledged:
            self.book.of(named).in_flight = [{"command": "open", **request}]
            self._own(named, quick=quick)
        asked_s = time.monotonic()
        try:
            answer = line.ask("open", **request)
        except GoneError:
            if named:
                self.lost.append((request, quick))
            raise
        if not answer["ok"]:
            self._refused(answer)
            if answer["error"]["rule"] == "NO_ENTRY_MODE":
                self.opens_from_s = time.monotonic() + _NO_ENTRY_S
            if named and answer["error"]["rule"] not in {*_NO_ANSWER, "ALREADY_CLOSED"}:
                self._disown(named)
            return
        view = answer["position"]
        if named and view["id"] != named:
            self.book.blame("duplicated", f"{named} was asked for, {view['id']} opened")
        with self.book.lock:
            self.book.acknowledged += 1
            self.book.see_view(view, asked_s)
            promise = self.book.of(view["id"])
            if not promise.acknowledged:
                self.book.opened(promise, request)
        self._own(view["id"], quick=quick)

    def _ask_again(self, line: Line) -> None:
        """Repeat what was asked for when the daemon was killed: it must not be done twice."""
        lost, self.lost = self.lost, []
        for request, quick in lost:
            if not self.book.of(request["position_id"]).is_closed:
                self._ask_for(line, request, quick=quick)

    def _plan(self, request: View, symbol: str, price: Decimal, *, long: bool, quick: bool) -> None:
        """Add levels: near enough to be crossed within a second, or far from it."""
        chance = self.chance
        scale = (3, 14) if quick else (250, 700)
        sign = 1 if long else -1

        def at(side: int, low: int, high: int) -> str:
            distance = D(chance.randint(low * 10, high * 10)) / 10 * _BP
            return self._at(symbol, price * (1 + sign * side * distance))

        kinds = chance.random()
        request["stop"] = at(-1, *scale)
        if kinds < 0.6:
            parts = chance.choice((["1"], ["0.5"], ["0.4", "0.6"], ["0.3", "0.3", "0.4"]))
            request["targets"] = [{"price": at(1, *scale), "part": part} for part in parts]
        if kinds > 0.4:
            if chance.random() < 0.5:
                request["trail_ratio"] = plain(D(chance.randint(*scale)) * _BP)
            else:
                request["trail_distance"] = plain(price * D(chance.randint(*scale)) * _BP)
        if chance.random() < 0.25:
            request["breakeven"] = at(1, *scale)
        if quick and chance.random() < 0.15:
            request["max_holding_s"] = round(chance.uniform(0.3, 4.0), 1)
        if quick and chance.random() < 0.15:
            request["limit_price"] = at(-1, 1, 2)

    def _own(self, position_id: str, *, quick: bool) -> None:
        if quick:
            self.quick.setdefault(position_id, time.monotonic())
        elif position_id not in self.calm:
            self.calm.append(position_id)

    def _disown(self, position_id: str) -> None:
        promise = self.book.of(position_id)
        if promise.acknowledged or promise.version:
            return  # the first try was done
        self.quick.pop(position_id, None)
        if position_id in self.calm:
            self.calm.remove(position_id)
        self.book.promises.pop(position_id, None)

    # --- changing

    def _change(self, name: str, promise: Promise) -> View | None:
        chance = self.chance
        quick = promise.id in self.quick
        symbol = self._symbol(promise)
        if symbol is None or promise.long is None:
            return None
        price, sign = self.prices[symbol], 1 if promise.long else -1
        scale = (2, 12) if quick else (200, 650)

        def at(side: int) -> str:
            distance = D(chance.randint(scale[0] * 10, scale[1] * 10)) / 10 * _BP
            return self._at(symbol, price * (1 + sign * side * distance))

        request: View = {"command": name, "position": promise.id}
        match name:
            case "move-stop":
                request |= {"price": at(-1), "widen": chance.random() < 0.5}
            case "trail-stop":
                width = D(chance.randint(scale[0] * 100, scale[1] * 100)) / 100 * _BP
                request |= {"trail_ratio": plain(width), "widen": chance.random() < 0.5}
            case "add-target":
                part = chance.choice(("0.1", "0.25", "0.5"))
                request |= {"price": at(1), "part": part}
            case "modify-target" | "cancel-target":
                if not promise.targets:
                    return None
                request["target"] = chance.choice(sorted(promise.targets))
                if name == "modify-target":
                    request["price"] = at(1)
            case "close-part":
                request |= {"command": "close", "part": chance.choice(("0.25", "0.5", "0.75"))}
            case "close":
                pass
        return request

    def _send(self, line: Line, place: Place, request: View, promise: Promise) -> None:
        with self.book.lock:
            promise.in_flight.append(request)
            if request["command"] == "trail-stop":
                promise.trail_changes = True
        asked_s = time.monotonic()
        if request["command"] == "move-stop" and self.chance.random() < _CLI_CHANCE:
            answer = by_cli(request, place)
        else:
            answer = line.ask(**request)
        with self.book.lock:
            promise.in_flight.remove(request)
            promise.trail_changes = False
            if not answer["ok"]:
                self._refused(answer)
                if answer["error"]["rule"] in _NO_ANSWER:
                    promise.in_flight.append(request)
                return
            self.book.acknowledged += 1
            view = answer["position"]
            self._promised(request, view, promise)
            self.book.see_view(view, asked_s)

    def _promised(self, request: View, view: View, promise: Promise) -> None:
        """Note what was acknowledged; the answer itself must show it."""
        protection, over = view["protection"], view["status"] in ENDED
        held = {each["id"]: (D(each["price"]), each["part_pct"]) for each in protection["targets"]}
        shown = True
        match request["command"]:
            case "move-stop":
                promise.stop = D(request["price"])
                even = protection["breakeven"]
                stop = D(protection["stop"]["price"])
                shown = stop == promise.stop or (even is not None and even["done"])
            case "trail-stop":
                promise.trail = (request["trail_ratio"], None)
                promise.level, promise.level_from = None, protection["version"]
                shown = trail_of(protection) == promise.trail
            case "add-target":
                new = [each for each in held if each not in promise.targets]
                shown = [held[each][0] for each in new] == [D(request["price"])]
                promise.targets = held
            case "modify-target":
                shown = held.get(request["target"], (None,))[0] == D(request["price"])
                promise.targets = held
            case "cancel-target":
                shown = request["target"] not in held
                promise.targets = held
            case "close" if "part" not in request:
                promise.must_close = True
        if not shown and not over:
            self.book.blame(
                "lost", f"{promise.id}: {request} was acknowledged, shown: {protection}"
            )

    # --- what concerns no position

    def _desk(self, line: Line, name: str) -> None:
        if name in {"snapshot", "portfolio"}:
            line.ask(name)
            return
        if name == "entries":
            if self.number:  # one worker alone, so that each answer has one meaning
                return
            state, arguments = self.book.entries, {}
            command = "resume-entries" if state.paused else "stop-entries"
        else:
            traders = self.scale.traders
            if not traders:
                return
            trader = traders[self.number % len(traders)]
            state, arguments = self.book.traders[trader], {"trader": trader}
            command = "resume" if state.paused else "pause"
        if state.in_flight:
            return
        state.in_flight = True
        answer = line.ask(command, **arguments)
        state.in_flight = False
        if answer["ok"]:
            self.book.acknowledged += 1
            state.paused = not state.paused
        else:
            self._refused(answer)
        if name == "entries" and state.paused:
            self._desk(line, name)  # for a moment only: others want to open

    def _refused(self, answer: View) -> None:
        rule = answer["error"]["rule"]
        with self.book.lock:
            self.book.refused[rule] += 1
            if rule in _NO_ANSWER:
                self.book.unanswered += 1

    # --- prices

    def _price(self, line: Line, symbol: str) -> Decimal:
        for each in line.ask("status").get("prices", ()):
            if each["last"] is not None:
                self.prices[each["symbol"]] = D(each["last"])
        return self.prices.get(symbol, D(1))

    def _symbol(self, promise: Promise) -> str | None:
        return promise.symbol if promise.symbol in self.prices else None

    @staticmethod
    def _at(symbol: str, price: Decimal) -> str:
        tick = TICKS[symbol]
        return plain((price / tick).quantize(D(1), ROUND_DOWN) * tick)


_WEIGHTS = (
    ("move-stop", 24),
    ("trail-stop", 14),
    ("add-target", 12),
    ("modify-target", 12),
    ("cancel-target", 7),
    ("close-part", 10),
    ("close", 5),
    ("pause", 8),
    ("entries", 2),
    ("snapshot", 1),
    ("portfolio", 2),
)
_DESK = {"pause", "entries", "snapshot", "portfolio"}
_NO_ANSWER = {"NO_ANSWER", "ANSWER_TIMEOUT", "INTERNAL_ERROR"}


class Crowd:
    """All workers and readers of one incarnation of the daemon."""

    def __init__(self, workers: list[Worker], book: Book, place: Place) -> None:
        self._stop = Event()
        jobs = [Thread(target=each.work, args=(place, self._stop)) for each in workers]
        self._threads = [*jobs, Thread(target=watch, args=(book, place, self._stop))]
        for thread in self._threads:
            thread.start()

    def leave(self) -> None:
        """Wait until all have seen that it is over."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
