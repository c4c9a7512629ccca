"""`python -m daemon.cli` is `holdfast`."""

from daemon.cli.program import main

main()
