"""The Parquet files of tables: at a snapshot, in the folders of a store, and their registration in a new catalog."""
