"""Which version this is."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("holdfast")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0+source"
