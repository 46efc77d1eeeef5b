"""Archives: the chosen rows of one snapshot as plain files, which are made, checked, read and merged.

manifest        the list of files, tables and origin       files       the comparison of files with the manifest
tables          the rows as Parquet files                  catalog     reads an archive like a store
make            makes an archive of a store                merge       adds the rows of an archive to a store
workplace, tar  temporary folders, and tar files           check_…     checks of an untrusted archive before use
measure         the memory that rows take
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
