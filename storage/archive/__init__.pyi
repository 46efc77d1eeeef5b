from .catalog import ArchiveCatalog, as_store
from .check_content import wrong_content
from .check_headers import wrong_arrays
from .files import verify_files, wrong_files
from .make import ArchiveReceipt, make_archive
from .manifest import ALREADY_HERE, ArchiveLimits, Manifest, is_archive, read_manifest, table_of
from .merge import MergeReceipt, merge_archive
from .tar import unpacked
from .terms import ArchiveTerms

__all__ = [
    "ALREADY_HERE",
    "ArchiveCatalog",
    "ArchiveLimits",
    "ArchiveReceipt",
    "ArchiveTerms",
    "Manifest",
    "MergeReceipt",
    "as_store",
    "is_archive",
    "make_archive",
    "merge_archive",
    "read_manifest",
    "table_of",
    "unpacked",
    "verify_files",
    "wrong_arrays",
    "wrong_content",
    "wrong_files",
]
