from .backup import KEPT_BACKUPS, LOST, kept_by_backups, roll_backup, rolling_backups
from .catalog import Catalog
from .descriptions import DESCRIPTIONS, Description
from .identity import check_identity, read_identity, set_identity
from .journal import Journal, JournalContent, JournalEntry, JournalFile
from .metadata import change_metadata, expire_versions
from .migrate import check_schema, create_schema
from .parquet.parquet_files import Column, TableFiles, TableSource, file_list, select_nothing
from .parquet.parquet_folder import ParquetFile, ParquetFolder, find_parquet
from .readable import BATCH_ROWS, Addition, ReadableCatalog, Version
from .registration import RegisteredFile, drop_files, register, renumber
from .schema.migrations import MIGRATIONS, TABLES, Migration
from .schema.score_views import molecule_scores
from .schema.views import ACTORS_OF_RUN, QUERYABLE_TABLES, RUN_AND_ACTORS, VIEWS, bind, in_added, read_by
from .transaction import Transaction

__all__ = [
    "ACTORS_OF_RUN",
    "BATCH_ROWS",
    "DESCRIPTIONS",
    "KEPT_BACKUPS",
    "LOST",
    "MIGRATIONS",
    "QUERYABLE_TABLES",
    "RUN_AND_ACTORS",
    "TABLES",
    "VIEWS",
    "Addition",
    "Catalog",
    "Column",
    "Description",
    "Journal",
    "JournalContent",
    "JournalEntry",
    "JournalFile",
    "Migration",
    "ParquetFile",
    "ParquetFolder",
    "ReadableCatalog",
    "RegisteredFile",
    "TableFiles",
    "TableSource",
    "Transaction",
    "Version",
    "bind",
    "change_metadata",
    "check_identity",
    "check_schema",
    "create_schema",
    "drop_files",
    "expire_versions",
    "file_list",
    "find_parquet",
    "in_added",
    "kept_by_backups",
    "molecule_scores",
    "read_by",
    "read_identity",
    "register",
    "renumber",
    "roll_backup",
    "rolling_backups",
    "select_nothing",
    "set_identity",
]
