"""Which version this is."""

from functools import cache


@cache
def installed_version() -> str:
    """Return the version of the installed distribution."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 15 ms

    try:
        return version("holdfast")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0+source"
