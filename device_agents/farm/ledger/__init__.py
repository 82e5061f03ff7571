"""The ledger: every report ever made, kept append-only in SQLite or PostgreSQL."""
