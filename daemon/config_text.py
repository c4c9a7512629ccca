"""Configurations written as YAML again: to be shown, and to go into a backup."""

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from daemon.config_models import Config
from daemon.config_section import SecretRef
from domain.money import plain


def as_yaml(value: object) -> str:
    """Write plain values, decimals among them, as a configuration has them."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def portable(config: Config, base: Path) -> str:
    """Return a configuration for the directory that it lies in, whichever that is.

    It says what the file in `base` said, without its comments, and what was reloaded since. Secrets
    are named by where they are, as in the file; files of strategies and secrets by their whole
    path; the data directory is the folder of the configuration, and the admin socket is in it.
    """
    written: dict[str, Any] = {"data_dir": ".", **_written(config, base)}
    written["data_dir"] = "."
    for trader in written.get("traders", []):
        file, colon, name = str(trader["strategy"]).rpartition(":")
        if colon and file.endswith(".py"):
            trader["strategy"] = f"{base / Path(file).expanduser()}:{name}"
    written.pop("admin", None)
    return as_yaml(written)


def _written(value: object, base: Path) -> Any:
    """Turn models into plain values, as far as the file set them."""
    if isinstance(value, SecretRef):
        if value.env is not None:
            return {"env": value.env}
        assert value.file is not None  # one of the two, by its model
        return {"file": str(base / value.file.expanduser())}
    if isinstance(value, BaseModel):
        names = [name for name in type(value).model_fields if name in value.model_fields_set]
        return {name: _written(getattr(value, name), base) for name in names}
    if isinstance(value, Mapping):
        return {str(name): _written(item, base) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_written(item, base) for item in value]
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | Decimal):
        return value
    return str(value)


class _Dumper(yaml.SafeDumper):
    """Writes decimals as the numbers they are, and repeats what is there twice."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the library's signature
        return True


def _decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.Node:
    digits = plain(value)
    kind = "float" if "." in digits else "int"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", digits)


_Dumper.add_representer(Decimal, _decimal)
