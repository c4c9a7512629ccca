"""Durability: journal, snapshots, recovery, tables to read from. Synchronous, without actors."""
