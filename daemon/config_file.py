"""Where the configuration is, and whether it can be read; no models, so it is quick to import.

Commands that only look for the daemon need no more: `holdfast close --all` must reach it while
somebody is still editing the file.
"""

from enum import Enum
from pathlib import Path

from daemon.trust import Distrust, distrust
from daemon.yaml_lines import Document, Problem, dotted, read_yaml

SOCKET_NAME = "holdfast.sock"
DATA_DIR = "var"
_MAX_BYTES = 1024 * 1024


class Use(Enum):
    """What a configuration is read for, and so whose it may be."""

    LOOK = "look"  # to find a journal, or the daemon: anybody's
    CHECK = "check"  # whether its owner could run it
    RUN = "run"  # to run what it names: not what others may change


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` are in the order of the file."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        self.path = path
        self.problems = problems
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return one line a problem: `config.yaml:14: traders[0].strategy: …`."""
        return [
            f"{self.path}:{one.line}: {dotted(one.path)}{': ' if one.path else ''}{one.message}"
            for one in self.problems
        ]


class ConfigFile:
    """A file's place and text. `base` is what relative paths in it count from.

    `distrust` is why the one who reads it may not run it, known once it was read to check or run.
    """

    def __init__(self, path: Path, base: Path | None = None, *, is_shipped: bool = False) -> None:
        self.path = path
        self.base = (base or path.parent).absolute()
        self._is_shipped = is_shipped  # then it is as much to be trusted as the program
        self.distrust: Distrust | None = None

    def read(self, use: Use = Use.LOOK) -> Document:
        """Read the YAML, with its problems.

        Raises `ConfigError` when there is no text to read, or none that may be used for that.
        """
        try:
            with self.path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
                found = self._distrusted(file.fileno(), use)
            if found:
                why = f"not used: {found.why}. {found.remedy}"
            elif len(data) <= _MAX_BYTES:
                return read_yaml(data.decode())
            else:
                why = f"larger than {_MAX_BYTES} bytes"
        except OSError as error:
            why = f"cannot be read: {error.strerror}"
        except UnicodeDecodeError as error:
            why = f"not UTF-8 text (byte {error.start})"
        raise ConfigError(self.path, (Problem(1, (), why),))

    def _distrusted(self, descriptor: int, use: Use) -> Distrust | None:
        if use is Use.LOOK or self._is_shipped:
            return None
        self.distrust = distrust(self.path, descriptor)
        return self.distrust if use is Use.RUN else distrust(self.path, descriptor, by_owner=True)

    def socket_path(self) -> Path:
        """Find the admin socket, even in a file that has errors elsewhere. Raises `ConfigError`."""
        document = self.read()
        if not isinstance(document.value, dict):
            problems = document.problems or (Problem(1, (), "a mapping of keys is expected"),)
            raise ConfigError(self.path, problems)
        admin = document.value.get("admin")
        named = admin.get("socket") if isinstance(admin, dict) else None
        data_dir = document.value.get("data_dir")
        directory = Path(data_dir if isinstance(data_dir, str) else DATA_DIR)
        path = Path(named) if isinstance(named, str) else directory / SOCKET_NAME
        try:
            return self.base / path.expanduser()
        except RuntimeError:  # ~somebody
            why = f"whose home {path.parts[0]} is cannot be said"
            raise ConfigError(self.path, (Problem(1, (), why),)) from None


def find(named: Path | None) -> ConfigFile:
    """Return the configuration to use: the one named, else ./config.yaml, else the shipped one."""
    if named is not None:
        return ConfigFile(named)
    here = Path("config.yaml")
    return ConfigFile(here) if here.exists() else shipped("config.yaml")


def shipped(name: str) -> ConfigFile:
    """Return a file that came with the program; paths in it count from the current directory."""
    packaged = Path(__file__).parent / "shipped" / name
    path = packaged if packaged.exists() else Path(__file__).parent.parent / name
    return ConfigFile(path, base=Path.cwd(), is_shipped=True)
