"""Reading `config.yaml`: everything that is wrong with it at once, each with its line and key.

`load` answers with a `Loaded` configuration or raises `ConfigError`, which holds one `Problem` a
fault. Three passes add to the same list: the text (`yaml_lines`), the models (`config_models`), and
what only the whole can tell (`_whole`: names, symbols, rules that refer to one another).
"""

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from daemon.config_file import ConfigError, ConfigFile, Use
from daemon.config_models import Config
from daemon.config_section import SECRET_KEY, SecretRef
from daemon.config_venues import PAPER, Credentials
from daemon.instruments import OTHERS, missing_rules
from daemon.yaml_lines import Document, KeyPath, Problem
from domain.ids import MANUAL

_SHOWN = 60
Fault = tuple[KeyPath, str]  # where, and what is wrong
_NO_SECRETS = (
    "secrets never stand in this file; name one under secrets: {env: NAME} or {file: PATH}"
)


class Loaded:
    """A usable configuration, where it came from, and in which line each of its keys is."""

    def __init__(self, config: Config, file: ConfigFile, document: Document) -> None:
        self.config = config
        self.file = file
        self._document = document

    def error(self, *faults: Fault) -> ConfigError:
        """Return an error for what only a key's user can judge: a strategy's parameters."""
        problems = (_problem(self._document, *one) for one in faults)
        return ConfigError(self.file.path, _in_order(problems))


def load(file: ConfigFile, use: Use = Use.LOOK) -> Loaded:
    """Read and check a configuration. Raises `ConfigError` with everything that is wrong.

    What it names may only be run when it was read to be: `Use.RUN`.
    """
    document = file.read(use)
    raw = document.value
    problems = list(document.problems)
    config: Config | None = None
    if isinstance(raw, dict):
        try:
            config = Config.model_validate(raw, context={"base": file.base})
        except ValidationError as error:
            problems += (_problem(document, *_fault(found)) for found in error.errors())
        problems += (_problem(document, *fault) for fault in _whole(raw))
    elif raw is not None or not problems:
        problems.append(Problem(1, (), "a mapping of keys is expected, such as market: …"))
    if problems or config is None:
        raise ConfigError(file.path, _in_order(problems))
    return Loaded(config, file, document)


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    unique = dict.fromkeys((one.line, one.path, one.message) for one in problems)
    return tuple(Problem(*one) for one in sorted(unique, key=lambda one: one[0]))


def _problem(document: Document, path: KeyPath, message: str) -> Problem:
    return Problem(document.line_of(path), path, message)


# What the models found, in words that help.

_WORDS = {
    "missing": "this key is missing",
    "model_type": "a mapping of keys is expected",
    "dict_type": "a mapping of keys is expected",
    "tuple_type": "a list is expected, such as [a, b]",
    "list_type": "a list is expected, such as [a, b]",
    "string_type": "text is expected",
    "decimal_type": "a number is expected",
    "decimal_parsing": "a number is expected",
    "float_parsing": "a number is expected",
    "float_type": "a number is expected",
    "finite_number": "a finite number is expected",
    "int_parsing": "a whole number is expected",
    "int_from_float": "a whole number is expected",
    "int_type": "a whole number is expected",
    "bool_parsing": "true or false is expected",
    "bool_type": "true or false is expected",
    "is_instance_of": "a timeframe is expected, such as 5s or 1m",
}
_KEYS_WITH_PATTERNS = {
    "symbols": "a symbol is base and quote in capitals, such as BTC/USDT",
    "watch": "a symbol is base and quote in capitals, such as BTC/USDT",
    "instruments": "a symbol is base and quote in capitals, such as BTC/USDT",
    "quote": "an asset is written in capitals, such as USDT",
    "env": "a variable's name has letters, digits and _",
    "name": "a name has lower-case letters, digits, - and _, at most 40",
    "secrets": "a name has lower-case letters, digits, - and _, at most 40",
    "venues": "a name has lower-case letters, digits, - and _, at most 40",
    "venue": "a name has lower-case letters, digits, - and _, at most 40",
}


def _fault(found: ErrorDetails) -> Fault:
    path: KeyPath = tuple(step for step in found["loc"] if step != "[key]")
    kind, given = found["type"], found["input"]
    if isinstance(given, str) and _may_be_secret(path):
        given = "****"  # somebody wrote the secret itself
    if kind == "extra_forbidden":
        return path, _unknown_key(path)
    if kind in {"literal_error", "enum"}:
        return path, _not_one_of(given, found)
    if kind == "string_pattern_mismatch":
        named = next((step for step in reversed(path) if step in _KEYS_WITH_PATTERNS), "name")
        return path, f"{_shown(given)}: {_KEYS_WITH_PATTERNS[str(named)]}"
    if kind == "value_error":
        return path, found["msg"].removeprefix("Value error, ")
    message = _WORDS.get(kind)
    if kind == "too_short":
        return path, "at least one is needed"
    if message is None:  # bounds: "Input should be greater than 0"
        return path, f"{_shown(given)} is refused: {found['msg'].replace('Input', 'it')}"
    return path, message if kind == "missing" else f"{message}, not {_shown(given)}"


def _may_be_secret(path: KeyPath) -> bool:
    """Whether a secret may stand there: `confirm_live` sounds as if it wanted the passphrase."""
    return path[:1] == ("secrets",) or "credentials" in path or path[-1:] == ("confirm_live",)


def _shown(given: object) -> str:
    if isinstance(given, dict):
        return "a mapping"
    if isinstance(given, list | tuple):
        return "a list"
    if given is None:
        return "nothing"
    text = str(given)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _unknown_key(path: KeyPath) -> str:
    key = str(path[-1])
    known = _keys_at(path[:-1])
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if SECRET_KEY.search(key) and not near:
        return f"unknown key, and {_NO_SECRETS}"
    if near:
        return f"unknown key; did you mean {near[0]!r}?"
    return f"unknown key; known here: {', '.join(known)}"


def _keys_at(path: KeyPath) -> list[str]:
    model: type[BaseModel] | None = Config
    for step in path:
        if model is None:
            return []
        field = model.model_fields.get(step) if isinstance(step, str) else None
        if field is not None:
            model = _model_in(field.annotation)
        # An index, or a key of a mapping (`instruments`): the model of the items stays.
    return [] if model is None else list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for item in get_args(annotation) if (found := _model_in(item))), None)


def _not_one_of(given: object, found: ErrorDetails) -> str:
    allowed = re.findall(r"'([^']*)'", found.get("ctx", {}).get("expected", ""))
    near = difflib.get_close_matches(str(given), allowed, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{_shown(given)} is not one of {', '.join(allowed)}{hint}"


# What only the whole can tell. It reads the raw mapping, so it speaks even when a model failed.

_KNOWN_SOURCES = ("simulated", "binance", "okx", "recorded")  # asked of what may be a list
_ONLY_OF = {
    "seed": ("simulated",),
    "ticks_per_second": ("simulated",),
    "url": ("binance", "okx"),
    "rest_url": ("binance", "okx"),
}


def _whole(raw: Mapping[str, object]) -> Iterator[Fault]:
    market = _mapping(raw.get("market"))
    symbols = [one for one in _items(market.get("symbols")) if isinstance(one, str)]
    watch = [one for one in _items(market.get("watch")) if isinstance(one, str)]
    yield from _twice(("market", "symbols"), symbols)
    yield from _twice(("market", "watch"), watch)
    for index, symbol in enumerate(watch):
        if symbol in symbols:
            yield ("market", "watch", index), f"{symbol} is traded: market.symbols lists it, too"
    yield from _instruments(raw, symbols, watch)
    yield from _traders(raw, [*symbols, *watch])
    yield from _venue(raw)
    for key, sources in _ONLY_OF.items():
        others = [each for each in _KNOWN_SOURCES if each not in sources]
        if market.get(key) is not None and market.get("source") in others:
            named = " or ".join(map(repr, sources))
            yield ("market", key), f"only the source {named} has it"


def _instruments(
    raw: Mapping[str, object], symbols: list[str], watch: list[str]
) -> Iterator[Fault]:
    rules = _mapping(raw.get("instruments"))
    market = _mapping(raw.get("market"))
    source, kind = market.get("source"), market.get("kind", "swap")
    quote = _mapping(raw.get("account")).get("quote", "USDT")
    places: list[tuple[KeyPath, str]] = [
        (("market", key, index), symbol)
        for key, listed in (("symbols", symbols), ("watch", watch))
        for index, symbol in enumerate(listed)
    ]
    for here, symbol in places:
        if "/" not in symbol:
            continue  # the model says so
        if "symbols" in here and symbol.partition("/")[2] != quote:
            yield here, f"{symbol} is not traded in {quote}, the account's quote"
        own = rules.get(symbol)
        given = set(_mapping(rules.get(OTHERS) if own is None else own))
        if own is None:
            given.discard("contract_size")  # it is each symbol's own
        missing = missing_rules(symbol, given, source=source, kind=kind)
        if missing:
            keys = ", ".join(missing)
            yield here, f"{symbol} is not in the built-in table; give {keys} under instruments"
    for symbol in rules:
        if symbol not in symbols and symbol not in watch and symbol != OTHERS:
            yield ("instruments", str(symbol)), "market.symbols does not list it"


def _venue(raw: Mapping[str, object]) -> Iterator[Fault]:
    venues = _mapping(raw.get("venues"))
    if PAPER in venues:
        yield ("venues", PAPER), f"{PAPER!r} is the venue that needs no entry; see paper"
    wanted = _mapping(raw.get("account")).get("venue", PAPER)
    if wanted == PAPER or not isinstance(wanted, str):
        return
    if wanted not in venues:
        known = [PAPER, *map(str, venues)]
        near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        yield ("account", "venue"), f"venues does not list {_shown(wanted)}{hint}"
        return
    exchange = _mapping(venues[wanted]).get("exchange", "okx")
    source = _mapping(raw.get("market")).get("source")
    if source in _KNOWN_SOURCES and source not in (exchange, "recorded"):
        yield (
            ("market", "source"),
            f"an account at {wanted} trades at the prices of {exchange}, not of {source}",
        )


def _traders(raw: Mapping[str, object], symbols: list[str]) -> Iterator[Fault]:
    names: list[str] = []
    for index, item in enumerate(_items(raw.get("traders"))):
        trader = _mapping(item)
        name = trader.get("name")
        if name == MANUAL:
            yield ("traders", index, "name"), f"{MANUAL!r} is the trader of what people open"
        if name in names:
            yield ("traders", index, "name"), f"another trader is called {name!r}"
        names.append(str(name))
        watched = [one for one in _items(trader.get("symbols")) if isinstance(one, str)]
        yield from _twice(("traders", index, "symbols"), watched)
        for place, symbol in enumerate(watched):
            if symbol not in symbols:
                near = difflib.get_close_matches(symbol, symbols, n=1, cutoff=0.6)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield (
                    ("traders", index, "symbols", place),
                    f"market.symbols does not list {_shown(symbol)}{hint}",
                )


def _twice(path: KeyPath, names: list[str]) -> Iterator[Fault]:
    seen: Counter[str] = Counter()
    for index, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            yield (*path, index), f"{_shown(name)} is listed twice"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


class Login(NamedTuple):
    """The secrets of a key at a venue. Never printed: it shows nothing of them."""

    key: str
    secret: str
    passphrase: str

    def __repr__(self) -> str:
        """Return no secret."""
        return "Login(****)"


def secrets_of(loaded: Loaded) -> dict[str, str]:
    """Fetch the secrets from where they are; they are never logged and never shown.

    Those of venues stand by their path. Raises `ConfigError` naming the key of each that is
    missing; of venues that no account uses, they may be.
    """
    config, base = loaded.config, loaded.file.base
    named: list[tuple[KeyPath, SecretRef, bool]] = [
        (("secrets", name), reference, True) for name, reference in config.secrets.items()
    ]
    for venue, section in config.venues.items():
        is_used = venue == config.account.venue
        named += (
            (("venues", venue, "credentials", part), getattr(section.credentials, part), is_used)
            for part in Credentials.model_fields
        )
    values: dict[str, str] = {}
    faults: list[Fault] = []
    for path, reference, is_needed in named:
        value = secret_of(reference, base)
        if value:
            values[str(path[1]) if path[0] == "secrets" else ".".join(map(str, path))] = value
        elif is_needed:
            where = reference.env or reference.file
            faults.append((path, f"{where} is not set, empty or not readable"))
    if faults:
        raise loaded.error(*faults)
    return values


def login_of(loaded: Loaded) -> Login | None:
    """Fetch the secrets of the venue in use; None for the paper venue. Raises `ConfigError`."""
    venue, secrets = loaded.config.account.venue, secrets_of(loaded)
    if loaded.config.venue is None:
        return None
    return Login(*(secrets[f"venues.{venue}.credentials.{part}"] for part in Login._fields))


def secret_of(reference: SecretRef, base: Path) -> str:
    """Fetch one secret; empty when it is not there."""
    if reference.env is not None:
        return os.environ.get(reference.env, "").strip()
    assert reference.file is not None  # one of the two, by its model
    try:
        return (base / reference.file.expanduser()).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
