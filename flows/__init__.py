"""Prefect flows and tasks, the configuration file, and the command line."""
