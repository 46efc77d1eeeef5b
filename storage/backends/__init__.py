"""The databases that a catalog lives in, SQLite or Postgres, and the DuckDB process that attaches them."""
