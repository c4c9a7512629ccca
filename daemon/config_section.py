"""What every section of the configuration is made of, and how one names a secret."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Keys whose values are secrets, or lead to one: they are never repeated.
SECRET_KEY = re.compile(r"key|secret|passw|passphrase|token|credential", re.IGNORECASE)


class Section(BaseModel):
    """A mapping in the file. Unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        defer_build=True,  # `Config` builds the sections it holds; half the cost of importing this
    )


def at_home(path: Path) -> Path:
    """Return a path with `~` spelled out. Raises `ValueError` where nobody knows whose that is."""
    try:
        return path.expanduser()
    except RuntimeError:
        message = f"whose home {path.parts[0]} is cannot be said"
        raise ValueError(message) from None


class SecretRef(Section):
    """Where a secret is: in an environment variable or in a file. Never the secret itself."""

    env: Annotated[str | None, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = None
    """[variable] the secret is the value of this environment variable"""
    file: Path | None = None
    """the secret is this file's text"""

    @model_validator(mode="after")
    def _one_place(self) -> "SecretRef":
        if (self.env is None) == (self.file is None):
            message = "a secret is named by {env: NAME} or by {file: PATH}"
            raise ValueError(message)
        if self.file is not None:
            at_home(self.file)
        return self


def in_variable(name: str) -> SecretRef:
    """Return where a secret is when the file does not say."""
    return SecretRef.model_construct(env=name, file=None)
