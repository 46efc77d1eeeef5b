from .attachment import Attachment
from .base import Backend, CatalogPlace, ScoreClaims
from .duckdb_errors import not_committed, unwritten
from .engine import CLOSED_SETTINGS, closed_connection, one_line, quote, quote_name, reach, reach_sql, reach_statements
from .postgres import PostgresBackend, check_address, copy_schema, settle
from .sqlite import BUSY_MILLISECONDS, SqliteBackend, refuse_network_file_system

__all__ = [
    "BUSY_MILLISECONDS",
    "CLOSED_SETTINGS",
    "Attachment",
    "Backend",
    "CatalogPlace",
    "PostgresBackend",
    "ScoreClaims",
    "SqliteBackend",
    "check_address",
    "closed_connection",
    "copy_schema",
    "not_committed",
    "one_line",
    "quote",
    "quote_name",
    "reach",
    "reach_sql",
    "reach_statements",
    "refuse_network_file_system",
    "settle",
    "unwritten",
]
