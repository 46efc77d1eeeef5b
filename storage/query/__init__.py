"""Queries of users: SQL in a closed database and a process of its own, predicates over rows, and exports."""
