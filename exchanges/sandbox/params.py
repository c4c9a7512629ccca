"""Reads what a request asks for, and refuses as the venue does what cannot be read."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from exchanges.sandbox.numbers import parse
from exchanges.sandbox.refusals import VenueRefusal


class Params:
    """The fields of a query or of one object in a body. All readers raise `VenueRefusal`."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def text(self, name: str, default: str = "") -> str:
        """Return a field, `default` when it is missing or empty. Numbers are taken as text."""
        value = self.fields.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (str, int, float)):
            return str(value)
        raise VenueRefusal("51000", name)

    def need(self, name: str) -> str:
        """Return a field that must be there."""
        value = self.text(name)
        if not value:
            raise VenueRefusal("50014", name)
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: str = "") -> str:
        """Return one of `choices`; required without a default."""
        value = self.text(name, default) if default else self.need(name)
        if value not in choices:
            raise VenueRefusal("51000", name)
        return value

    def number(self, name: str) -> Decimal | None:
        """Return a decimal, None when it is not given."""
        value = self.text(name)
        if not value:
            return None
        number = parse(value)
        if number is None:
            raise VenueRefusal("51000", name)
        return number

    def positive(self, name: str) -> Decimal | None:
        """Return a decimal above zero, None when it is not given."""
        number = self.number(name)
        if number is not None and number <= 0:
            raise VenueRefusal("51000", name)
        return number

    def flag(self, name: str) -> bool:
        """Return whether it says true."""
        return self.choice(name, ("true", "false"), "false") == "true"

    def whole(self, name: str, default: int) -> int:
        """Return an integer of at least 0."""
        value = self.text(name)
        if not value:
            return default
        if not (value.isascii() and value.isdigit()):
            raise VenueRefusal("51000", name)
        return int(value)

    def rows(self, name: str) -> list["Params"]:
        """Return the objects of a list, none when it is not given."""
        value = self.fields.get(name)
        if value is None or value == "":
            return []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise VenueRefusal("51000", name)
        return [Params(one) for one in value]
