"""The DuckLake catalog: tables, views and migrations, transactions and snapshots. No other room knows DuckLake."""
