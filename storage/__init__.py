"""Durability: the journal, its snapshots, recovery, and tables to read from. Synchronous; one connection; no actors."""
