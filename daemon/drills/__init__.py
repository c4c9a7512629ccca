"""Drills: a real daemon, a venue on this machine, and one thing that goes wrong.

A drill starts the sandbox venue in this process and a daemon of its own beside it, lets it trade,
breaks something, and judges by the venue's ledger. `catalog.DRILLS` lists them, `running` runs
them, `stage` is what a drill acts on, `verdict` what every one must hold at its end.
"""
