"""`python -m daemon.cli` is `holdfast`."""

from daemon.cli import main

main()
