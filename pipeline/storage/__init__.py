"""Files on disk: Parquet tables and the append-only ledger."""
