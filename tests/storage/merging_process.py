"""A process that merges an archive when it is told ``go``, for tests that race it or kill it.

python merging_process.py STORE ARCHIVE STOP

STOP is the function after which it dies; none when empty.
"""

import os
import signal
import sys
from pathlib import Path

import molbuffer.storage.archive.merge
from molbuffer.storage import SampleStore
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.trusted import trusted_archive


def main() -> None:
    path, archive, stop = sys.argv[1:]
    if stop:
        die_after(Catalog if stop == "transact" else molbuffer.storage.archive.merge, stop)
    with trusted_archive(Path(archive)) as (opened, _), SampleStore.open(path) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        print(store.merge(opened).rows, flush=True)


def die_after(owner: object, name: str) -> None:
    original = getattr(owner, name)

    def last_act(*arguments, **named):
        original(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, last_act)


if __name__ == "__main__":
    main()
