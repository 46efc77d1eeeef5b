from .attachment import Attachment
from .base import LONGEST_CLAIM_SECONDS, Backend, CatalogPlace, ClaimHolder, ScoreClaims
from .duckdb_errors import advice, as_store_error, lost, moved, not_committed, unwritten
from .engine import (
    CLOSED_SETTINGS,
    SESSION,
    closed_connection,
    load_sql,
    one_line,
    quote,
    quote_name,
    reach,
    reach_sql,
    reach_statements,
)
from .postgres import PostgresBackend, check_address, copy_schema, settle
from .sqlite import BUSY_MILLISECONDS, SqliteBackend, refuse_network_file_system
from .waiting import ClaimWait, file_holder, wait_for

__all__ = [
    "BUSY_MILLISECONDS",
    "CLOSED_SETTINGS",
    "LONGEST_CLAIM_SECONDS",
    "SESSION",
    "Attachment",
    "Backend",
    "CatalogPlace",
    "ClaimHolder",
    "ClaimWait",
    "PostgresBackend",
    "ScoreClaims",
    "SqliteBackend",
    "advice",
    "as_store_error",
    "check_address",
    "closed_connection",
    "copy_schema",
    "file_holder",
    "load_sql",
    "lost",
    "moved",
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
    "wait_for",
]
