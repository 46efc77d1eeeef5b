"""The Parquet files of tables: those of a snapshot, and those in the folders."""
