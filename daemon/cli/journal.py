"""Commands about the journal of a daemon that does not run."""

import typer

journal = typer.Typer(no_args_is_help=True, help="Verify, dump or rebuild the journal.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(journal, name="journal")
