"""The whole daemon in virtual time, against a simulated venue, network and disk, with faults.

    seed ──> plan (a day: market, commands, faults, crashes) ──> run ──> verdict, digest, story

Real: the actors, the journal, the adapter of the venue and its private stream, the market's stream,
the reconciler. Simulated: time, chance, ids, the wire under the adapter, the sockets, the moment at
which a commit is on the disk. The judge is the sandbox venue's own ledger.
"""
