"""An archive: the chosen rows of one snapshot as plain files, made, checked, read and merged.

manifest        the list of its files, tables and origin   files       its files, compared with the manifest
tables          its rows as Parquet files                  catalog     reads them as those of a store are read
make            makes one of a store                       merge       brings its rows into a store
workplace, tar  where one is made, and one as one file     check_…     what one of a stranger is asked before use
measure         what its rows take in memory
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
