"""The Parquet files of tables: those of a snapshot, those in the folders, and their registration in a new catalog."""
