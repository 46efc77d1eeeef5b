"""An archive: the chosen rows of one snapshot as plain files, made, checked, read and merged.

manifest        what an archive says of itself        files       its files, compared with that
tables          its rows as Parquet files             catalog     reading them as those of a store are read
make            makes one of a store                  merge       brings its rows into a store
workplace, tar  where one is made, and one file       check_…     what one of a stranger is asked before it is used
"""

from molbuffer.storage.archive.manifest import ArchiveLimits, Manifest

__all__ = ["ArchiveLimits", "Manifest"]
