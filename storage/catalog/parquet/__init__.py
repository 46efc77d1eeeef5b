"""The Parquet files of tables: at a snapshot, and in the folders of a store."""
