"""Finds strategies: built-in ones, those of installed packages, those in a user's own file.

A strategy is named in the configuration as one of

- `ema-cross`: a built-in name, or an entry point of the group `holdfast.strategies`;
- `./mine.py:MyStrategy`: a class in a file, relative to the folder of the configuration.

Whatever is wrong with one is the user's to mend, so every error names the place and what to do.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

import msgspec

from daemon.trust import distrust
from strategies.base import Strategy, is_finite
from strategies.donchian import DonchianBreakout
from strategies.ema_cross import EmaCross
from strategies.multi_timeframe import MultiTimeframe
from strategies.rsi_reversion import RsiReversion

GROUP = "holdfast.strategies"
BUILT_IN: dict[str, type[Strategy]] = {
    "ema-cross": EmaCross,
    "donchian-breakout": DonchianBreakout,
    "rsi-reversion": RsiReversion,
    "multi-timeframe": MultiTimeframe,
}
_MAX_SOURCE_BYTES = 1_000_000
_RAISED = (Exception, SystemExit)  # by code of the user's
# A number in a configuration is a Decimal there; written as a number, it becomes whatever the
# strategy's field wants, a float or exactly that Decimal.
_AS_NUMBERS = msgspec.json.Encoder(decimal_format="number")


class StrategyError(Exception):
    """A strategy cannot be used; the message says which and why, `remedy` what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"


class ParameterInfo(msgspec.Struct, frozen=True):
    """A parameter of a strategy as a listing shows it."""

    name: str
    type: str  # "int", "Decimal | None"
    default: str  # as text; empty when it must be given


class StrategyInfo(msgspec.Struct, frozen=True):
    """A strategy that a configuration may name."""

    name: str
    summary: str  # one line
    parameters: tuple[ParameterInfo, ...]
    problem: str = ""  # why an installed one cannot be used; empty when it can


def load_strategy(spec: str, parameters: Mapping[str, Any], base: Path) -> Strategy:
    """Return the strategy that `spec` names, with its parameters. Raises `StrategyError`.

    Files are relative to the folder `base`. They are run with the rights of the daemon.
    """
    kind = _class_of(spec.strip(), base)
    strategy = _with_parameters(spec, kind, parameters)
    _check_state(spec, strategy)
    _check_timeframes(spec, strategy)
    return strategy


def available() -> tuple[StrategyInfo, ...]:
    """Return the built-in strategies and those of installed packages."""
    found = [_info(name, kind) for name, kind in BUILT_IN.items()]
    for point in _entry_points():
        try:
            found.append(_info(point.name, _from_entry_point(point)))
        except StrategyError as error:
            found.append(StrategyInfo(point.name, "", (), problem=str(error)))
    return tuple(found)


def describe(kind: type[Strategy]) -> tuple[ParameterInfo, ...]:
    """Return the parameters of a strategy class."""
    return tuple(
        ParameterInfo(
            name=field.name,
            type=_type_text(field.type),
            default="" if field.required else _default_text(field),
        )
        for field in msgspec.structs.fields(kind)
    )


def _class_of(spec: str, base: Path) -> type[Strategy]:
    if spec in BUILT_IN:
        return BUILT_IN[spec]
    for point in _entry_points():
        if point.name == spec:
            return _from_entry_point(point)
    file, colon, name = spec.rpartition(":")
    if colon and file.endswith(".py"):
        try:
            path = (base / Path(file).expanduser()).resolve()
        except RuntimeError as error:  # ~somebody, or links in a circle
            raise StrategyError(f"{spec}: {error}", "Name the file by its whole path.") from error
        return _from_file(spec, path, name)
    if spec.endswith(".py"):
        message = f"Strategy {spec!r} names a file, but no class in it."
        raise StrategyError(message, f"Write {spec}:NameOfTheClass.")
    names = [*BUILT_IN, *(point.name for point in _entry_points())]
    remedy = f"Use one of {', '.join(names)}, or ./file.py:ClassName for one of your own."
    raise StrategyError(f"There is no strategy {spec!r}." + _did_you_mean(spec, names), remedy)


def _entry_points() -> Iterable[EntryPoint]:
    """Return installed strategies by name; a built-in one cannot be replaced."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return [point for point in points if point.name not in BUILT_IN]


def _from_entry_point(point: EntryPoint) -> type[Strategy]:
    try:
        found = point.load()
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever a foreign package raises, it is told to its user
        message = f"Strategy {point.name!r} of an installed package ({point.value}) does not load: "
        raise StrategyError(
            message + f"{type(error).__name__}: {error}.",
            "Update or uninstall that package.",
        ) from error
    return _checked(point.name, point.value, found)


def _from_file(spec: str, path: Path, name: str) -> type[Strategy]:
    module = _run(path)
    if not hasattr(module, name):
        classes = [key for key, value in vars(module).items() if _is_defined_in(module, value)]
        has = f"It has {', '.join(classes)}." if classes else "It has no strategy class at all."
        raise StrategyError(
            f"There is no {name!r} in {path}." + _did_you_mean(name, classes),
            f"{has} Name one of its classes after the colon.",
        )
    return _checked(spec, str(path), getattr(module, name))


def _is_defined_in(module: ModuleType, value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Strategy)
        and value.__module__ == module.__name__
    )


def _checked(spec: str, place: str, found: object) -> type[Strategy]:
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise StrategyError(
            f"Strategy {spec!r} ({place}) is not a subclass of strategies.Strategy.",
            "Write `class Name(Strategy, frozen=True)`; docs/strategies.md has an example.",
        )
    if found.on_candle is Strategy.on_candle:
        raise StrategyError(
            f"Strategy {spec!r} ({place}) has no method on_candle.",
            "Give it on_candle(self, state, candle, view) that returns a Step.",
        )
    return found


def _run(path: Path) -> ModuleType:
    """Run a user's file as a module of its own.

    Not through the import system: that would leave byte code beside the file and might, for an edit
    within the same second, run the old one.
    """
    source = _source(path)
    module = ModuleType(f"holdfast_user_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}")
    module.__file__ = str(path)
    # Types written as text are looked up in the module of their class, found by name.
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102
    except SyntaxError as error:
        _restore(module.__name__, before)
        where = f"{path}, line {error.lineno or 1}"
        raise StrategyError(f"{where}: {error.msg}.", "Mend the file.") from error
    except _RAISED as error:
        _restore(module.__name__, before)
        where = f"{path}, line {_line_in(path, error)}"
        message = f"{where}: the file raised {type(error).__name__}: {error}."
        raise StrategyError(message, "Mend the file; it must import without error.") from error
    return module


def _source(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = distrust(path, file.fileno())
            source = file.read(_MAX_SOURCE_BYTES + 1)
    except FileNotFoundError as error:
        remedy = "Paths are relative to the folder of the configuration file."
        raise StrategyError(f"There is no strategy file {path}.", remedy) from error
    except OSError as error:
        message = f"The strategy file {path} cannot be read: {error.strerror}."
        raise StrategyError(message, "Make it a file that the daemon's user may read.") from error
    if found:
        message = f"The strategy file {path} is not run: {found.why}."
        raise StrategyError(message, f"{found.remedy}.")
    if len(source) > _MAX_SOURCE_BYTES:
        message = f"The strategy file {path} is longer than {_MAX_SOURCE_BYTES} bytes."
        raise StrategyError(message, "Name a Python file with a strategy class.")
    return source


def _restore(name: str, before: ModuleType | None) -> None:
    """Put back what stood in `sys.modules`: a broken edit must not harm the version that runs."""
    if before is None:
        del sys.modules[name]
    else:
        sys.modules[name] = before


def _line_in(path: Path, error: BaseException) -> int:
    """Return the last line of the user's file that the error passed."""
    lines = [
        frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return next((line for line in reversed(lines) if line is not None), 0)


def _with_parameters(spec: str, kind: type[Strategy], given: Mapping[str, Any]) -> Strategy:
    infos = describe(kind)
    names = [info.name for info in infos]
    valid = "; ".join(_parameter_text(info) for info in infos) or "none"
    remedy = f"Its parameters are: {valid}."
    for name, value in given.items():
        if name not in names:
            hint = _did_you_mean(str(name), names)
            raise StrategyError(f"Strategy {spec!r} has no parameter {name!r}.{hint}", remedy)
        if not is_finite(value):
            raise StrategyError(f"Strategy {spec!r}: {name} is {value}.", "Give a finite number.")
    missing = [info.name for info in infos if not info.default and info.name not in given]
    if missing:
        message = f"Strategy {spec!r} needs the parameter {', '.join(missing)}."
        raise StrategyError(message, remedy)
    try:
        return msgspec.json.decode(_AS_NUMBERS.encode(dict(given)), type=kind)
    except msgspec.ValidationError as error:
        raise StrategyError(f"Strategy {spec!r}: {_plainly(error)}.", remedy) from error
    except (
        Exception,
        SystemExit,
    ) as error:  # raised by the user's own __post_init__, or by a decimal NaN in it
        message = f"Strategy {spec!r} refuses its parameters: {type(error).__name__}: {error}."
        raise StrategyError(message, remedy) from error


def _plainly(error: msgspec.ValidationError) -> str:
    """Turn "Expected `int`, got `str` - at `$.fast`" into "fast: expected int, got str"."""
    what, at, place = str(error).replace("`", "").partition(" - at $.")
    return f"{place}: {what[:1].lower()}{what[1:]}" if at else what


def _check_state(spec: str, strategy: Strategy) -> None:
    """Try what a restart will do: encode the state and read it back."""
    try:
        state = strategy.initial()
        back = strategy.decoded(strategy.save(state))
    except (
        Exception,
        SystemExit,
    ) as error:  # the user's code, or a state that msgspec cannot encode
        raise StrategyError(
            f"Strategy {spec!r}: its first state cannot be made or saved:"
            f" {type(error).__name__}: {error}.",
            "Make State a frozen msgspec.Struct of plain values.",
        ) from error
    if back != state:
        raise StrategyError(
            f"Strategy {spec!r}: its first state does not survive saving.",
            "Declare `class State(msgspec.Struct, frozen=True)` with the type of each field.",
        )


def _check_timeframes(spec: str, strategy: Strategy) -> None:
    try:
        msgspec.convert(strategy.timeframes, tuple[str, ...])
    except _RAISED as error:  # the user's code
        raise StrategyError(
            f"Strategy {spec!r}: its timeframes cannot be told: {type(error).__name__}: {error}.",
            'Let timeframes return texts, such as ("15m", "1h").',
        ) from error


def _info(name: str, kind: type[Strategy]) -> StrategyInfo:
    summary = (kind.__doc__ or "").strip().partition("\n")[0]
    return StrategyInfo(name=name, summary=summary, parameters=describe(kind))


def _parameter_text(info: ParameterInfo) -> str:
    return f"{info.name} ({info.type}" + (f", {info.default})" if info.default else ")")


def _type_text(kind: object) -> str:
    """Print a type without the modules it comes from."""
    text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    return re.sub(r"[\w.]+\.(\w+)", r"\1", text)


def _default_text(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    return repr(value) if isinstance(value, str) else str(value)


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
