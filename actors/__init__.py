"""The shells: one actor per owner of facts. They receive, decide, evolve, journal and release."""
