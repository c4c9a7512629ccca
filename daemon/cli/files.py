"""Commands about the configuration and the strategies; they need no daemon."""

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum

import typer
from pydantic import BaseModel

from daemon.cli.cells import text
from daemon.cli.console import Column, Row, clean, print_heading, print_json, print_table, put, say
from daemon.cli.link import ConfigOption, JsonOption, fail_config
from daemon.config import Loaded, load, secret_of, secrets_of
from daemon.config_file import ConfigError, Use, find
from daemon.config_section import SecretRef
from daemon.config_strategies import strategies_of
from daemon.config_text import as_yaml
from daemon.plugins import available
from daemon.words import plural
from daemon.yaml_lines import dotted
from domain.money import plain

_MASK = "****"
_WRITTEN = {"None": "not set", "True": "true", "False": "false", "()": "none"}
configuration = typer.Typer(no_args_is_help=True, help="Check or show the configuration.")


@configuration.command("check")
def check(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say everything that is wrong: line, key, what helps."""
    file = find(config)
    try:
        loaded = load(file, Use.CHECK)
        if file.distrust is None:  # else its code would run as somebody whom it is not for
            strategies_of(loaded)
        secrets_of(loaded)
    except ConfigError as error:
        if as_json:
            print_json({"problems": _problems(error)})
        fail_config(error)
    unseen = "" if file.distrust is None else f"{file.distrust.why}. {file.distrust.remedy}"
    if as_json:
        print_json({"problems": [], **({"not_loaded": unseen} if unseen else {})})
        return
    traders, symbols = len(loaded.config.traders), len(loaded.config.market.symbols)
    say(f"{file.path} is fine: {plural(traders, 'trader')}, {plural(symbols, 'symbol')}")
    if unseen:
        say(f"its strategies were not loaded: {unseen}")


@configuration.command("show")
def show(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the configuration in force, defaults included, secrets masked."""
    file = find(config)
    try:
        loaded = load(file)
    except ConfigError as error:
        fail_config(error)
    shown = _shown(loaded.config, loaded)
    if as_json:
        print_json({"config": _as_text(shown)})
        return
    say(f"# {file.path}")
    put(as_yaml(shown), nl=False)


def strategies(*, as_json: JsonOption = False) -> None:
    """List strategies and their parameters."""
    found = available()
    if as_json:
        rows: list[Row] = [
            {
                "name": one.name,
                "summary": one.summary,
                "problem": one.problem,
                "parameters": [
                    {"name": each.name, "type": each.type, "default": each.default}
                    for each in one.parameters
                ],
            }
            for one in found
        ]
        print_json({"strategies": rows})
        return
    for number, one in enumerate(found):
        (print_heading if number else say)(one.name)
        say(one.problem or one.summary)
        columns = [
            Column("PARAMETER", text("name")),
            Column("TYPE", text("type")),
            Column("DEFAULT", _default),
        ]
        parameters: list[Row] = [
            {"name": each.name, "type": each.type, "default": each.default}
            for each in one.parameters
        ]
        print_table(columns, parameters, empty="no parameters")


def _default(row: Row) -> str:
    """Return a default as one writes it in the configuration."""
    return _WRITTEN.get(str(row.get("default")), clean(row.get("default")))


def _problems(error: ConfigError) -> list[dict[str, object]]:
    return [
        {"line": one.line, "key": dotted(one.path), "message": one.message}
        for one in error.problems
    ]


def _shown(value: object, loaded: Loaded) -> object:
    """Turn models into plain values; decimals stay, secrets do not appear."""
    if isinstance(value, SecretRef):
        place = {"env": value.env} if value.env else {"file": str(value.file)}
        return place | {"value": _MASK if secret_of(value, loaded.file.base) else "missing"}
    if isinstance(value, BaseModel):
        names = type(value).model_fields
        return {name: _shown(getattr(value, name), loaded) for name in names}
    if isinstance(value, Mapping):
        return {str(name): _shown(item, loaded) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item, loaded) for item in value]
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | Decimal):
        return value
    return str(value)


def _as_text(value: object) -> object:
    """Write decimals as text, as everywhere in JSON."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, dict):
        return {name: _as_text(item) for name, item in value.items()}
    return [_as_text(item) for item in value] if isinstance(value, list) else value


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(configuration, name="config")
    app.command("strategies")(strategies)
