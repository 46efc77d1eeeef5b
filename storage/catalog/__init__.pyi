from .backup import kept_by_backups
from .catalog import Catalog
from .migrate import check_schema, create_schema
from .parquet_files import Column, TableSource, file_list, select_nothing
from .readable import BATCH_ROWS, ReadableCatalog, Version
from .schema import MIGRATIONS, TABLES, Migration
from .transaction import Transaction
from .views import QUERYABLE_TABLES, VIEWS, bind

__all__ = [
    "BATCH_ROWS",
    "MIGRATIONS",
    "QUERYABLE_TABLES",
    "TABLES",
    "VIEWS",
    "Catalog",
    "Column",
    "Migration",
    "ReadableCatalog",
    "TableSource",
    "Transaction",
    "Version",
    "bind",
    "check_schema",
    "create_schema",
    "file_list",
    "kept_by_backups",
    "select_nothing",
]
